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
    /// An upper bound on the tickets that are left of the types that everybody may buy. Fewer may be left, because
    /// types share quotas.
    pub left: i64,
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
pub async fn search(
    db: &Db,
    search: &Search,
    page: &Page<EventId>,
) -> Result<Paginated<Listed>, sqlx::Error> {
    let wanted = usize::try_from(page.rows_to_read()).unwrap_or_default();
    let mut events = Vec::with_capacity(wanted);
    let mut after = page.after().cloned();
    // Some of the events read are on another date at their venue, so one read may not fill the page.
    while events.len() < wanted {
        let read = read(db, search, after.as_ref(), page.rows_to_read()).await?;
        let was_last = read.len() < wanted;
        after = read.last().map(position);
        events.extend(read.into_iter().filter(|event| search.has(event)));
        if was_last {
            break;
        }
    }
    events.truncate(wanted);
    let listed = with_prices(db, events).await?;
    Ok(page.of(listed, |listed| position(&listed.event)))
}

fn position(event: &Event) -> Position<EventId> {
    Position {
        at: event.starts_at,
        id: event.event_id.clone(),
    }
}

/// Upcoming events that contain the text and may begin within the dates. The bounds allow for every time zone, so at
/// their venues some of these events begin up to a day outside the dates.
async fn read(
    db: &Db,
    search: &Search,
    after: Option<&Position<EventId>>,
    limit: i64,
) -> Result<Vec<Event>, sqlx::Error> {
    let (from, until) = search.bounds();
    let rows = event_rows!(
        r#"
         where status = 'ON_SALE' and starts_at > now()
           and ($1::timestamptz is null or (starts_at, event_id) > ($1, $2))
           and ($4::timestamptz is null or starts_at >= $4)
           and ($5::timestamptz is null or starts_at < $5)
           and ($6 = '' or strpos(lower((name || ' ' || venue) collate "und-x-icu"), lower($6 collate "und-x-icu")) > 0)
         order by starts_at, event_id
         limit $3
        "#,
        after.map(|position| position.at),
        after.map(|position| &position.id) as Option<&EventId>,
        limit,
        from,
        until,
        search.text,
    )
    .fetch_all(db.idempotent(FailPoint("ListFoundEvents")))
    .await?;
    rows.into_iter().map(Event::try_from).collect()
}

async fn with_prices(db: &Db, events: Vec<Event>) -> Result<Vec<Listed>, sqlx::Error> {
    let ids: Vec<_> = events
        .iter()
        .map(|event| event.event_id.to_string())
        .collect();
    let prices = sqlx::query!(
        r#"
        with stock_left as (
            select q.quota_id,
                   (select coalesce(sum(free), 0)::int from stock where stock.quota_id = q.quota_id)
                   + case when q.kind = 'ROOT' then e.available else 0 end as free
              from quota q join event e using (event_id)
             where event_id = any($1) and kind <> 'USES'
        )
        select event_id as "event_id: EventId", min(price_minor) as "least!", max(price_minor) as "most!",
               sum((select min(free / units) from ticket_type_quota d join stock_left using (quota_id)
                     where d.ticket_type_id = ticket_type.ticket_type_id)) as "left!"
          from ticket_type
         where event_id = any($1) and access = 'PUBLIC' and archived_at is null and (now() < sale_until) is not false
         group by event_id
        "#,
        &ids,
    )
    .fetch_all(db.idempotent(FailPoint("ListPrices")))
    .await?;
    let listed = events.into_iter().map(|event| {
        let mut prices = prices.iter();
        let prices = prices.find(|prices| prices.event_id == event.event_id);
        let price = event.price.minor();
        let (least, most) = prices.map_or((price, price), |prices| (prices.least, prices.most));
        let free = i64::from(event.available);
        Listed {
            price_from: Money::from_minor(least, event.currency),
            several_prices: least < most,
            left: prices.map_or(free, |prices| free.min(prices.left)),
            event,
        }
    });
    Ok(listed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Database;

    /// Adds events that begin at a time of clocks in a zone, named after it.
    async fn add(database: &Database, prefix: &str, count: i32, clock: &str, zone: &str) {
        let add = format!(
            "insert into event (event_id, organizer_id, name, venue, starts_at, time_zone, price_minor, currency, capacity,
                                available, max_tickets_per_booking)
             select '{prefix}-' || n, 1, 'ÜBER {prefix}', 'Straße', timestamp '{clock}' at time zone '{zone}', '{zone}',
                    1000, 'USD', 5, 5, 4
               from generate_series(1, {count}) as n"
        );
        database.execute(add).await;
    }

    async fn found(db: &Db, wanted: &Search, limit: &str) -> (Vec<String>, bool) {
        let page = Page::parse("events", Some(limit), None).unwrap();
        let found = search(db, wanted, &page).await.unwrap();
        let ids = found.items.iter();
        let ids = ids.map(|listed| listed.event.event_id.to_string());
        (ids.collect(), found.next_cursor.is_some())
    }

    #[tokio::test]
    async fn a_page_of_a_day_is_full_though_many_events_of_the_evening_before_are_read_first() {
        let database = Database::migrated().await;
        let db = database.process();
        // In UTC these begin on the day; where they are, it is the evening before.
        add(
            &database,
            "before",
            25,
            "2040-05-01 21:00",
            "America/New_York",
        )
        .await;
        add(&database, "day", 3, "2040-05-02 20:00", "America/New_York").await;
        let day = NaiveDate::from_ymd_opt(2040, 5, 2);
        let wanted = Search {
            text: String::new(),
            from: day,
            to: day,
        };
        let (ids, more) = found(&db, &wanted, "2").await;
        assert_eq!(
            (ids, more),
            (vec!["day-1".to_owned(), "day-2".to_owned()], true)
        );
        let (ids, more) = found(&db, &wanted, "3").await;
        assert_eq!((ids.len(), more), (3, false));
    }

    #[tokio::test]
    async fn letters_of_any_alphabet_are_found_in_any_case() {
        let database = Database::migrated().await;
        let db = database.process();
        add(&database, "gala", 1, "2040-05-01 21:00", "Europe/Berlin").await;
        for (text, finds) in [("über GALA", 1), ("Über", 1), ("uber", 0), ("STRASSE", 0)] {
            let wanted = Search {
                text: text.to_owned(),
                ..Search::default()
            };
            assert_eq!(found(&db, &wanted, "5").await.0.len(), finds, "{text}");
        }
    }
}
