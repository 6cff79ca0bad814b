//! Paying a hold: the same request gets the same answer, and tries no card again.

use super::hold::{HoldPaid, PayHoldError, Said, pay_route, try_card};
use super::{BoxOffice, Status, read};
use crate::payments::PaymentMethod;
use runtime::faults::FailPoint;
use stores::db::{self, Db};
use stores::settle_queue::SettleQueue;
use values::idempotency::IdempotentRequest;
use values::ids::{BookingId, UserId};

/// What became of a request to pay.
#[derive(Debug)]
pub struct Paid {
    pub outcome: Result<HoldPaid, PayHoldError>,
    /// Whether an earlier request with the same key did it.
    pub replayed: bool,
}

/// Pays a hold of `user` with a card, unless the same request did. A declined card leaves the hold; another may follow.
pub async fn pay(
    office: &BoxOffice,
    settle_queue: &SettleQueue,
    user: UserId,
    booking_id: BookingId,
    method: PaymentMethod,
    idempotency: Option<&IdempotentRequest>,
) -> Paid {
    let before = match idempotency {
        Some(idempotency) => paid_before(office.db(), user, booking_id, idempotency).await,
        None => Ok(None),
    };
    let (outcome, replayed) = match before {
        Ok(Some(told)) => (told, true),
        Ok(None) => {
            let tried = try_card(office, settle_queue, user, booking_id, method, idempotency);
            (tried.await, false)
        }
        Err(error) => (Err(error), false),
    };
    Paid { outcome, replayed }
}

/// What an earlier request with this key was told. `None` if there was none, or if its outcome is unknown and another
/// attempt may be made. That is safe: all attempts are one payment, which is charged once.
///
/// # Errors
/// [`PayHoldError::KeyReused`], [`PayHoldError::RequestInProgress`], or the store's.
pub(super) async fn paid_before(
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
        pay_route(booking_id),
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
    let running = before.running == Some(true);
    let booking = read::of_user(db, user, booking_id).await?;
    let mut booking = booking.ok_or(PayHoldError::NotFound)?;
    let open = matches!(booking.status, Status::Held | Status::Pending);
    Ok(match answer {
        Some(Said::Declined) => {
            let hold_until = booking.hold_until;
            Some(Err(PayHoldError::Declined { hold_until }))
        }
        Some(Said::Pending) if open && running => Some(Ok(HoldPaid::Pending(booking))),
        None if open && running => return Err(PayHoldError::RequestInProgress),
        None | Some(Said::Pending) => match booking.status {
            Status::Held | Status::Pending => None,
            Status::Confirmed | Status::Cancelled => {
                // As it was said then.
                booking.status = Status::Confirmed;
                Some(Ok(HoldPaid::Confirmed(booking)))
            }
            Status::Expired | Status::Rejected => Some(Err(PayHoldError::Expired)),
        },
    })
}
