//! The function `charge-payment`, as those who invoke it see it.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::SdkError;
use aws_sdk_lambda::operation::invoke;
use aws_sdk_lambda::primitives::Blob;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Charge, HoldCharge, PaymentMethod, PaymentStatus};
use runtime::Error;
use runtime::FromConfig;
use runtime::calls::{self, CallError};
use runtime::config::Config;
use runtime::faults::FailPoint;
use stores::aws;
use values::ids::PaymentId;

/// The longest that anyone waits for a charge. It is a little longer than the timeout of `charge-payment`, so that
/// even a timeout of that function arrives as an answer.
const CHARGE_TIMEOUT: Duration = Duration::from_secs(11);

/// What `charge-payment` is asked to do. Each is safe to repeat.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Command {
    /// Charge, unless a void came first.
    Charge {
        charge: Charge,
        payment_method: PaymentMethod,
        /// Whether a declined card leaves the payment open, for another.
        #[serde(default)]
        of_hold: bool,
    },
    /// See whether it was charged or voided, and change nothing at the gateway.
    Look { charge: Charge },
    /// Void, unless it was charged or declined.
    Void { charge: Charge },
    /// Void a payment that has a record.
    Settle { payment_id: PaymentId },
    /// Give a charge back.
    Refund { payment_id: PaymentId },
}

/// What `charge-payment` answers: where the payment stands now. Null where a payment that is to be settled
/// does not exist.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub status: Option<PaymentStatus>,
    /// Whether the owner of the card is asked, so that the status is PENDING until they answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asked: bool,
}

impl From<Option<PaymentStatus>> for Reply {
    fn from(status: Option<PaymentStatus>) -> Self {
        Self {
            status,
            asked: false,
        }
    }
}

impl From<HoldCharge> for Reply {
    fn from(charge: HoldCharge) -> Self {
        match charge {
            HoldCharge::Decided(status) => Some(status).into(),
            HoldCharge::Asked => Self {
                status: Some(PaymentStatus::Pending),
                asked: true,
            },
        }
    }
}

/// What Lambda says of an invocation that failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionError {
    pub error_type: String,
    #[serde(default)]
    pub error_message: String,
}

/// Why there is no answer. What was asked may have been done or not, unless the error says which.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// The function runs at its concurrency limit, so this invocation was not begun. The limit bounds how many
    /// charges a slow gateway keeps waiting.
    #[error("the charge function is busy")]
    Busy,
    #[error("the connection to the charge function")]
    Connection(#[source] Error),
    #[error("invoking the charge function")]
    Sdk(#[source] Error),
    #[error("the charge function failed: {}: {}", .0.error_type, .0.error_message)]
    Function(FunctionError),
    #[error("reading the charge function's answer")]
    Answer(#[source] serde_json::Error),
    #[error("the charge function's answer has no status")]
    NoStatus,
}

/// Why the payment's status is not known.
pub type ChargeCallError = CallError<InvokeError>;

impl From<SdkError<invoke::InvokeError>> for InvokeError {
    fn from(error: SdkError<invoke::InvokeError>) -> Self {
        match &error {
            SdkError::DispatchFailure(failure) if !failure.is_timeout() => {
                Self::Connection(error.into())
            }
            // An answer that broke off.
            SdkError::ResponseError(_) => Self::Connection(error.into()),
            SdkError::ServiceError(service) if service.err().is_too_many_requests_exception() => {
                Self::Busy
            }
            _ => Self::Sdk(error.into()),
        }
    }
}

impl InvokeError {
    /// Whether a call that failed so may go well on its repeat.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Connection(_))
    }
}

/// The function `charge-payment`.
#[derive(Debug, Clone)]
pub struct ChargeFunction {
    client: Client,
    function: String,
}

impl FromConfig for ChargeFunction {
    async fn from_config(config: &Config) -> Result<Self, runtime::Error> {
        let function = config.charge_function.required()?.clone();
        Ok(Self {
            client: aws::lambda(CHARGE_TIMEOUT).await,
            function,
        })
    }
}

impl ChargeFunction {
    /// Charges for a booking, see [`super::charge()`].
    pub async fn charge(
        &self,
        charge: Charge,
        payment_method: PaymentMethod,
    ) -> Result<PaymentStatus, ChargeCallError> {
        self.status(&Command::Charge {
            charge,
            payment_method,
            of_hold: false,
        })
        .await
    }

    /// Tries a card for a hold, see [`super::charge_hold()`].
    pub async fn charge_hold(
        &self,
        charge: Charge,
        payment_method: PaymentMethod,
    ) -> Result<HoldCharge, ChargeCallError> {
        let command = Command::Charge {
            charge,
            payment_method,
            of_hold: true,
        };
        match self.invoke(&command).await? {
            Reply { asked: true, .. } => Ok(HoldCharge::Asked),
            Reply { status, .. } => Ok(HoldCharge::Decided(status.ok_or(InvokeError::NoStatus)?)),
        }
    }

    /// Looks at a hold's payment, see [`super::look()`].
    pub async fn look(&self, charge: Charge) -> Result<PaymentStatus, ChargeCallError> {
        self.status(&Command::Look { charge }).await
    }

    /// Voids a booking's payment, see [`super::void()`].
    pub async fn void(&self, charge: Charge) -> Result<PaymentStatus, ChargeCallError> {
        self.status(&Command::Void { charge }).await
    }

    /// Settles a payment of no booking, see [`super::settle()`]; `None` where there is none.
    pub async fn settle(
        &self,
        payment_id: PaymentId,
    ) -> Result<Option<PaymentStatus>, ChargeCallError> {
        Ok(self.invoke(&Command::Settle { payment_id }).await?.status)
    }

    /// Refunds a payment, see [`super::refund()`].
    pub async fn refund(&self, payment_id: PaymentId) -> Result<PaymentStatus, ChargeCallError> {
        self.status(&Command::Refund { payment_id }).await
    }

    async fn status(&self, command: &Command) -> Result<PaymentStatus, ChargeCallError> {
        let reply = self.invoke(command).await?;
        Ok(reply.status.ok_or(InvokeError::NoStatus)?)
    }

    /// Invokes the function: again, if the connection broke, as every command is safe to repeat.
    async fn invoke(&self, command: &Command) -> Result<Reply, ChargeCallError> {
        let payload =
            serde_json::to_vec(command).map_err(|error| InvokeError::Sdk(error.into()))?;
        let attempt = || {
            calls::once(FailPoint("InvokeCharge"), CHARGE_TIMEOUT, || {
                self.send(&payload)
            })
        };
        match attempt().await {
            Err(error) if error.is_transient(InvokeError::is_transient) => {
                calls::pause().await;
                attempt().await.map_err(|error| match error {
                    // The first try may have begun, so a throttled second try says nothing about the outcome.
                    CallError::Failed(busy @ InvokeError::Busy) => {
                        InvokeError::Sdk(busy.into()).into()
                    }
                    error => error,
                })
            }
            outcome => outcome,
        }
    }

    fn send(&self, payload: &[u8]) -> BoxFuture<'static, Result<Reply, InvokeError>> {
        let request = self.client.invoke().function_name(&self.function);
        let sent = request.payload(Blob::new(payload)).send();
        async move {
            let response = sent.await?;
            let answer = response.payload.map(Blob::into_inner).unwrap_or_default();
            if response.function_error.is_some() {
                let error = serde_json::from_slice(&answer).map_err(InvokeError::Answer)?;
                return Err(InvokeError::Function(error));
            }
            serde_json::from_slice(&answer).map_err(InvokeError::Answer)
        }
        .boxed()
    }
}
