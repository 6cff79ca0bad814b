use send_notification::{App, handle};
use shared::invocation;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let app = shared::start(App::new).await?;
    invocation::serve("send-notification", app, handle).await
}
