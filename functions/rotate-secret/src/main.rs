use rotate_secret::{App, handle};
use shared::invocation;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let app = shared::start(App::new).await?;
    invocation::serve("rotate-secret", app, handle).await
}
