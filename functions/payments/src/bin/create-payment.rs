//! `POST /payments`.

use shared::auth::TokenVerifier;
use shared::http::{Answer, Code, Problem, Request, accepted, created, marked, routes};
use shared::payments::{PaymentOutcome, PaymentRequest, Payments};
use shared::settle_queue::SettleQueue;
use shared::{clients, serve};

clients! { App { tokens: TokenVerifier, payments: Payments, settle_queue: SettleQueue } }

async fn handle(app: &App, request: Request) -> Answer {
    let user = request.user(&app.tokens)?;
    let fields = request.fields()?;
    let idempotency = request.idempotency(&fields)?;
    let wanted: PaymentRequest = fields.decode()?;
    let paid = app
        .payments
        .pay(&app.settle_queue, user, wanted, idempotency)
        .await?;
    let answer = match paid.outcome {
        PaymentOutcome::Paid(payment) => Ok(created(&payment)),
        PaymentOutcome::Pending(payment) => Ok(accepted(
            &payment,
            &format!("/payments/{}", payment.payment_id),
            5,
        )),
        PaymentOutcome::Declined(payment) => {
            let detail = format!("Payment {} was declined.", payment.payment_id);
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
        PaymentOutcome::Voided(payment) => {
            let detail = format!(
                "Payment {} was not made in time; nothing was charged.",
                payment.payment_id
            );
            Err(Problem::new(Code::PaymentDeclined, detail))
        }
    };
    marked(answer, paid.replayed)
}

serve!(routes::CREATE_PAYMENT, App, handle);
