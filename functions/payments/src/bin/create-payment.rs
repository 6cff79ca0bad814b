//! `POST /payments`.

use shared::auth::TokenVerifier;
use shared::http::{Answer, Request, answers, marked, routes};
use shared::payments::{self, PaymentRequest, Payments};
use shared::settle_queue::SettleQueue;
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, payments: Payments, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let fields = request.fields()?;
    let idempotency = request.idempotency(&fields)?;
    let wanted: PaymentRequest = fields.decode()?;
    let paid = payments::pay(&app.payments, &app.settle_queue, user, wanted, idempotency).await?;
    marked(answers::paid(paid.outcome), paid.replayed)
}

serve!(routes::CREATE_PAYMENT, App, handle);
