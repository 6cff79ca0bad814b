//! The organizer's desk: their events, and what each has sold.

use super::own::OwnEvent;
use super::{Event, GetEventError, event_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::{EventId, UserId};
use values::money::Money;
use values::page::{Page, Paginated, Position};
use values::time::Timestamp;

/// How many days the sales over time show.
const DAYS: i32 = 30;

/// What was sold of one ticket type.
#[derive(Debug)]
pub struct TypeSales {
    pub name: String,
    pub price: Money,
    /// Tickets that are paid.
    pub sold: i64,
    /// Tickets that are held, or whose payment is on its way.
    pub held: i64,
    /// Tickets that are left of this type alone.
    pub left: i32,
    /// What was paid for those that are sold.
    pub revenue: Money,
}

/// What was sold on one day, by the clocks at the venue.
#[derive(Debug)]
pub struct DaySales {
    /// Its midnight.
    pub day: Timestamp,
    pub sold: i64,
}

/// What an event has sold.
#[derive(Debug)]
pub struct Sales {
    pub event: Event,
    pub types: Vec<TypeSales>,
    /// The last thirty days, without those on which nothing was sold.
    pub days: Vec<DaySales>,
}

/// A page of the events of an organizer, the last to begin first.
pub async fn of_organizer(
    db: &Db,
    organizer: UserId,
    page: &Page<EventId>,
) -> Result<Paginated<Event>, sqlx::Error> {
    let after = page.after();
    let rows = event_rows!(
        r#"
         where organizer_id = $1
           and ($2::timestamptz is null or (starts_at, event_id) < ($2, $3))
         order by starts_at desc, event_id desc
         limit $4
        "#,
        organizer as UserId,
        after.map(|position| position.at),
        after.map(|position| &position.id) as Option<&EventId>,
        page.rows_to_read(),
    )
    .fetch_all(db.idempotent(FailPoint("ListOwnEvents")))
    .await?;
    let events = rows.into_iter().map(Event::try_from);
    let events = events.collect::<Result<Vec<_>, _>>()?;
    Ok(page.of(events, |event| Position {
        at: event.starts_at,
        id: event.event_id.clone(),
    }))
}

/// What an organizer's event has sold.
pub async fn sales(db: &Db, own: &OwnEvent) -> Result<Sales, GetEventError> {
    let event_id = &own.event_id;
    let row = event_rows!("where event_id = $1", event_id as &EventId)
        .fetch_optional(db.idempotent(FailPoint("GetSoldEvent")))
        .await?;
    let event: Event = row.ok_or(GetEventError::NotFound)?.try_into()?;
    let currency = event.currency;
    let types = sqlx::query!(
        r#"
        with line as (
            select coalesce(i.ticket_type_id, (select ticket_type_id from ticket_type t
                                                where t.event_id = b.event_id and is_default)) as ticket_type_id,
                   b.status, coalesce(i.quantity, b.tickets) as quantity,
                   coalesce(i.quantity * i.unit_minor, b.amount_minor) as amount
              from booking b left join booking_item i using (booking_id)
             where b.event_id = $1 and b.status in ('HELD', 'PENDING', 'CONFIRMED')
        ), stock_left as (
            select q.quota_id,
                   (select coalesce(sum(free), 0)::int from stock where stock.quota_id = q.quota_id)
                   + case when q.kind = 'ROOT' then e.available else 0 end as free
              from quota q join event e using (event_id)
             where event_id = $1
        )
        select t.name, t.price_minor,
               coalesce(sum(quantity) filter (where status = 'CONFIRMED'), 0)::int8 as "sold!",
               coalesce(sum(quantity) filter (where status <> 'CONFIRMED'), 0)::int8 as "held!",
               coalesce(sum(amount) filter (where status = 'CONFIRMED'), 0)::int8 as "revenue!",
               (select min(free / units) from ticket_type_quota d join stock_left using (quota_id)
                 where d.ticket_type_id = t.ticket_type_id) as "left!"
          from ticket_type t left join line using (ticket_type_id)
         where t.event_id = $1
         group by t.ticket_type_id
         order by t.position
        "#,
        event_id as &EventId,
    )
    .fetch_all(db.idempotent(FailPoint("GetSalesByType")))
    .await?;
    let days = sqlx::query!(
        r#"
        select date_bin('15 minutes', created_at, timestamptz 'epoch') as "at!: Timestamp", sum(tickets)::int8 as "sold!"
          from booking
         where event_id = $1 and status = 'CONFIRMED' and created_at > now() - make_interval(days => $2)
         group by 1
         order by 1
        "#,
        event_id as &EventId,
        DAYS,
    )
    .fetch_all(db.idempotent(FailPoint("GetSalesByDay")))
    .await?;
    let types = types.into_iter().map(|row| TypeSales {
        name: row.name,
        price: Money::from_minor(row.price_minor, currency),
        sold: row.sold,
        held: row.held,
        left: row.left,
        revenue: Money::from_minor(row.revenue, currency),
    });
    // Days are computed with our own time zones, because PostgreSQL's may be older. Clocks differ from UTC by a
    // multiple of 15 minutes.
    let day = |at: &Timestamp| event.time_zone.local(*at).date_naive();
    let days = days.chunk_by(|one, next| day(&one.at) == day(&next.at));
    let days = days.filter_map(|day| {
        Some(DaySales {
            day: day.first()?.at,
            sold: day.iter().map(|row| row.sold).sum(),
        })
    });
    let days = days.collect();
    Ok(Sales {
        types: types.collect(),
        days,
        event,
    })
}
