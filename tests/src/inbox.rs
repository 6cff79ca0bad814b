//! Where CloudFormation would wait for the answer of a custom resource.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::put;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

/// An address that takes answers.
#[derive(Debug, Clone)]
pub struct Inbox {
    url: String,
    answers: Arc<Mutex<Vec<Value>>>,
}

impl Inbox {
    /// An address with nothing in it yet.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inbox = Self {
            url: format!("http://{}/answer", listener.local_addr().unwrap()),
            answers: Arc::default(),
        };
        let router = Router::new()
            .route("/answer", put(take))
            .with_state(inbox.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        inbox
    }

    /// The event with which CloudFormation asks for a resource of the stack, to be answered here.
    pub fn event(&self, request_type: &str) -> Value {
        json!({
            "RequestType": request_type,
            "ResponseURL": self.url,
            "StackId": "arn:aws:cloudformation:us-east-1:000000000000:stack/admit/1",
            "RequestId": Uuid::now_v7(),
            "LogicalResourceId": "Migration",
            "ResourceType": "Custom::Migration",
            "ResourceProperties": {"Release": "1"},
        })
    }

    /// What was answered so far.
    pub fn answers(&self) -> Vec<Value> {
        self.answers.lock().unwrap().clone()
    }
}

async fn take(State(inbox): State<Inbox>, body: Bytes) {
    let answer = serde_json::from_slice(&body).unwrap();
    inbox.answers.lock().unwrap().push(answer);
}
