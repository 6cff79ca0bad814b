use charge_payment::{App, handle};
use shared::invocation;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let app = shared::start(App::new).await?;
    invocation::serve("charge-payment", app, handle).await
}
