//! Finding an event and choosing tickets; and the parts of all pages.

use html::{assets, problem, shop};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Problem, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().path {
        "/" => shop::show_events(&app.bookings, &app.tokens, &request).await,
        "/e/{event_id}" => shop::show_event(&app.bookings, &app.tokens, &request).await,
        "/assets/{asset}" => assets::show(&request),
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
