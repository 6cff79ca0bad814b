//! `GET /payments/{payment_id}`.

use shared::auth::TokenVerifier;
use shared::http::{Answer, Request, ok, routes};
use shared::payments::{self, Payments};
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, payments: Payments } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let payment_id = request.path("payment_id", "payment")?;
    let payment = payments::get(&app.payments, user, payment_id).await?;
    Ok(ok(&payment))
}

serve!(routes::GET_PAYMENT, App, handle);
