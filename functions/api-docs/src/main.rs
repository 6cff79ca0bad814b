use api_docs::{App, handle};
use shared::http::{self, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::Error> {
    let app = shared::start(App::new).await?;
    http::serve(&routes::GET_DOCS, app, handle).await
}
