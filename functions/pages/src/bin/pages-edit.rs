//! Changing an event by a page.

use html::{edit, problem};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => edit::change(&app.bookings, &app.tokens, &request).await,
        _ => edit::show(&app.bookings, &app.tokens, &request).await,
    }
}

serve!(pages App, handle, problem::show);
