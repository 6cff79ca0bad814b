//! Changing an event by a page.

use html::{edit, problem};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => edit::change(&app.bookings, &app.tokens, &request).await,
        "GET" => edit::show(&app.bookings, &app.tokens, &request).await,
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
