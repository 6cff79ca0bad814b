//! Finding an event and choosing tickets; and the parts of all pages.

use html::{assets, problem, shop};
use shared::auth::TokenVerifier;
use shared::db::Db;
use shared::http::{Answer, Request};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, bookings: Db } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().path {
        "/" => shop::show_events(&app.bookings, &app.tokens, &request).await,
        "/e/{event_id}" => shop::show_event(&app.bookings, &app.tokens, &request).await,
        _ => assets::show(&request),
    }
}

serve!(pages App, handle, problem::show);
