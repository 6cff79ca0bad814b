//! Reading bookings.

use super::{Booking, BookingError, BookingRow, StoredBooking, booking_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, UserId};
use values::page::{Page, Paginated, Position};

/// A booking of `user`.
///
/// # Errors
/// [`BookingError::NotFound`], also where it is another person's.
pub async fn get(db: &Db, user: UserId, booking_id: BookingId) -> Result<Booking, BookingError> {
    let booking = by_id(db, booking_id).await?.booking;
    if booking.user_id == user {
        Ok(booking)
    } else {
        Err(BookingError::NotFound)
    }
}

/// A page of `user`'s bookings, newest first.
///
/// # Errors
/// The store's.
pub async fn list(
    db: &Db,
    user: UserId,
    page: &Page<BookingId>,
) -> Result<Paginated<Booking>, BookingError> {
    let after = page.after();
    let rows = db
        .idempotent(FailPoint::ListBookings, |connection| {
            let statement = booking_rows!(
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
            );
            Box::pin(statement.fetch_all(connection))
        })
        .await?;
    let bookings = all(rows)?;
    Ok(page.of(bookings, |booking| Position {
        at: booking.created_at,
        id: booking.booking_id,
    }))
}

/// Any booking, for those who serve no user.
pub(super) async fn by_id(db: &Db, booking_id: BookingId) -> Result<StoredBooking, BookingError> {
    let row = db
        .idempotent(FailPoint::ReadBooking, |connection| {
            let statement = booking_rows!(
                "select",
                "from booking b where booking_id = $1",
                booking_id as BookingId
            );
            Box::pin(statement.fetch_optional(connection))
        })
        .await?;
    Ok(row.ok_or(BookingError::NotFound)?.try_into()?)
}

/// The bookings that rows hold.
pub(super) fn all(rows: Vec<BookingRow>) -> Result<Vec<Booking>, sqlx::Error> {
    rows.into_iter()
        .map(|row| StoredBooking::try_from(row).map(|stored| stored.booking))
        .collect()
}
