//! The page of the simulated bank.

use html::{bank, problem};
use shared::http::{Answer, Problem, Request};
use shared::payments::Payments;
use shared::{clients, serve};

clients! { App { payments: Payments } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => bank::answer(&app.payments, &request).await,
        "GET" => bank::show(&app.payments, &request).await,
        _ => Err(Problem::not_found("page")),
    }
}

serve!(pages App, handle, problem::show);
