//! CORS, as the template has API Gateway answer it.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use shared::Error;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The template's `CorsConfiguration`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    allow_origins: Vec<String>,
    allow_methods: Vec<String>,
    allow_headers: Vec<String>,
    expose_headers: Vec<String>,
    max_age: u64,
}

/// Who may read answers from another origin; nobody where the template names none.
#[derive(Debug)]
pub struct Cors(Option<CorsLayer>);

impl Cors {
    /// Reads the template's configuration in JSON; an empty text is none.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let Configuration {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age,
        } = serde_json::from_str(text)?;
        let origins = if allow_origins.iter().any(|origin| origin == "*") {
            AllowOrigin::any()
        } else {
            AllowOrigin::list(parse::<HeaderValue>(&allow_origins)?)
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods(parse::<Method>(&allow_methods)?)
            .allow_headers(parse::<HeaderName>(&allow_headers)?)
            .expose_headers(parse::<HeaderName>(&expose_headers)?)
            .max_age(Duration::from_secs(max_age));
        Ok(Self(Some(layer)))
    }

    /// Has the router answer preflights, and say who may read its answers.
    pub fn apply(&self, router: Router) -> Router {
        match &self.0 {
            Some(layer) => router.layer(layer.clone()).layer(from_fn(without_content)),
            None => router,
        }
    }
}

fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(
    texts: &[String],
) -> Result<Vec<T>, Error> {
    texts.iter().map(|text| Ok(text.parse()?)).collect()
}

/// API Gateway answers a preflight with 204.
async fn without_content(request: Request, next: Next) -> Response {
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(ORIGIN)
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = next.run(request).await;
    if preflight && response.status() == StatusCode::OK {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
