use create_booking::{App, handle};
use shared::http::{self, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let app = shared::start(App::new).await?;
    http::serve(&routes::CREATE_BOOKING, app, handle).await
}
