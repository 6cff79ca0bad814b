//! Reading bookings.

use super::{Booking, booking_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{BookingId, UserId};
use values::page::{Page, Paginated, Position};
use values::time::{TimeZone, Timestamp};

/// Why a booking can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum GetBookingError {
    /// Also returned for another user's booking.
    #[error("there is no such booking")]
    NotFound,
    #[error("the booking store")]
    Database(#[from] sqlx::Error),
}

/// A booking of `user`.
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

/// The event of a booking, as far as a list of bookings shows it.
#[derive(Debug)]
pub struct BookedEvent {
    pub name: String,
    pub venue: String,
    pub starts_at: Timestamp,
    pub time_zone: TimeZone,
}

/// A page of `user`'s bookings with their events, newest first.
pub async fn list_with_events(
    db: &Db,
    user: UserId,
    page: &Page<BookingId>,
) -> Result<Paginated<(Booking, BookedEvent)>, sqlx::Error> {
    let bookings = list(db, user, page).await?;
    let events: Vec<_> = bookings
        .items
        .iter()
        .map(|booking| booking.event_id.as_str().to_owned())
        .collect();
    let rows = sqlx::query!(
        r#"
        select event_id, name, venue, starts_at, time_zone as "time_zone: TimeZone"
          from event
         where event_id = any($1)
        "#,
        &events,
    )
    .fetch_all(db.idempotent(FailPoint("ListBookedEvents")))
    .await?;
    let event_of = |booking: &Booking| {
        let row = rows
            .iter()
            .find(|row| row.event_id == booking.event_id.as_str())?;
        Some(BookedEvent {
            name: row.name.clone(),
            venue: row.venue.clone(),
            starts_at: row.starts_at,
            time_zone: row.time_zone.clone(),
        })
    };
    let items = bookings.items.into_iter();
    Ok(Paginated {
        items: items
            .filter_map(|booking| event_of(&booking).map(|event| (booking, event)))
            .collect(),
        next_cursor: bookings.next_cursor,
    })
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
