//! The page of the simulated bank.

use html::{bank, problem};
use shared::http::{Answer, Request};
use shared::payments::Payments;
use shared::{clients, serve};

clients! { App { payments: Payments } }

async fn handle(app: &App, request: Request) -> Answer {
    match request.route().method {
        "POST" => bank::answer(&app.payments, &request).await,
        _ => bank::show(&app.payments, &request).await,
    }
}

serve!(pages App, handle, problem::show);
