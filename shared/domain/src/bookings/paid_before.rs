//! Repeats of a request to pay a hold: the same key gets the same answer, and tries no card again.

use super::hold::{Card, HoldPaid, PayHoldError};
use super::{Status, read};
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, UserId};

/// The route of a key: a key is of one booking.
pub(super) fn route(booking_id: BookingId) -> String {
    format!("POST /bookings/{booking_id}/pay")
}

/// What a request with this key was told before; `None` where there was none, or where nobody knows and another attempt may
/// be made: all of them are one payment, which is charged once.
///
/// # Errors
/// [`PayHoldError::KeyReused`], [`PayHoldError::RequestInProgress`], or the store's.
pub async fn paid_before(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
    idempotency: &IdempotentRequest,
) -> Result<Option<Result<HoldPaid, PayHoldError>>, PayHoldError> {
    let before = sqlx::query!(
        r#"
        select r.request_hash, r.answer, b.attempt_id = r.resource_id and b.attempt_until > now() as running
          from request r
          left join booking b on b.booking_id = $4
         where r.caller = $1 and r.route = $2 and r.idempotency_key = $3
        "#,
        super::reserve::caller(user),
        route(booking_id),
        idempotency.key.as_str(),
        booking_id as BookingId,
    )
    .fetch_optional(db.idempotent(FailPoint("GetPaidBefore")))
    .await?;
    let Some(before) = before else {
        return Ok(None);
    };
    if before.request_hash != idempotency.hash.as_str() {
        return Err(PayHoldError::KeyReused);
    }
    let answer = before.answer.map(|answer| db::column("answer", &answer));
    let answer = answer.transpose()?;
    let booking = read::of_user(db, user, booking_id).await?;
    let mut booking = booking.ok_or(PayHoldError::NotFound)?;
    Ok(match (answer, booking.status) {
        (None, Status::Held | Status::Pending) if before.running == Some(true) => {
            return Err(PayHoldError::RequestInProgress);
        }
        (None | Some(Card::NotTried), Status::Held | Status::Pending) => None,
        (Some(Card::Asked), Status::Held | Status::Pending) => Some(Ok(HoldPaid::Asked(booking))),
        (Some(Card::Declined), _) => {
            let hold_until = booking.hold_until;
            Some(Err(PayHoldError::Declined { hold_until }))
        }
        (_, Status::Confirmed | Status::Cancelled) => {
            // As it was said then.
            booking.status = Status::Confirmed;
            Some(Ok(HoldPaid::Confirmed(booking)))
        }
        (_, Status::Expired | Status::Rejected) => Some(Err(PayHoldError::Expired)),
    })
}
