//! Reading bookings.

use super::{Booking, booking_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, UserId};
use values::page::{Page, Paginated, Position};

/// Why a booking can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetBookingError {
    /// Also where it is another person's.
    #[error("there is no such booking")]
    NotFound,
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// A booking of `user`.
///
/// # Errors
/// See [`GetBookingError`].
pub(super) async fn get(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<Booking, GetBookingError> {
    of_user(db, user, booking_id)
        .await?
        .ok_or(GetBookingError::NotFound)
}

/// A booking of `user`, if it is theirs.
pub(super) async fn of_user(
    db: &Db,
    user: UserId,
    booking_id: BookingId,
) -> Result<Option<Booking>, sqlx::Error> {
    let booking = by_id(db, booking_id).await?;
    Ok(booking.filter(|booking| booking.user_id == user))
}

/// A page of `user`'s bookings, newest first.
///
/// # Errors
/// The store's.
pub async fn list(
    db: &Db,
    user: UserId,
    page: &Page<BookingId>,
) -> Result<Paginated<Booking>, sqlx::Error> {
    let after = page.after();
    let rows = booking_rows!(
        "select",
        r#"
          from booking b
         where user_id = $1
           and ($2::timestamptz is null or (created_at, booking_id) < ($2, $3))
         order by created_at desc, booking_id desc
         limit $4
        "#,
        user as UserId,
        after.map(|position| position.at),
        after.map(|position| position.id) as Option<BookingId>,
        page.rows_to_read(),
    )
    .fetch_all(db.idempotent(FailPoint("ListBookings")))
    .await?;
    let bookings = rows
        .into_iter()
        .map(Booking::try_from)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(page.of(bookings, |booking| Position {
        at: booking.created_at,
        id: booking.booking_id,
    }))
}

/// Any booking, for those who serve no user.
pub(super) async fn by_id(db: &Db, booking_id: BookingId) -> Result<Option<Booking>, sqlx::Error> {
    let row = booking_rows!(
        "select",
        "from booking b where booking_id = $1",
        booking_id as BookingId
    )
    .fetch_optional(db.idempotent(FailPoint("ReadBooking")))
    .await?;
    row.map(Booking::try_from).transpose()
}
