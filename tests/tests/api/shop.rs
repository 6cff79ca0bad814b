//! Ticket types, quotas and baskets.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{Answer, TestApp, User};

/// The body of an event with types: 100 in all, of which 30 sit.
fn fair(changes: &Value) -> Value {
    let mut body = json!({
        "name": "Fair", "venue": "Hall 1", "starts_at": "2040-05-01T17:00:00Z", "ends_at": "2040-05-01T21:00:00Z",
        "time_zone": "Europe/Berlin", "currency": "EUR", "capacity": 100,
        "quotas": [{"name": "Chairs", "capacity": 30}],
        "ticket_types": [
            {"name": "Standing", "price": 25},
            {"name": "Seat", "price": 40.5, "quotas": [{"name": "Chairs"}]},
            {"name": "Pair", "price": 70, "units": 2, "admits": 2, "quotas": [{"name": "Chairs", "units": 2}]},
        ],
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The ids of an event's types, in its order.
fn types(event: &Answer) -> Vec<String> {
    let types = event.body["ticket_types"].as_array().unwrap().iter();
    let ids = types.map(|kind| kind["ticket_type_id"].as_str().unwrap().to_owned());
    ids.collect()
}

fn basket(user: &User, event: &Answer, items: &[(&str, i64)]) -> Value {
    let items = items
        .iter()
        .map(|(kind, quantity)| json!({"ticket_type_id": kind, "quantity": quantity}));
    json!({"user_id": user.id, "event_id": event.body["event_id"], "items": items.collect::<Vec<_>>()})
}

async fn made(app: &TestApp, changes: Value) -> Answer {
    let organizer = app.user().await;
    let made = app.post(&organizer, "/events", fair(&changes)).await;
    assert_eq!(made.status, 201, "{made:?}");
    made
}

/// What is left of each type.
async fn left(app: &TestApp, event: &Answer) -> Vec<i64> {
    let path = format!("/events/{}", event.text("event_id"));
    let shown = app.send(app.request("GET", &path)).await;
    let types = shown.body["ticket_types"].as_array().unwrap().iter();
    types
        .map(|kind| kind["available"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn an_event_with_types_is_shown_as_it_was_made() {
    let app = TestApp::start().await;
    let event = made(&app, json!({})).await;
    let path = format!("/events/{}", event.text("event_id"));
    let shown = app.send(app.request("GET", &path)).await;
    assert_eq!(shown.body, event.body);
    assert_eq!(event.body["price"], 25.0);
    assert_eq!(event.body["time_zone"], "Europe/Berlin");
    assert_eq!(event.body["ends_at"], "2040-05-01T21:00:00Z");
    let mut pair = event.body["ticket_types"][2].clone();
    pair.as_object_mut().unwrap().remove("ticket_type_id");
    let expected = json!({
        "name": "Pair", "description": null, "price": 70.0, "is_default": false, "access": "PUBLIC", "available": 15,
        "on_sale": true, "sale_from": null, "sale_until": null, "min_per_order": 1, "max_per_order": 10, "admits": 2, "tax_rate": 0,
    });
    assert_eq!(pair, expected);
}

#[tokio::test]
async fn an_event_with_one_price_has_a_default_type_and_is_answered_as_ever() {
    let app = TestApp::start().await;
    let event = app.event(json!({})).await;
    let fields: Vec<_> = event.body.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "available",
            "capacity",
            "currency",
            "event_id",
            "max_tickets_per_booking",
            "name",
            "price",
            "starts_at",
            "venue"
        ]
    );
    let path = format!("/events/{}", event.text("event_id"));
    let shown = app.send(app.request("GET", &path)).await;
    assert_eq!(shown.body["time_zone"], "UTC");
    let only = &shown.body["ticket_types"][0];
    assert_eq!(
        (&only["is_default"], &only["available"]),
        (&json!(true), &json!(100))
    );
    let user = app.user().await;
    let booked = app
        .post(
            &user,
            "/bookings",
            basket(
                &user,
                &event,
                &[(only["ticket_type_id"].as_str().unwrap(), 2)],
            ),
        )
        .await;
    assert_eq!(
        (booked.status, &booked.body["amount"]),
        (201, &json!(100.0))
    );
}

#[tokio::test]
async fn a_basket_is_booked_whole_shown_by_its_items_and_given_back() {
    let app = TestApp::start().await;
    let (user, event) = (app.user().await, made(&app, json!({})).await);
    let kinds = types(&event);
    let body = basket(&user, &event, &[(&kinds[2], 2), (&kinds[0], 3)]);
    let booked = app.post_with_key(&user, "/bookings", "basket", &body).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    assert_eq!(
        (&booked.body["tickets"], &booked.body["amount"]),
        (&json!(5), &json!(215.0))
    );
    assert_eq!(left(&app, &event).await, [93, 26, 13]);
    let again = app.post_with_key(&user, "/bookings", "basket", &body).await;
    assert_eq!((again.status, &again.body), (201, &booked.body));
    let other = basket(&user, &event, &[(&kinds[2], 2), (&kinds[0], 4)]);
    let other = app
        .post_with_key(&user, "/bookings", "basket", &other)
        .await;
    assert_eq!(other.problem(), "idempotency-key-reused");
    let booking = booked.text("booking_id");
    let shown = app.get(&user, &format!("/bookings/{booking}")).await;
    let items = json!([
        {"ticket_type_id": kinds[0], "name": "Standing", "quantity": 3, "price": 25.0},
        {"ticket_type_id": kinds[2], "name": "Pair", "quantity": 2, "price": 70.0},
    ]);
    assert_eq!(shown.body["items"], items);
    assert_eq!(app.cancel(&user, &booking).await.status, 200);
    assert_eq!(left(&app, &event).await, [100, 30, 15]);
}

#[tokio::test]
async fn a_basket_that_can_not_be_had_says_which_type_and_why() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = made(
        &app,
        json!({
            "capacity": 10, "quotas": [{"name": "Chairs", "capacity": 3}],
            "ticket_types": [
                {"name": "Standing", "price": 0, "max_per_order": 4},
                {"name": "Seat", "price": 0, "min_per_order": 2, "quotas": [{"name": "Chairs"}]},
                {"name": "Later", "price": 0, "sale_from": "2040-01-01T00:00:00Z"},
            ],
        }),
    )
    .await;
    let kinds = types(&event);
    let book = async |items: &[(&str, i64)]| {
        app.post(&user, "/bookings", basket(&user, &event, items))
            .await
    };
    let sold_out = book(&[(&kinds[0], 1), (&kinds[1], 4)]).await;
    assert_eq!((sold_out.status, sold_out.problem()), (409, "sold-out"));
    assert!(sold_out.text("detail").contains("\"Seat\""), "{sold_out:?}");
    let later = book(&[(&kinds[2], 1)]).await;
    assert_eq!((later.status, later.problem()), (409, "sales-closed"));
    assert!(later.text("detail").contains("\"Later\""), "{later:?}");
    for (items, pointer) in [
        ([(&*kinds[0], 1), (&*kinds[1], 1)], "/items/1/quantity"),
        ([(&*kinds[0], 5), (&*kinds[1], 2)], "/items/0/quantity"),
        ([(&*kinds[0], 4), (&*kinds[1], 7)], "/items"),
        (
            [(&*kinds[0], 1), (&*kinds[0], 1)],
            "/items/1/ticket_type_id",
        ),
    ] {
        let refused = book(&items).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]));
    }
    let of_another = made(&app, json!({})).await;
    let stranger = book(&[(&types(&of_another)[0], 1)]).await;
    assert_eq!((stranger.status, stranger.problem()), (404, "not-found"));
    assert_eq!(left(&app, &event).await, [10, 3, 10]);
}

#[tokio::test]
async fn types_that_are_not_for_everybody_are_not_shown_and_not_sold() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = made(
        &app,
        json!({"ticket_types": [
            {"name": "Public", "price": 1},
            {"name": "Friends", "price": 1, "access": "CODE"},
            {"name": "Staff", "price": 1, "access": "HIDDEN"},
        ]}),
    )
    .await;
    let kinds = types(&event);
    assert_eq!(kinds.len(), 3);
    assert_eq!(left(&app, &event).await.len(), 1);
    for kind in &kinds[1..] {
        let refused = app
            .post(&user, "/bookings", basket(&user, &event, &[(kind, 1)]))
            .await;
        assert_eq!((refused.status, refused.problem()), (404, "not-found"));
    }
}

#[tokio::test]
async fn a_race_for_the_last_chairs_with_mixed_baskets_sells_exactly_out() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let event = made(&app, json!({"quotas": [{"name": "Chairs", "capacity": 7}]})).await;
    let kinds = types(&event);
    let baskets = [
        basket(&user, &event, &[(&kinds[1], 1)]),
        basket(&user, &event, &[(&kinds[2], 1), (&kinds[0], 1)]),
        basket(&user, &event, &[(&kinds[1], 2), (&kinds[0], 1)]),
    ];
    let crowd = (0..18).map(|number| app.post(&user, "/bookings", baskets[number % 3].clone()));
    let mut chairs = 0;
    for (number, answer) in join_all(crowd).await.into_iter().enumerate() {
        match answer.status {
            201 => chairs += [1, 2, 2][number % 3],
            _ => assert_eq!((answer.status, answer.problem()), (409, "sold-out")),
        }
    }
    assert!(chairs >= 6, "{chairs}");
    let left = left(&app, &event).await;
    assert_eq!(left[1], 7 - chairs);
    let last = app.post(&user, "/bookings", baskets[0].clone()).await;
    assert_eq!(last.status, if chairs < 7 { 201 } else { 409 });
}

#[tokio::test]
async fn each_new_field_is_as_strict_as_the_old_ones() {
    let app = TestApp::start().await;
    let user = app.user().await;
    let kind = |changes: Value| {
        let mut kind = json!({"name": "A", "price": 1});
        for (name, value) in changes.as_object().unwrap() {
            kind[name] = value.clone();
        }
        json!({"ticket_types": [kind]})
    };
    let two = |first: Value, second: Value| json!({"ticket_types": [first, second]});
    let cases = [
        (json!({"time_zone": "Berlin"}), "/time_zone"),
        (json!({"time_zone": 1}), "/time_zone"),
        (json!({"ends_at": "2040-05-01T17:00:00Z"}), "/ends_at"),
        (json!({"ends_at": "soon"}), "/ends_at"),
        (json!({"price": 5}), "/price"),
        (json!({"ticket_types": []}), "/ticket_types"),
        (json!({"ticket_types": {}}), "/ticket_types"),
        (json!({"ticket_types": [5]}), "/ticket_types/0"),
        (
            json!({"ticket_types": vec![json!({"name": "A", "price": 1}); 51]}),
            "/ticket_types",
        ),
        (
            json!({"quotas": [{"name": "Chairs", "capacity": 0}]}),
            "/quotas/0/capacity",
        ),
        (
            json!({"quotas": [{"name": "Chairs", "capacity": 1, "kind": "ROOT"}]}),
            "/quotas/0/kind",
        ),
        (
            json!({"quotas": [{"name": "Chairs", "capacity": 30}, {"name": "Chairs", "capacity": 1}]}),
            "/quotas/1/name",
        ),
        (kind(json!({"name": ""})), "/ticket_types/0/name"),
        (
            kind(json!({"description": "a\u{0}b"})),
            "/ticket_types/0/description",
        ),
        (kind(json!({"price": -1})), "/ticket_types/0/price"),
        (kind(json!({"price": 0.001})), "/ticket_types/0/price"),
        (kind(json!({"price": null})), "/ticket_types/0/price"),
        (kind(json!({"is_default": 1})), "/ticket_types/0/is_default"),
        (kind(json!({"access": "public"})), "/ticket_types/0/access"),
        (kind(json!({"access": "HIDDEN"})), "/ticket_types/0/access"),
        (
            kind(json!({"sale_from": "2040-01-01"})),
            "/ticket_types/0/sale_from",
        ),
        (
            kind(
                json!({"sale_from": "2040-01-02T00:00:00Z", "sale_until": "2040-01-02T00:00:00Z"}),
            ),
            "/ticket_types/0/sale_until",
        ),
        (
            kind(json!({"min_per_order": 0})),
            "/ticket_types/0/min_per_order",
        ),
        (
            kind(json!({"min_per_order": 3, "max_per_order": 2})),
            "/ticket_types/0/min_per_order",
        ),
        (
            kind(json!({"max_per_order": 11})),
            "/ticket_types/0/max_per_order",
        ),
        (kind(json!({"admits": 21})), "/ticket_types/0/admits"),
        (kind(json!({"units": 0})), "/ticket_types/0/units"),
        (kind(json!({"capacity": 5})), "/ticket_types/0/capacity"),
        (
            kind(json!({"quotas": [{"name": "Tables"}]})),
            "/ticket_types/0/quotas/0/name",
        ),
        (
            kind(json!({"quotas": [{"name": "Chairs"}, {"name": "Chairs"}]})),
            "/ticket_types/0/quotas/1/name",
        ),
        (
            kind(json!({"quotas": [{"name": "Chairs", "units": 31}]})),
            "/ticket_types/0/units",
        ),
        (
            two(
                json!({"name": "A", "price": 1}),
                json!({"name": "A", "price": 2}),
            ),
            "/ticket_types/1/name",
        ),
        (
            two(
                json!({"name": "A", "price": 1, "is_default": true}),
                json!({"name": "B", "price": 2, "is_default": true}),
            ),
            "/ticket_types/1/is_default",
        ),
    ];
    for (changes, pointer) in cases {
        let refused = app.post(&user, "/events", fair(&changes)).await;
        assert_eq!(
            (refused.status, refused.pointers()),
            (422, vec![pointer]),
            "{changes}: {refused:?}"
        );
    }
    let mut simple = TestApp::event_body(json!({"quotas": [{"name": "Chairs", "capacity": 1}]}));
    let refused = app.post(&user, "/events", simple.clone()).await;
    assert_eq!((refused.status, refused.pointers()), (422, vec!["/quotas"]));
    simple["quotas"] = json!(null);
    simple["ticket_types"] = json!(null);
    assert_eq!(app.post(&user, "/events", simple).await.status, 201);

    let event = made(&app, json!({})).await;
    let kinds = types(&event);
    let item = |kind: &str| json!({"ticket_type_id": kind, "quantity": 1});
    let request = |changes: Value| {
        let mut body = json!({"user_id": user.id, "event_id": event.body["event_id"]});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (changes, pointer) in [
        (json!({}), "/tickets"),
        (json!({"items": null}), "/tickets"),
        (json!({"items": []}), "/items"),
        (json!({"items": "all"}), "/items"),
        (
            json!({"items": [item(&kinds[0])], "tickets": 1}),
            "/tickets",
        ),
        (json!({"items": [item("tt_1")]}), "/items/0/ticket_type_id"),
        (
            json!({"items": [{"ticket_type_id": kinds[0], "quantity": 0}]}),
            "/items/0/quantity",
        ),
        (
            json!({"items": [{"ticket_type_id": kinds[0], "quantity": 1.5}]}),
            "/items/0/quantity",
        ),
        (
            json!({"items": [{"ticket_type_id": kinds[0]}]}),
            "/items/0/quantity",
        ),
        (
            json!({"items": [{"ticket_type_id": kinds[0], "quantity": 1, "price": 0}]}),
            "/items/0/price",
        ),
    ] {
        let refused = app.post(&user, "/bookings", request(changes.clone())).await;
        assert_eq!(
            (refused.status, refused.pointers()),
            (422, vec![pointer]),
            "{changes}"
        );
    }
    assert_eq!(left(&app, &event).await, [100, 30, 15]);
}

#[tokio::test]
async fn a_quote_says_what_a_basket_costs_and_takes_nothing() {
    let app = TestApp::start().await;
    let event = made(&app, json!({})).await;
    let kinds = types(&event);
    let path = format!("/events/{}/quote", event.text("event_id"));
    let quote = async |body: Value| app.send(app.request("POST", &path).json(&body)).await;
    let line = |kind: &str, quantity: i64| json!({"ticket_type_id": kind, "quantity": quantity});
    let quoted = quote(json!({"items": [line(&kinds[2], 2), line(&kinds[1], 1)]})).await;
    assert_eq!(quoted.status, 200, "{quoted:?}");
    assert_eq!(
        (&quoted.body["total"], &quoted.body["currency"]),
        (&json!(180.5), &json!("EUR"))
    );
    let pair = &quoted.body["lines"][0];
    assert_eq!(
        (&pair["name"], &pair["price"], &pair["amount"]),
        (&json!("Pair"), &json!(70.0), &json!(140.0))
    );
    assert_eq!(left(&app, &event).await, [100, 30, 15]);
    for (body, pointer) in [
        (json!({}), "/items"),
        (json!({"items": []}), "/items"),
        (
            json!({"items": [line(&kinds[0], 1), line(&kinds[0], 1)]}),
            "/items/1/ticket_type_id",
        ),
    ] {
        let refused = quote(body).await;
        assert_eq!((refused.status, refused.pointers()), (422, vec![pointer]));
    }
    let of_another = made(&app, json!({})).await;
    assert_eq!(
        quote(json!({"items": [line(&types(&of_another)[0], 1)]}))
            .await
            .status,
        404
    );
    let nowhere = app.request("POST", "/events/nothing/quote");
    assert_eq!(
        app.send(nowhere.json(&json!({"items": [line(&kinds[0], 1)]})))
            .await
            .status,
        404
    );
}
