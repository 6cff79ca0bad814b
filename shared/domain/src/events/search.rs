//! Searching for events to come, by name, place and date.

use chrono::{Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use super::{Event, event_rows};
use runtime::faults::FailPoint;
use stores::db::Db;
use values::ids::EventId;
use values::money::Money;
use values::page::{Page, Paginated, Position};
use values::time::Timestamp;

/// What somebody looks for. Dates are those of clocks at the venue.
#[derive(Debug, Default)]
pub struct Search {
    /// A part of the name or of the venue, in any case; empty for all.
    pub text: String,
    pub from: Option<NaiveDate>,
    pub to: Option<NaiveDate>,
}

/// An event as a list shows it.
#[derive(Debug)]
pub struct Listed {
    pub event: Event,
    /// What its cheapest ticket type costs that everybody may buy.
    pub price_from: Money,
    /// Whether another type costs more.
    pub several_prices: bool,
}

impl Search {
    fn has(&self, event: &Event) -> bool {
        let day = event.time_zone.local(event.starts_at).date_naive();
        self.from.is_none_or(|from| from <= day) && self.to.is_none_or(|to| day <= to)
    }

    /// The moments between which the events of these dates begin, whatever their zones: clocks differ from UTC by
    /// 14 hours at most.
    fn bounds(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let most = TimeDelta::hours(14);
        let midnight = |day: NaiveDate| {
            day.and_time(NaiveTime::MIN)
                .and_local_timezone(Utc)
                .single()
        };
        let from = self
            .from
            .and_then(midnight)
            .and_then(|from| from.checked_sub_signed(most));
        let end = self.to.and_then(|day| day.checked_add_days(Days::new(1)));
        (
            from,
            end.and_then(midnight)
                .and_then(|end| end.checked_add_signed(most)),
        )
    }
}

/// A page of the events to come that fit a search, soonest first.
///
/// # Errors
/// The store's.
pub async fn search(
    db: &Db,
    search: &Search,
    page: &Page<EventId>,
) -> Result<Paginated<Listed>, sqlx::Error> {
    let after = page.after();
    let (from, until) = search.bounds();
    let rows = event_rows!(
        r#"
         where status = 'ON_SALE' and starts_at > now()
           and ($1::timestamptz is null or (starts_at, event_id) > ($1, $2))
           and ($4::timestamptz is null or starts_at >= $4)
           and ($5::timestamptz is null or starts_at < $5)
           and ($6 = '' or strpos(lower(name || ' ' || venue), lower($6)) > 0)
         order by starts_at, event_id
         limit $3
        "#,
        after.map(|position| position.at),
        after.map(|position| &position.id) as Option<&EventId>,
        page.rows_to_read(),
        from,
        until,
        search.text,
    )
    .fetch_all(db.idempotent(FailPoint("ListFoundEvents")))
    .await?;
    let ids: Vec<_> = rows.iter().map(|row| row.event_id.to_string()).collect();
    let prices = sqlx::query!(
        r#"
        select event_id as "event_id: EventId", min(price_minor) as "least!", max(price_minor) as "most!"
          from ticket_type
         where event_id = any($1) and access = 'PUBLIC' and archived_at is null and (now() < sale_until) is not false
         group by event_id
        "#,
        &ids,
    )
    .fetch_all(db.idempotent(FailPoint("ListPrices")))
    .await?;
    let listed = rows.into_iter().map(|row| {
        let prices = prices.iter().find(|prices| prices.event_id == row.event_id);
        let event = Event::try_from(row)?;
        let (least, most) = prices.map_or((event.price.minor(), event.price.minor()), |prices| {
            (prices.least, prices.most)
        });
        Ok(Listed {
            price_from: Money::from_minor(least, event.currency),
            several_prices: least < most,
            event,
        })
    });
    let listed = listed.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let mut found = page.of(listed, |listed| Position {
        at: listed.event.starts_at,
        id: listed.event.event_id.clone(),
    });
    found.items.retain(|listed| search.has(&listed.event));
    Ok(found)
}
