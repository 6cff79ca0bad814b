//! A function as a resource of a CloudFormation stack: what it is asked, and how it answers.
//!
//! The type of `aws_lambda_events` has three structs of the same fields, and none for the answer.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use runtime::calls::{self, CallError};
use runtime::faults::FailPoint;
use stores::web::{self, WebError};

/// The longest that an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// An answer may have at most 4096 bytes. If it is longer, the reason isn't shown at all.
const MAX_REASON_CHARS: usize = 900;

/// Why CloudFormation was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("reaching CloudFormation")]
    Unreached(#[from] WebError),
    #[error("CloudFormation answered {0}")]
    Refused(u16),
}

/// What CloudFormation asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Event {
    pub request_type: RequestType,
    /// Where it waits for the answer.
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    /// There is none yet when it is to be made.
    physical_resource_id: Option<String>,
}

/// What is to become of the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum RequestType {
    Create,
    Update,
    Delete,
}

impl Event {
    /// Answers with what the template can read of the resource, or with the reason why the deploy
    /// must not go on.
    ///
    /// # Errors
    /// Nobody hears it: the deploy fails when CloudFormation has waited long enough.
    pub async fn answer(
        &self,
        outcome: Result<Value, String>,
    ) -> Result<(), CallError<AnswerError>> {
        let (status, data, reason) = match outcome {
            Ok(data) => ("SUCCESS", data, String::new()),
            Err(reason) => (
                "FAILED",
                Value::Null,
                reason.chars().take(MAX_REASON_CHARS).collect(),
            ),
        };
        let answer = json!({
            "Status": status,
            "Reason": reason,
            // This id must never change: if it did, CloudFormation would delete the old resource.
            "PhysicalResourceId": self.physical_resource_id.as_deref().unwrap_or("admit-migration"),
            "StackId": self.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.logical_resource_id,
            "Data": data,
        })
        .to_string();
        calls::idempotent(
            FailPoint("AnswerCloudFormation"),
            ANSWER_TIMEOUT,
            |_| true,
            || async {
                // The address was signed for no type of content.
                let headers = [("content-type", String::new())];
                match web::send("PUT", &self.response_url, &headers, &answer).await? {
                    200..300 => Ok(()),
                    status => Err(AnswerError::Refused(status)),
                }
            },
        )
        .await
    }
}
