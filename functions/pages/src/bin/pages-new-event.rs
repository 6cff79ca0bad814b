//! Putting an event on sale by a page.

use html::{desk, problem};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => desk::create(&app.bookings, &app.tokens, &request).await,
        "GET" => desk::show_form(&app.tokens, &request),
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
