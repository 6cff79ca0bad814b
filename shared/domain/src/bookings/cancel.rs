//! Cancelling: the tickets go back at once, the money soon after.

use super::{Booking, BookingError, Status, StoredBooking, booking_rows, read};
use crate::payments::{ChargeFunction, PaymentStatus};
use runtime::faults::FailPoint;
use runtime::telemetry;
use stores::db::Db;
use values::ids::{BookingId, PaymentId, UserId};

/// Cancels a booking of `user`. Repeating it gives the same answer and does nothing.
///
/// The refund is recorded as due in the same statement. It is tried here; the sweep tries it
/// again until it is done.
///
/// # Errors
/// The booking is not `user`'s, or not one that can be cancelled.
pub async fn cancel(
    db: &Db,
    payments: &ChargeFunction,
    user: UserId,
    booking_id: BookingId,
) -> Result<Booking, BookingError> {
    telemetry::note("booking_id", booking_id);
    let cancelled = db
        .idempotent(FailPoint::Cancel, |connection| {
            let statement = booking_rows!(
                r#"
                with held as materialized (
                    select event_id, available
                      from event
                     where event_id = (select event_id from booking
                                        where booking_id = $1 and user_id = $2 and status = 'CONFIRMED')
                       and starts_at > now()
                       for no key update
                ), cancelled as (
                    update booking b
                       set status = 'CANCELLED', updated_at = now(),
                           attempts = 0, next_attempt_at = null,
                           refund_due_at = case when b.amount_minor > 0 then now() end
                      from held
                     where b.booking_id = $1 and b.status = 'CONFIRMED' and b.event_id = held.event_id
                    returning b.*
                ), given_back as (
                    update event e
                       set available = held.available + cancelled.tickets
                      from held join cancelled using (event_id)
                     where e.event_id = held.event_id
                )
                select "#,
                "from cancelled b",
                booking_id as BookingId,
                user as UserId,
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    let Some(row) = cancelled else {
        return explain_not_cancelled(db, user, booking_id).await;
    };
    let booking = StoredBooking::try_from(row)?.booking;
    telemetry::note("event_id", &booking.event_id);
    tracing::info!("booking cancelled");
    if let Some(payment_id) = booking.payment_id
        && let Err(error) = refund(db, payments, booking_id, payment_id).await
    {
        tracing::warn!(
            error = telemetry::chain(error.as_ref()),
            "refund failed; the sweep retries it"
        );
    }
    Ok(booking)
}

async fn explain_not_cancelled(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<Booking, BookingError> {
    let booking = read::get(db, user, booking_id).await?;
    match booking.status {
        Status::Cancelled => Ok(booking),
        Status::Confirmed => Err(BookingError::Begun),
        status => Err(BookingError::NotCancellable { status }),
    }
}

/// Gives the money of a cancelled booking back, and notes that it was given. Both halves are
/// safe to repeat: the payment is refunded once, whoever asks.
pub(super) async fn refund(
    db: &Db,
    payments: &ChargeFunction,
    booking_id: BookingId,
    payment_id: PaymentId,
) -> Result<(), runtime::Error> {
    telemetry::note("payment_id", payment_id);
    match payments.refund(payment_id).await? {
        PaymentStatus::Refunded => {}
        status => return Err(format!("the payment is {status:?}, not refunded").into()),
    }
    db.idempotent(FailPoint::MarkRefunded, |connection| {
        let statement = sqlx::query!(
            "update booking set refunded_at = now() where booking_id = $1 and refunded_at is null",
            booking_id as BookingId,
        );
        Box::pin(statement.execute(connection))
    })
    .await?;
    tracing::info!("booking refunded");
    Ok(())
}
