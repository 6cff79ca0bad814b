//! A bare function: what every function of this runtime pays for its start.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let answer = async |event: LambdaEvent<Value>| Ok::<_, Error>(event.payload);
    lambda_runtime::run(service_fn(answer)).await
}
