//! Confirm, the end of a booking that is paid, and the mark that it was announced.

use super::{Booking, BookingError, StoredBooking, booking_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, PaymentId};

/// PENDING → CONFIRMED, announced or not. `None` where the booking is not pending any more.
///
/// The payment's id is the booking's own; a free booking has none. What the request is answered from now
/// on is decided here, whoever confirms: a later cancel does not change it.
pub(super) async fn confirm(
    db: &Db,
    booking_id: BookingId,
    announced: bool,
) -> Result<Option<StoredBooking>, BookingError> {
    let confirmed = db
        .idempotent(FailPoint::Confirm, |connection| {
            let statement = booking_rows!(
                r#"
                update booking b
                   set status = 'CONFIRMED', updated_at = now(),
                       payment_id = case when amount_minor > 0 then $2::uuid end,
                       announced_at = case when $3 then now() end, first_answer = 201
                 where booking_id = $1 and status = 'PENDING'
                returning "#,
                "",
                booking_id as BookingId,
                PaymentId::of_booking(booking_id) as PaymentId,
                announced,
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    Ok(confirmed.map(StoredBooking::try_from).transpose()?)
}

/// Notes that the broker has the booking's confirmation.
pub(super) async fn mark_announced(db: &Db, booking_id: BookingId) -> Result<(), BookingError> {
    db.idempotent(FailPoint::MarkAnnounced, |connection| {
        let statement = sqlx::query!(
            "update booking set announced_at = now() where booking_id = $1 and announced_at is null",
            booking_id as BookingId,
        );
        Box::pin(statement.execute(connection))
    })
    .await?;
    Ok(())
}

/// Notes that the request was answered with 202, and so no longer runs. `None` where the booking
/// is not pending any more.
pub(super) async fn record_accepted(
    db: &Db,
    booking_id: BookingId,
) -> Result<Option<Booking>, BookingError> {
    let marked = db
        .idempotent(FailPoint::MarkUnknown, |connection| {
            let statement = booking_rows!(
                r#"
                update booking b
                   set first_answer = 202
                 where booking_id = $1 and status = 'PENDING'
                returning "#,
                "",
                booking_id as BookingId,
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    Ok(marked
        .map(StoredBooking::try_from)
        .transpose()?
        .map(|stored| stored.booking))
}
