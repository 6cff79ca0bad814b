//! Holding or booking what was chosen, and paying; the visitor's bookings, and cancelling one.

use html::{booking, problem};
use shared::auth::TokenVerifier;
use shared::bookings::BoxOffice;
use shared::http::{Answer, Problem, Request};
use shared::settle_queue::SettleQueue;
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, office: BoxOffice, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let App {
        tokens,
        office,
        settle_queue,
    } = app;
    match request.route().path {
        "/e/{event_id}/book" => booking::book(office, settle_queue, tokens, &request).await,
        "/b/{booking_id}" => booking::show(office, tokens, &request).await,
        "/b/{booking_id}/pay" => booking::pay(office, settle_queue, tokens, &request).await,
        "/b/{booking_id}/release" => booking::release(office, tokens, &request).await,
        "/b/{booking_id}/cancel" => booking::cancel(office, tokens, &request).await,
        "/me" => booking::show_all(office, tokens, &request).await,
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
