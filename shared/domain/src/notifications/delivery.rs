//! Lambda's event for a batch of RabbitMQ messages.
//!
//! Read by us and not by `aws_lambda_events`: its type refuses a message that lacks one of AMQP's
//! optional properties, and the whole batch with it, which Lambda would then deliver for ever.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// An `aws:rmq` event, and no other. If an event of another source were taken for a batch without messages, that
/// source would delete its messages.
#[derive(Debug, Deserialize)]
pub struct Batch {
    #[serde(rename = "eventSource")]
    _source: RabbitMq,
    /// By queue and virtual host. Each message stays as it came until it is read on its own.
    #[serde(rename = "rmqMessagesByQueue")]
    messages_by_queue: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Deserialize)]
enum RabbitMq {
    #[serde(rename = "aws:rmq")]
    Source,
}

/// One message: the queue it came from and its bytes.
#[derive(Debug)]
pub struct Message {
    pub queue: String,
    pub body: Vec<u8>,
}

impl Batch {
    /// Its messages. One whose body can't be decoded comes as the JSON that Lambda sent for it.
    pub fn into_messages(self) -> Vec<Message> {
        let in_queues = self.messages_by_queue.into_iter();
        in_queues
            .flat_map(|(queue, messages)| {
                messages.into_iter().map(move |message| Message {
                    queue: queue.clone(),
                    body: body(&message),
                })
            })
            .collect()
    }
}

fn body(message: &Value) -> Vec<u8> {
    message
        .get("data")
        .and_then(Value::as_str)
        .and_then(|data| BASE64_STANDARD.decode(data).ok())
        .unwrap_or_else(|| message.to_string().into_bytes())
}
