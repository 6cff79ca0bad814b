//! `GET /openapi.json`, `GET /docs` and the assets of that page, which are in this binary: nothing
//! is fetched from anybody else.

use std::sync::Arc;

use shared::config::Config;
use shared::http::{Answer, Problem, Request, asset, ok, openapi, routes};
use shared::{Error, FromConfig, serve};
use utoipa_swagger_ui::Config as SwaggerConfig;

/// What one process of this function keeps between requests.
struct App {
    page: Arc<SwaggerConfig<'static>>,
}

impl FromConfig for App {
    async fn from_config(_: &Config) -> Result<Self, Error> {
        Ok(Self {
            page: Arc::new(
                // Relative addresses, without a leading slash, because the path may begin with a stage's name.
                SwaggerConfig::from("openapi.json")
                    .try_it_out_enabled(true)
                    .validator_url("none"),
            ),
        })
    }
}

async fn handle(app: &App, request: Request) -> Answer {
    match request.raw_path() {
        "/openapi.json" => Ok(ok(&openapi::describe())),
        "/docs" => Ok(asset("text/html", PAGE.as_bytes().to_vec())),
        path => {
            let name = path
                .strip_prefix("/docs/")
                .ok_or_else(|| Problem::not_found("page"))?;
            let file = utoipa_swagger_ui::serve(name, Arc::clone(&app.page))
                .map_err(|error| Problem::internal("reading an asset", error.to_string()))?
                .ok_or_else(|| Problem::not_found("page"))?;
            Ok(asset(&file.content_type, file.bytes.into_owned()))
        }
    }
}

/// Swagger UI's own page, with its assets below `/docs/`.
const PAGE: &str = include_str!("../page.html");

serve!(routes::GET_DOCS, App, handle);
