//! Baskets of several ticket types, on a database of their own.

use std::time::Duration;

use futures_util::future::join_all;

use crate::bookings::basket::get_details;
use crate::bookings::confirm::confirm;
use crate::bookings::reserve::{Reservation, ReserveError, release, reserve, undo_reserve};
use crate::bookings::{Booking, BookingRequest, Item, Status};
use crate::events::{self, EventDetails, NewEvent};
use crate::testing::Database;
use stores::db::Db;
use values::ids::{TicketTypeId, UserId};
use values::money::{Currency, Money};

pub(super) const SWEEP_AFTER: Duration = Duration::from_secs(60);

/// Counts the quotas whose free and held units don't add up to their capacity.
pub(super) const WRONG_QUOTAS: &str = "
    select count(*) from quota q
     where capacity <> (select coalesce(sum(free), 0) from stock s where s.quota_id = q.quota_id)
                     + (select coalesce(sum(units), 0) from booking, unnest(took_quota, took_units) as t (quota, units)
                         where t.quota = q.quota_id)";

pub(super) fn value<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).unwrap()
}

/// A fair of 100: `standing` takes one of it; `seat` also one of 30 chairs, `pair` two of each.
pub(super) async fn fair() -> (Database, Db, EventDetails) {
    let database = Database::migrated().await;
    let db = database.process();
    let kind = |name: &str, price: &str, units: &str, chairs: Option<&str>| events::NewTicketType {
        name: value(&format!("{name:?}")),
        description: None,
        price: Money::new(value(price), Currency::default(), 1000).unwrap(),
        is_default: None,
        access: None,
        tax_rate: None,
        sale_from: None,
        sale_until: None,
        min_per_order: None,
        max_per_order: None,
        admits: None,
        units: Some(value(units)),
        quotas: chairs
            .map(|units| events::Draw {
                name: value("\"Chairs\""),
                units: Some(value(units)),
            })
            .into_iter()
            .collect(),
    };
    let event = NewEvent {
        event_id: Some("fair".parse().unwrap()),
        name: value("\"Fair\""),
        venue: value("\"Hall\""),
        starts_at: chrono::Utc::now() + Duration::from_secs(86_400),
        ends_at: None,
        time_zone: None,
        price: Money::new(value("25"), Currency::default(), 1000).unwrap(),
        currency: None,
        capacity: value("100"),
        max_tickets_per_booking: None,
        max_per_user: None,
        hold_seconds: None,
        quotas: vec![events::NewQuota {
            name: value("\"Chairs\""),
            capacity: value("30"),
        }],
        ticket_types: vec![
            kind("Standing", "25", "1", None),
            kind("Seat", "40.50", "1", Some("1")),
            kind("Pair", "70", "2", Some("2")),
        ],
    };
    let made = events::create(&db, UserId::from(1), event).await.unwrap();
    (database, db, made)
}

pub(super) fn ids(event: &EventDetails) -> [TicketTypeId; 3] {
    [0, 1, 2].map(|place| event.ticket_types[place].ticket_type_id)
}

pub(super) fn basket(user: i64, items: &[(TicketTypeId, i32)]) -> BookingRequest {
    let item = |&(ticket_type_id, quantity): &(TicketTypeId, i32)| Item {
        ticket_type_id,
        quantity: value(&quantity.to_string()),
    };
    BookingRequest {
        user_id: UserId::from(user),
        event_id: "fair".parse().unwrap(),
        tickets: None,
        items: items.iter().map(item).collect(),
        payment_method: None,
        hold: None,
        promo_code: None,
        expected_amount: None,
        contact: Default::default(),
    }
}

pub(super) async fn book(db: &Db, request: &BookingRequest) -> Result<Booking, ReserveError> {
    match reserve(db, SWEEP_AFTER, request, None).await? {
        Reservation::New(booking) => Ok(booking),
        Reservation::Replay(_) => panic!("it has no key"),
    }
}

async fn available(db: &Db) -> [i32; 3] {
    let event = events::get(db, &"fair".parse().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(event.ticket_types.len(), 3);
    [0, 1, 2].map(|place| event.ticket_types[place].available)
}

pub(super) async fn execute(database: &Database, sql: &'static str) {
    let mut owner = database.connect().await;
    sqlx::raw_sql(sql).execute(&mut owner).await.unwrap();
}

#[tokio::test]
async fn a_basket_takes_units_of_each_quota_and_gives_them_back_when_it_ends() {
    let (database, db, event) = fair().await;
    assert_eq!(
        [0, 1, 2].map(|place| event.ticket_types[place].available),
        [100, 30, 15]
    );
    assert_eq!(available(&db).await, [100, 30, 15]);
    let [standing, seat, pair] = ids(&event);
    let user = UserId::from(1);
    let request = basket(1, &[(pair, 3), (standing, 2), (seat, 1)]);
    let booking = book(&db, &request).await.unwrap();
    assert_eq!(
        (booking.tickets.get(), booking.amount.minor()),
        (6, 3 * 7000 + 2 * 2500 + 4050)
    );
    assert_eq!(available(&db).await, [91, 23, 11]);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    let details = get_details(&db, user, booking.booking_id).await.unwrap();
    let items = details.items.iter();
    let items: Vec<_> = items
        .map(|item| (item.name.as_str(), item.quantity.get(), item.price.minor()))
        .collect();
    assert_eq!(
        items,
        [("Standing", 2, 2500), ("Seat", 1, 4050), ("Pair", 3, 7000)]
    );
    release(&db, booking.booking_id, Status::Rejected)
        .await
        .unwrap();
    let undone = book(&db, &request).await.unwrap();
    undo_reserve(&db, undone.booking_id).await.unwrap();
    let cancelled = book(&db, &request).await.unwrap();
    confirm(&db, cancelled.booking_id, true).await.unwrap();
    crate::bookings::cancel::give_back(&db, user, cancelled.booking_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(available(&db).await, [100, 30, 15]);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    let items = "select count(*) from booking_item left join booking using (booking_id)
                  where booking.booking_id is null";
    assert_eq!(database.count(items).await, 0);
}

#[tokio::test]
async fn tickets_without_items_are_of_the_default_type() {
    let (database, db, _) = fair().await;
    let change = "update ticket_type set is_default = false;
                  update ticket_type set is_default = true where name = 'Pair'";
    execute(&database, change).await;
    let request = BookingRequest {
        tickets: Some(value("2")),
        items: Vec::new(),
        ..basket(1, &[])
    };
    let booking = book(&db, &request).await.unwrap();
    assert_eq!((booking.tickets.get(), booking.amount.minor()), (2, 14_000));
    assert_eq!(available(&db).await, [96, 26, 13]);
    let details = get_details(&db, UserId::from(1), booking.booking_id);
    assert!(details.await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_basket_that_can_not_be_had_takes_nothing_and_says_why() {
    let (database, db, event) = fair().await;
    let [standing, seat, pair] = ids(&event);
    let refused = async |items: &[(TicketTypeId, i32)]| match book(&db, &basket(1, items)).await {
        Err(error) => error,
        Ok(booking) => panic!("it was booked: {booking:?}"),
    };
    let stranger = TicketTypeId::generate();
    assert!(matches!(
        refused(&[(standing, 1), (stranger, 1)]).await,
        ReserveError::TypeNotFound { item: 1 }
    ));
    assert!(matches!(
        refused(&[(standing, 6), (seat, 5)]).await,
        ReserveError::TooManyTickets {
            most: 10,
            of_items: true
        }
    ));
    let change = "update stock set free = 5 from quota where quota.quota_id = stock.quota_id and name = 'Chairs';
                  update quota set capacity = 5 where name = 'Chairs';
                  update ticket_type set max_per_order = 2, min_per_order = 2 where name = 'Seat'";
    execute(&database, change).await;
    assert!(matches!(
        refused(&[(standing, 1), (seat, 3)]).await,
        ReserveError::OutsideOrder {
            item: Some(1),
            least: 2,
            most: 2
        }
    ));
    // Two seats and two pairs are six chairs; each type alone would fit.
    match refused(&[(standing, 1), (seat, 2), (pair, 2)]).await {
        ReserveError::SoldOut { ticket_type } => {
            assert_eq!(ticket_type, Some((seat, "Seat".to_owned())));
        }
        other => panic!("{other:?}"),
    }
    for (change, shown) in [
        (
            "update ticket_type set sale_from = now() + interval '1 hour' where name = 'Pair'",
            true,
        ),
        (
            "update ticket_type set sale_from = null, sale_until = now() where name = 'Pair'",
            true,
        ),
        (
            "update ticket_type set sale_until = null, access = 'CODE' where name = 'Pair'",
            false,
        ),
        (
            "update ticket_type set access = 'HIDDEN' where name = 'Pair'",
            false,
        ),
        (
            "update ticket_type set access = 'PUBLIC', archived_at = now() where name = 'Pair'",
            false,
        ),
    ] {
        execute(&database, change).await;
        let error = refused(&[(standing, 1), (pair, 1)]).await;
        let as_shown = match &error {
            ReserveError::NotOnSale { ticket_type } => shown && ticket_type == "Pair",
            ReserveError::TypeNotFound { item } => !shown && *item == 1,
            _ => false,
        };
        assert!(as_shown, "{change}: {error:?}");
        let listed = events::get(&db, &"fair".parse().unwrap(), None)
            .await
            .unwrap();
        let pair = listed
            .ticket_types
            .iter()
            .find(|kind| kind.ticket_type_id == pair);
        assert_eq!(
            pair.map(|pair| pair.on_sale),
            shown.then_some(false),
            "{change}"
        );
    }
    assert_eq!(database.count("select count(*) from booking").await, 0);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
}

#[tokio::test]
async fn a_crowd_with_mixed_baskets_sells_exactly_out_without_deadlock() {
    let (database, db, event) = fair().await;
    // More rows than the fair would have, so that most baskets find no row that has enough.
    let split = "update stock set free = 0;
        insert into stock select quota_id, shard, 0 from quota, generate_series(1, 9) as shard on conflict do nothing;
        update stock s set free = q.capacity / 10 from quota q where q.quota_id = s.quota_id";
    execute(&database, split).await;
    let [standing, seat, pair] = ids(&event);
    let crowd = (0..16).map(|number: usize| {
        let db = database.process();
        async move {
            let mut refused = 0;
            let mut held = Vec::new();
            for round in 0..40 {
                let items: &[_] = match (number + round) % 4 {
                    0 => &[(pair, 1), (standing, 2)],
                    1 => &[(seat, 2)],
                    2 => &[(standing, 3), (seat, 1)],
                    _ => &[(standing, 1)],
                };
                let user = i64::try_from(number).unwrap();
                match book(&db, &basket(user, items)).await {
                    Ok(booking) => held.push(booking.booking_id),
                    Err(ReserveError::SoldOut { .. }) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
                // A third goes back for a while.
                if round % 3 == 0
                    && round < 30
                    && let Some(booking) = held.pop()
                {
                    release(&db, booking, Status::Expired).await.unwrap();
                }
            }
            refused
        }
    });
    let refused: usize = join_all(crowd).await.into_iter().sum();
    assert!(refused > 0);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    // Who wants what is left gets it, to the last unit.
    let [left, chairs, _] = available(&db).await;
    for _ in 0..chairs.min(left) {
        book(&db, &basket(99, &[(seat, 1)])).await.unwrap();
    }
    for _ in 0..available(&db).await[0] {
        book(&db, &basket(99, &[(standing, 1)])).await.unwrap();
    }
    assert_eq!(available(&db).await[0], 0);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
}
