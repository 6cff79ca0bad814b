use migrate::handle;
use shared::config::Config;
use shared::invocation;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let config = shared::start(async |config: &Config| Ok(config.clone())).await?;
    invocation::serve("migrate", config, handle).await
}
