//! Booking with promo codes, and changing what is sold meanwhile, on a database of their own.

use futures_util::future::join_all;

use super::baskets::{WRONG_QUOTAS, basket, book, execute, fair, ids, value};
use crate::bookings::basket::get_details;
use crate::bookings::reserve::{ReserveError, release};
use crate::bookings::{BookingRequest, Status};
use crate::events::{
    self, Access, EditError, EventChange, EventDetails, NewPromoCode, OwnEvent, OwnEventError,
    PromoCodeAmount, PromoCodeChange, PromoCodeCounts, PromoCodeError, PromoCodeKind,
    PromoCodeType, QuotaChange, TicketTypeChange,
};
use crate::testing::Database;
use stores::db::Db;
use values::ids::{EventId, TicketTypeId, UserId};
use values::money::{Currency, Money};

const ORGANIZER: i64 = 1;

fn event_id() -> EventId {
    "fair".parse().unwrap()
}

fn organizer() -> UserId {
    UserId::from(ORGANIZER)
}

async fn own(db: &Db) -> OwnEvent {
    own_at(db, &event_id(), None).await.unwrap()
}

async fn own_at(
    db: &Db,
    event_id: &EventId,
    version: Option<i32>,
) -> Result<OwnEvent, OwnEventError> {
    events::own(db, organizer(), event_id, version).await
}

fn dollars(amount: &str) -> PromoCodeAmount {
    PromoCodeAmount::Amount(Money::new(value(amount), Currency::default(), 1000).unwrap())
}

fn code(name: &str, kind: PromoCodeKind, amount: PromoCodeAmount) -> NewPromoCode {
    NewPromoCode {
        code: name.parse().unwrap(),
        kind,
        value: amount,
        uses: None,
        counts: PromoCodeCounts::Orders,
        valid_from: None,
        valid_until: None,
        ticket_types: Vec::new(),
    }
}

async fn add(db: &Db, new: NewPromoCode) {
    events::create_code(db, &own(db).await, new).await.unwrap();
}

fn with(name: &str, user: i64, items: &[(TicketTypeId, i32)]) -> BookingRequest {
    BookingRequest {
        promo_code: Some(name.parse().unwrap()),
        ..basket(user, items)
    }
}

fn good_for(ticket_type_id: TicketTypeId, unlocks: bool) -> Vec<PromoCodeType> {
    vec![PromoCodeType {
        ticket_type_id,
        unlocks,
    }]
}

#[tokio::test]
async fn a_code_changes_the_price_of_each_ticket_that_it_is_good_for() {
    let (database, db, event) = fair().await;
    let [standing, seat, _] = ids(&event);
    add(
        &db,
        code(
            "THIRD",
            PromoCodeKind::Percent,
            PromoCodeAmount::Percent(33),
        ),
    )
    .await;
    add(
        &db,
        code("HALF", PromoCodeKind::Percent, PromoCodeAmount::Percent(50)),
    )
    .await;
    add(&db, code("OFF-30", PromoCodeKind::Fixed, dollars("30"))).await;
    let seats_only = NewPromoCode {
        ticket_types: good_for(seat, false),
        ..code("SEATS", PromoCodeKind::Price, dollars("9.99"))
    };
    add(&db, seats_only).await;
    add(
        &db,
        code("HELLO", PromoCodeKind::None, PromoCodeAmount::Nothing),
    )
    .await;
    add(&db, code("PLAIN", PromoCodeKind::Price, dollars("30"))).await;
    // 33 % of 25.00 are 8.25, of 40.50 are 13.365, which is rounded up; 30 off 25 leave nothing. No code raises a price.
    for (name, of_standing, of_seat) in [
        ("third", 1675, 2713),
        ("HALF", 1250, 2025),
        ("off-30", 0, 1050),
        ("Seats", 2500, 999),
        ("Plain", 2500, 3000),
        ("HELLO", 2500, 4050),
    ] {
        let request = with(name, 7, &[(standing, 2), (seat, 1)]);
        let booking = book(&db, &request).await.unwrap();
        assert_eq!(booking.amount.minor(), 2 * of_standing + of_seat, "{name}");
        let details = get_details(&db, UserId::from(7), booking.booking_id);
        let details = details.await.unwrap();
        assert_eq!(details.promo_code, request.promo_code);
        let prices: Vec<_> = details
            .items
            .iter()
            .map(|item| item.price.minor())
            .collect();
        assert_eq!(prices, [of_standing, of_seat], "{name}");
        release(&db, booking.booking_id, Status::Rejected)
            .await
            .unwrap();
    }
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
}

#[tokio::test]
async fn a_code_is_used_as_often_as_it_can_be_whoever_races_and_comes_back_with_the_tickets() {
    let (database, db, event) = fair().await;
    let [standing, seat, _] = ids(&event);
    let three_orders = NewPromoCode {
        uses: Some(value("3")),
        ..code(
            "THREE",
            PromoCodeKind::Percent,
            PromoCodeAmount::Percent(10),
        )
    };
    add(&db, three_orders).await;
    let five_seats = NewPromoCode {
        uses: Some(value("5")),
        counts: PromoCodeCounts::Tickets,
        ticket_types: good_for(seat, false),
        ..code("FIVE", PromoCodeKind::Percent, PromoCodeAmount::Percent(10))
    };
    add(&db, five_seats).await;
    let processes: Vec<_> = (0..8).map(|_| database.process()).collect();
    let wanted: Vec<_> = (0..8)
        .map(|user| with("three", user + 10, &[(standing, 2)]))
        .collect();
    let racing = processes
        .iter()
        .zip(&wanted)
        .map(|(db, wanted)| book(db, wanted));
    let (booked, refused): (Vec<_>, Vec<_>) =
        join_all(racing).await.into_iter().partition(Result::is_ok);
    assert_eq!(booked.len(), 3);
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(matches!(error, ReserveError::PromoUsedUp), "{error:?}");
    }
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    let first = booked.into_iter().next().unwrap().unwrap();
    release(&db, first.booking_id, Status::Expired)
        .await
        .unwrap();
    book(&db, &wanted[0]).await.unwrap();
    // Only the tickets that it is good for use it up.
    book(&db, &with("FIVE", 30, &[(standing, 4), (seat, 3)]))
        .await
        .unwrap();
    let error = book(&db, &with("FIVE", 31, &[(seat, 3)]))
        .await
        .unwrap_err();
    assert!(matches!(error, ReserveError::PromoUsedUp), "{error:?}");
    book(&db, &with("FIVE", 31, &[(seat, 2)])).await.unwrap();
    let five = "FIVE".parse().unwrap();
    let used_up = events::own_code(&db, &own(&db).await, &five).await.unwrap();
    assert_eq!(used_up.used, Some(5));
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
}

#[tokio::test]
async fn a_type_with_access_by_code_is_sold_to_who_has_one_that_unlocks_it() {
    let (database, db, event) = fair().await;
    let [standing, seat, pair] = ids(&event);
    let hide = "update ticket_type set access = 'CODE' where name = 'Seat';
                update ticket_type set access = 'HIDDEN' where name = 'Pair'";
    execute(&database, hide).await;
    for (name, ticket_type, unlocks) in [
        ("VIP", seat, true),
        ("SHOWS", seat, false),
        ("PAIRS", pair, true),
    ] {
        let new = NewPromoCode {
            ticket_types: good_for(ticket_type, unlocks),
            ..code(name, PromoCodeKind::None, PromoCodeAmount::Nothing)
        };
        add(&db, new).await;
    }
    let shown = |name: Option<&str>| {
        let code = name.map(|name| name.parse().unwrap());
        let db = &db;
        async move {
            let event = events::get(db, &event_id(), code.as_ref()).await.unwrap();
            event.ticket_types.len()
        }
    };
    assert_eq!(shown(None).await, 1);
    assert_eq!(shown(Some("VIP")).await, 2);
    assert_eq!(shown(Some("SHOWS")).await, 1);
    book(&db, &with("VIP", 5, &[(standing, 1), (seat, 1)]))
        .await
        .unwrap();
    for refused in [
        basket(5, &[(seat, 1)]),
        with("SHOWS", 5, &[(seat, 1)]),
        with("PAIRS", 5, &[(pair, 1)]),
    ] {
        let error = book(&db, &refused).await.unwrap_err();
        assert!(
            matches!(
                error,
                ReserveError::TypeNotFound { item: 0 } | ReserveError::PromoInvalid
            ),
            "{error:?}"
        );
    }
    let error = book(&db, &with("VIP", 5, &[(standing, 1)]))
        .await
        .unwrap_err();
    assert!(matches!(error, ReserveError::PromoForOthers), "{error:?}");
    // A code for a hidden type gets the same answer as an unknown code.
    for hidden in ["PAIRS", "SHOWS", "NOTHING"] {
        let error = book(&db, &with(hidden, 5, &[(standing, 1)]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ReserveError::PromoInvalid),
            "{hidden}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_code_is_good_in_its_time_and_a_price_that_changed_is_said() {
    let (database, db, event) = fair().await;
    let [standing, _, _] = ids(&event);
    add(&db, code("EARLY", PromoCodeKind::Fixed, dollars("5"))).await;
    let expecting = |amount: &str| BookingRequest {
        expected_amount: Some(value(amount)),
        ..with("EARLY", 5, &[(standing, 2)])
    };
    match book(&db, &expecting("50")).await.unwrap_err() {
        ReserveError::PriceChanged { amount } => assert_eq!(amount.minor(), 4000),
        error => panic!("{error:?}"),
    }
    assert!(matches!(
        book(&db, &expecting("40.001")).await.unwrap_err(),
        ReserveError::ExpectedAmount(_)
    ));
    book(&db, &expecting("40.00")).await.unwrap();
    for window in [
        "valid_from = now() + interval '1 hour'",
        "valid_from = null, valid_until = now() - interval '1 second'",
    ] {
        let change = format!("update promo_code set {window}");
        database.execute(change).await;
        let error = book(&db, &expecting("40")).await.unwrap_err();
        assert!(matches!(error, ReserveError::PromoInvalid), "{error:?}");
    }
}

#[tokio::test]
async fn an_event_that_sells_is_resized_and_gives_out_no_more_than_it_has() {
    let (database, db, event) = fair().await;
    let [standing, seat, _] = ids(&event);
    let crowd: Vec<_> = (0..6).map(|_| database.process()).collect();
    let buying = crowd.iter().enumerate().map(|(user, db)| async move {
        let user = i64::try_from(user).unwrap() + 10;
        for _ in 0..8 {
            match book(db, &basket(user, &[(standing, 2), (seat, 1)])).await {
                Ok(_) | Err(ReserveError::SoldOut { .. } | ReserveError::Contended) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    });
    let resizing = async {
        for capacity in ["120", "90", "100", "30", "260", "140"] {
            let change = EventChange {
                capacity: Some(value(capacity)),
                ..EventChange::default()
            };
            match events::change_event(&db, &own(&db).await, &change).await {
                Ok(changed) => assert_eq!(changed.event.capacity.get().to_string(), capacity),
                Err(EditError::BelowSold { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    tokio::join!(join_all(buying), resizing);
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    assert_eq!(
        database
            .count("select count(*) from event join quota using (event_id) where kind = 'ROOT' and event.capacity <> quota.capacity")
            .await,
        0
    );
    let sold = database.count("select sum(tickets) from booking").await;
    let change = EventChange {
        capacity: Some(value(&(sold - 1).to_string())),
        ..EventChange::default()
    };
    let refused = events::change_event(&db, &own(&db).await, &change).await;
    match refused.unwrap_err() {
        EditError::BelowSold { least } => assert_eq!(i64::from(least), sold),
        error => panic!("{error:?}"),
    }
    let change = EventChange {
        capacity: Some(value("1000")),
        ..EventChange::default()
    };
    let grown = events::change_event(&db, &own(&db).await, &change).await;
    assert_eq!(i64::from(grown.unwrap().event.available), 1000 - sold);
    let shards =
        "select count(*) from stock join quota using (quota_id) where kind = 'ROOT' and free > 0";
    assert_eq!(database.count(shards).await, 20);
    let chairs = event.quotas[0].quota_id;
    let change = QuotaChange {
        capacity: Some(value("31")),
        name: Some(value("\"Armchairs\"")),
    };
    let changed = events::change_quota(&db, &own(&db).await, chairs, &change).await;
    assert_eq!(changed.unwrap().name.as_str(), "Armchairs");
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
}

async fn change(
    db: &Db,
    ticket_type: TicketTypeId,
    change: TicketTypeChange,
) -> Result<events::TicketType, EditError> {
    events::change_type(db, &own(db).await, ticket_type, &change).await
}

#[tokio::test]
async fn a_type_changes_for_later_bookings_and_what_one_takes_only_before_the_first() {
    let (_database, db, event) = fair().await;
    let [standing, seat, pair] = ids(&event);
    let booked = book(&db, &basket(5, &[(seat, 1)])).await.unwrap();
    let price = TicketTypeChange {
        price: Some(Money::new(value("50"), Currency::default(), 1000).unwrap()),
        ..TicketTypeChange::default()
    };
    assert_eq!(change(&db, seat, price).await.unwrap().price.minor(), 5000);
    let details = get_details(&db, UserId::from(5), booked.booking_id).await;
    assert_eq!(details.unwrap().items[0].price.minor(), 4050);
    let units = || TicketTypeChange {
        units: Some(value("3")),
        ..TicketTypeChange::default()
    };
    assert!(matches!(
        change(&db, seat, units()).await,
        Err(EditError::TypeSold)
    ));
    assert_eq!(change(&db, pair, units()).await.unwrap().available, 14);
    let more_than_there_is = TicketTypeChange {
        quotas: Some(vec![events::Draw {
            name: value("\"Chairs\""),
            units: Some(value("31")),
        }]),
        ..TicketTypeChange::default()
    };
    assert!(matches!(
        change(&db, pair, more_than_there_is).await,
        Err(EditError::Invalid { .. })
    ));
    let hidden = TicketTypeChange {
        access: Some(Access::Hidden),
        ..TicketTypeChange::default()
    };
    assert!(matches!(
        change(&db, standing, hidden).await,
        Err(EditError::Invalid { .. })
    ));
    let archived = TicketTypeChange {
        archived: Some(true),
        ..TicketTypeChange::default()
    };
    change(&db, pair, archived).await.unwrap();
    assert!(matches!(
        book(&db, &basket(6, &[(pair, 1)])).await,
        Err(ReserveError::TypeNotFound { .. })
    ));
}

#[tokio::test]
async fn a_change_is_made_by_the_organizer_and_from_the_version_that_was_read() {
    let (_database, db, event) = fair().await;
    assert_eq!(event.version, 1);
    let named = |name: &str| EventChange {
        name: Some(value(&format!("{name:?}"))),
        ..EventChange::default()
    };
    let put = async |version, name: &str| -> Result<EventDetails, EditError> {
        let own = own_at(&db, &event_id(), version).await?;
        events::change_event(&db, &own, &named(name)).await
    };
    assert_eq!(put(Some(1), "A").await.unwrap().version, 2);
    assert!(matches!(
        put(Some(1), "B").await,
        Err(EditError::Event(OwnEventError::Stale { version: 2 }))
    ));
    let racing = ["C", "D", "E"].map(|name| put(None, name));
    for changed in join_all(racing).await {
        changed.unwrap();
    }
    assert_eq!(put(None, "F").await.unwrap().version, 6);
    // Read before another change, and pinned to that.
    let (pinned, other) = (
        own_at(&db, &event_id(), Some(6)).await.unwrap(),
        own(&db).await,
    );
    events::change_event(&db, &other, &named("G"))
        .await
        .unwrap();
    assert!(matches!(
        events::change_event(&db, &pinned, &named("H")).await,
        Err(EditError::Event(OwnEventError::Stale { version: 7 }))
    ));
    let stranger = UserId::from(ORGANIZER + 1);
    assert!(matches!(
        events::own(&db, stranger, &event_id(), None).await,
        Err(OwnEventError::NotOrganizer)
    ));
}

#[tokio::test]
async fn a_code_is_changed_but_not_below_what_was_used() {
    let (database, db, event) = fair().await;
    let [standing, _, _] = ids(&event);
    add(
        &db,
        code("MANY", PromoCodeKind::Percent, PromoCodeAmount::Percent(10)),
    )
    .await;
    let uses = |uses: Option<&str>| PromoCodeChange {
        value: Some(PromoCodeAmount::Percent(20)),
        uses: Some(uses.map(value)),
        valid_from: None,
        valid_until: None,
        ticket_types: None,
    };
    let put = async |many: Option<&str>| {
        let code = "MANY".parse().unwrap();
        events::change_code(&db, &own(&db).await, &code, &uses(many)).await
    };
    put(Some("2")).await.unwrap();
    for user in [5, 6] {
        let booking = book(&db, &with("MANY", user, &[(standing, 1)]))
            .await
            .unwrap();
        assert_eq!(booking.amount.minor(), 2000);
    }
    assert!(matches!(
        put(Some("1")).await,
        Err(PromoCodeError::BelowUsed { least: 2 })
    ));
    assert_eq!(put(Some("3")).await.unwrap().used, Some(2));
    assert_eq!(put(None).await.unwrap().uses, None);
    book(&db, &with("MANY", 7, &[(standing, 1)])).await.unwrap();
    assert_eq!(database.count(WRONG_QUOTAS).await, 0);
    let same = code("MANY", PromoCodeKind::None, PromoCodeAmount::Nothing);
    let again = events::create_code(&db, &own(&db).await, same).await;
    assert!(matches!(again, Err(PromoCodeError::Exists)));
}

#[tokio::test]
async fn a_capacity_goes_down_by_what_the_release_before_stock_keeps_too() {
    let database = Database::migrated().await;
    database.add_gala(40, 30).await;
    let db = database.process();
    let resize = async |capacity: &str| {
        let change = EventChange {
            capacity: Some(value(capacity)),
            ..EventChange::default()
        };
        let gala = own_at(&db, &"gala".parse().unwrap(), None).await?;
        events::change_event(&db, &gala, &change).await
    };
    assert_eq!(resize("20").await.unwrap().event.available, 10);
    assert_eq!(resize("35").await.unwrap().event.available, 25);
    assert_eq!(resize("12").await.unwrap().event.available, 2);
    assert!(matches!(
        resize("9").await,
        Err(EditError::BelowSold { least: 10 })
    ));
    assert_eq!(resize("10").await.unwrap().event.available, 0);
}
