//! An organizer's events, and what they have sold.

use html::{desk, problem};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().path {
        "/desk" => desk::show_events(&app.bookings, &app.tokens, &request).await,
        "/desk/{event_id}" => desk::show_sales(&app.bookings, &app.tokens, &request).await,
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
