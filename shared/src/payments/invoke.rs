//! The function `charge-payment`, as those who invoke it see it.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use serde::{Deserialize, Serialize};

use super::{Charge, PaymentMethod, PaymentStatus};
use crate::config::Config;
use crate::ids::PaymentId;
use crate::{Error, aws};

/// The longest that anyone waits for a charge. `create-booking` has to answer within API Gateway's
/// 30 seconds, whatever the gateway does.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What `charge-payment` is asked to do. Each is safe to repeat.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Command {
    /// Charge, unless a void came first.
    Charge {
        charge: Charge,
        payment_method: PaymentMethod,
    },
    /// Void, unless it was charged or declined.
    Void { charge: Charge },
    /// Void a payment that has a record.
    Settle { payment_id: PaymentId },
    /// Give a charge back.
    Refund { payment_id: PaymentId },
    /// Settle the payments of no booking that have been pending for long.
    Sweep,
}

/// What `charge-payment` answers: where the payment stands now. Null for a sweep.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub status: Option<PaymentStatus>,
}

/// Why there is no answer. What was asked may have been done or not.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    #[error("invoking the charge function")]
    Sdk(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the charge function failed: {0}")]
    Function(String),
    #[error("the charge function's answer can't be read")]
    Answer,
}

/// The function `charge-payment`.
#[derive(Debug, Clone)]
pub struct ChargeFunction {
    client: Client,
    function: String,
}

impl ChargeFunction {
    /// A client for the function that the configuration names.
    ///
    /// # Errors
    /// It names none.
    pub async fn new(config: &Config) -> Result<Self, Error> {
        let function = config.charge_function.required()?.clone();
        Ok(Self {
            client: Client::new(&aws::config(TIMEOUT).await),
            function,
        })
    }

    /// Charges for a booking, see [`super::Payments::charge`].
    ///
    /// # Errors
    /// The outcome is unknown.
    pub async fn charge(
        &self,
        charge: Charge,
        payment_method: PaymentMethod,
    ) -> Result<PaymentStatus, InvokeError> {
        self.status(&Command::Charge {
            charge,
            payment_method,
        })
        .await
    }

    /// Voids a booking's payment, see [`super::Payments::void`].
    ///
    /// # Errors
    /// The outcome is unknown.
    pub async fn void(&self, charge: Charge) -> Result<PaymentStatus, InvokeError> {
        self.status(&Command::Void { charge }).await
    }

    /// Settles a payment of no booking, see [`super::Payments::settle`].
    ///
    /// # Errors
    /// The outcome is unknown.
    pub async fn settle(&self, payment_id: PaymentId) -> Result<PaymentStatus, InvokeError> {
        self.status(&Command::Settle { payment_id }).await
    }

    /// Refunds a payment, see [`super::Payments::refund`].
    ///
    /// # Errors
    /// The outcome is unknown.
    pub async fn refund(&self, payment_id: PaymentId) -> Result<PaymentStatus, InvokeError> {
        self.status(&Command::Refund { payment_id }).await
    }

    /// Settles the payments of no booking, see [`super::Payments::sweep`].
    ///
    /// # Errors
    /// Some may be left.
    pub async fn sweep(&self) -> Result<(), InvokeError> {
        self.invoke(&Command::Sweep).await.map(drop)
    }

    async fn status(&self, command: &Command) -> Result<PaymentStatus, InvokeError> {
        self.invoke(command)
            .await?
            .status
            .ok_or(InvokeError::Answer)
    }

    async fn invoke(&self, command: &Command) -> Result<Reply, InvokeError> {
        let payload =
            serde_json::to_vec(command).map_err(|error| InvokeError::Sdk(error.into()))?;
        let response = self
            .client
            .invoke()
            .function_name(&self.function)
            .payload(Blob::new(payload))
            .send()
            .await
            .map_err(|error| InvokeError::Sdk(error.into()))?;
        let answer = response.payload.map(Blob::into_inner).unwrap_or_default();
        if response.function_error.is_some() {
            return Err(InvokeError::Function(
                String::from_utf8_lossy(&answer).into_owned(),
            ));
        }
        serde_json::from_slice(&answer).map_err(|_| InvokeError::Answer)
    }
}
