//! What an organizer changes while an event is sold: the event, its types and quotas, its promo codes.

use serde_json::{Value, json};
use tests::browser::{Browser, hidden};
use tests::{Answer, TestApp, User};

/// An organizer and their event: 40 in all, of which 10 sit.
async fn event(app: &TestApp) -> (User, Answer) {
    let organizer = app.user().await;
    let body = json!({
        "name": "Fair", "venue": "Hall 1", "starts_at": "2040-05-01T17:00:00Z", "ends_at": "2040-05-01T21:00:00Z",
        "currency": "EUR", "capacity": 40, "quotas": [{"name": "Chairs", "capacity": 10}],
        "ticket_types": [{"name": "Standing", "price": 25},
                         {"name": "Seat", "price": 40.5, "access": "CODE", "quotas": [{"name": "Chairs"}]}],
    });
    let made = app.post(&organizer, "/events", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    (organizer, made)
}

fn assert_refused(answer: &Answer, status: u16, problem: &str) {
    let got = (answer.status, answer.problem());
    assert_eq!(got, (status, problem), "{answer:?}");
}

fn type_id(event: &Answer, place: usize) -> &str {
    let id = event.body["ticket_types"][place]["ticket_type_id"].as_str();
    id.unwrap()
}

async fn patch(app: &TestApp, user: &User, path: &str, body: Value) -> Answer {
    let request = app.request("PATCH", path).bearer_auth(&user.token);
    app.send(request.json(&body)).await
}

async fn get(app: &TestApp, path: &str) -> Answer {
    app.send(app.request("GET", path)).await
}

fn path(event: &Answer) -> String {
    format!("/events/{}", event.text("event_id"))
}

#[tokio::test]
async fn an_event_is_changed_by_its_organizer_from_the_version_that_they_read() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let path = path(&event);
    let shown = get(&app, &path).await;
    let tag = shown.header("etag").unwrap().to_owned();
    assert_eq!(tag, "\"1\"");
    let change = json!({"name": "Fair 2", "capacity": 60, "ends_at": null, "time_zone": "Europe/Berlin", "max_per_user": 4});
    let request = app.request("PATCH", &path).bearer_auth(&organizer.token);
    let changed = app
        .send(request.header("if-match", &tag).json(&change))
        .await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.header("etag"), Some("\"2\""));
    for (name, value) in change.as_object().unwrap() {
        assert_eq!(&changed.body[name], value, "{name}");
    }
    assert_eq!(changed.body["available"], 60);
    assert_eq!(changed.body["ticket_types"].as_array().unwrap().len(), 2);
    let shown = get(&app, &path).await;
    assert_eq!(shown.body["ticket_types"].as_array().unwrap().len(), 1);
    assert_eq!(shown.body["name"], "Fair 2");
    let request = app.request("PATCH", &path).bearer_auth(&organizer.token);
    let late = app
        .send(request.header("if-match", &tag).json(&change))
        .await;
    assert_refused(&late, 412, "precondition-failed");
    assert_eq!(late.body["version"], 2);
    let other = app.user().await;
    let refused = patch(&app, &other, &path, json!({"name": "Mine"})).await;
    assert_refused(&refused, 403, "forbidden");
    let refused = patch(&app, &organizer, "/events/none", json!({})).await;
    assert_refused(&refused, 404, "not-found");
}

#[tokio::test]
async fn a_capacity_goes_down_to_what_is_sold_and_no_further() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let path = path(&event);
    let user = app.user().await;
    let booked = app.book(&user, event.text("event_id").as_str(), 3).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let refused = patch(&app, &organizer, &path, json!({"capacity": 2})).await;
    assert_refused(&refused, 409, "capacity-below-sold");
    assert_eq!(refused.body["least"], 3);
    let changed = patch(&app, &organizer, &path, json!({"capacity": 3})).await;
    assert_eq!(
        (changed.status, &changed.body["available"]),
        (200, &json!(0))
    );
    let refused = app.book(&user, event.text("event_id").as_str(), 1).await;
    assert_refused(&refused, 409, "sold-out");
    let quota = event.body["quotas"][0]["quota_id"].as_str().unwrap();
    let quota_path = format!("{path}/quotas/{quota}");
    let change = json!({"capacity": 12, "name": "Armchairs"});
    let changed = patch(&app, &organizer, &quota_path, change).await;
    assert_eq!(
        changed.body,
        json!({"quota_id": quota, "name": "Armchairs", "capacity": 12, "available": 12})
    );
    let none = format!("{path}/quotas/qt_{}", "0".repeat(32));
    let refused = patch(&app, &organizer, &none, json!({"capacity": 12})).await;
    assert_refused(&refused, 404, "not-found");
}

#[tokio::test]
async fn types_are_added_and_changed() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let path = path(&event);
    let table = json!({"name": "Table", "price": 200, "units": 4, "admits": 4, "quotas": [{"name": "Chairs", "units": 4}]});
    let types = format!("{path}/ticket-types");
    let added = app.post(&organizer, &types, table.clone()).await;
    assert_eq!((added.status, &added.body["available"]), (201, &json!(2)));
    let again = app.post(&organizer, &types, table).await;
    assert_refused(&again, 422, "validation-failed");
    assert_eq!(again.pointers(), ["/name"]);
    let unknown = json!({"name": "Bench", "price": 1, "quotas": [{"name": "Benches"}]});
    let refused = app.post(&organizer, &types, unknown).await;
    assert_eq!(refused.pointers(), ["/quotas/0/name"]);
    let seat = format!("{types}/{}", type_id(&event, 1));
    let opened = patch(
        &app,
        &organizer,
        &seat,
        json!({"access": "PUBLIC", "price": 30.25}),
    )
    .await;
    assert_eq!(
        (opened.status, &opened.body["access"], &opened.body["price"]),
        (200, &json!("PUBLIC"), &json!(30.25))
    );
    let user = app.user().await;
    let items = json!([{"ticket_type_id": type_id(&event, 1), "quantity": 2}]);
    let body = json!({"user_id": user.id, "event_id": event.body["event_id"], "items": items});
    let booked = app.post(&user, "/bookings", body).await;
    assert_eq!((booked.status, &booked.body["amount"]), (201, &json!(60.5)));
    let units = patch(&app, &organizer, &seat, json!({"units": 2})).await;
    assert_refused(&units, 409, "type-sold");
    let stale = app.request("PATCH", &seat).bearer_auth(&organizer.token);
    let stale = stale.header("if-match", "\"1\"");
    let stale = app.send(stale.json(&json!({"price": 1}))).await;
    assert_refused(&stale, 412, "precondition-failed");
    // The default type's price is the event's.
    let standing = format!("{types}/{}", type_id(&event, 0));
    let cheaper = patch(&app, &organizer, &standing, json!({"price": 20})).await;
    assert_eq!(cheaper.status, 200, "{cheaper:?}");
    assert_eq!(get(&app, &path).await.body["price"], 20.0);
    for (pointer, change) in [
        ("/access", json!({"access": "HIDDEN"})),
        ("/archived", json!({"archived": true})),
        ("/price", json!({"price": 0.001})),
        ("/name", json!({"name": "Seat"})),
        ("/name", json!({"name": null})),
        ("/quotas", json!({"quotas": null})),
        ("/price", json!({"price": null})),
        (
            "/min_per_order",
            json!({"min_per_order": 5, "max_per_order": 4}),
        ),
        ("/max_per_order", json!({"max_per_order": 11})),
        ("/colour", json!({"colour": "red"})),
    ] {
        let refused = patch(&app, &organizer, &standing, change).await;
        assert_refused(&refused, 422, "validation-failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
}

async fn with_code(app: &TestApp, user: &User, event: &Answer, code: &str, kind: &str) -> Answer {
    let items = json!([{"ticket_type_id": kind, "quantity": 2}]);
    let body = json!({"user_id": user.id, "event_id": event.body["event_id"], "items": items, "promo_code": code});
    app.post(user, "/bookings", body).await
}

#[tokio::test]
async fn a_quota_is_added_and_a_new_type_draws_on_it() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let quotas = format!("{}/quotas", path(&event));
    let tables = json!({"name": "Tables", "capacity": 120});
    let other = app.user().await;
    let refused = app.post(&other, &quotas, tables.clone()).await;
    assert_refused(&refused, 403, "forbidden");
    let made = app.post(&organizer, &quotas, tables.clone()).await;
    assert_eq!(
        (made.status, &made.body["available"]),
        (201, &json!(120)),
        "{made:?}"
    );
    let refused = app.post(&organizer, &quotas, tables).await;
    assert_refused(&refused, 422, "validation-failed");
    assert_eq!(refused.pointers(), ["/name"]);
    let refused = app
        .post(&organizer, &quotas, json!({"name": "None", "capacity": 0}))
        .await;
    assert_eq!(refused.pointers(), ["/capacity"]);
    let table = json!({"name": "Table", "price": 90, "quotas": [{"name": "Tables", "units": 30}]});
    let made = app
        .post(&organizer, &format!("{}/ticket-types", path(&event)), table)
        .await;
    assert_eq!(
        (made.status, &made.body["available"]),
        (201, &json!(4)),
        "{made:?}"
    );
}

#[tokio::test]
async fn a_quote_says_the_tax_that_is_part_of_the_price() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let standing = type_id(&event, 0);
    let kind = format!("{}/ticket-types/{standing}", path(&event));
    for bad in [
        json!(-1),
        json!(100.5),
        json!(7.125),
        json!("19"),
        Value::Null,
    ] {
        let refused = patch(&app, &organizer, &kind, json!({"tax_rate": bad})).await;
        assert_refused(&refused, 422, "validation-failed");
        assert_eq!(refused.pointers(), ["/tax_rate"]);
    }
    let changed = patch(&app, &organizer, &kind, json!({"tax_rate": 19.0})).await;
    assert_eq!(
        (changed.status, &changed.body["tax_rate"]),
        (200, &json!(19))
    );
    let items = json!([{"ticket_type_id": standing, "quantity": 2}]);
    let request = app.request("POST", &format!("{}/quote", path(&event)));
    let quoted = app.send(request.json(&json!({"items": items}))).await;
    assert_eq!(
        (&quoted.body["total"], &quoted.body["tax"]),
        (&json!(50.0), &json!(7.98))
    );
    let line = &quoted.body["lines"][0];
    assert_eq!(
        (&line["tax"], &line["tax_rate"]),
        (&json!(7.98), &json!(19))
    );
}

#[tokio::test]
async fn who_asks_for_many_codes_that_an_event_does_not_have_must_wait() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let codes = format!("{}/promo-codes", path(&event));
    let all = json!({"code": "ALL", "kind": "PERCENT", "value": 10});
    assert_eq!(app.post(&organizer, &codes, all).await.status, 201);
    for guess in 0..100 {
        let refused = get(&app, &format!("{codes}/GUESS-{guess}")).await;
        assert_refused(&refused, 404, "not-found");
    }
    let kind = type_id(&event, 0);
    let items = json!([{"ticket_type_id": kind, "quantity": 1}]);
    let quote = |body: Value| {
        let request = app.request("POST", &format!("{}/quote", path(&event)));
        app.send(request.json(&body))
    };
    for refused in [
        get(&app, &format!("{codes}/ALL")).await,
        quote(json!({"items": items, "promo_code": "ALL"})).await,
    ] {
        assert_refused(&refused, 429, "too-many-requests");
        let wait: u64 = refused.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=900).contains(&wait), "{wait}");
    }
    // Not without a code, not of another event, and not who is known by their account.
    assert_eq!(quote(json!({"items": items})).await.status, 200);
    let (_, other) = self::event(&app).await;
    let refused = get(&app, &format!("{}/promo-codes/ALL", path(&other))).await;
    assert_refused(&refused, 404, "not-found");
    let user = app.user().await;
    let booked = with_code(&app, &user, &event, "ALL", kind).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    for guess in 0..100 {
        let refused = with_code(&app, &user, &event, &format!("GUESS-{guess}"), kind).await;
        assert_refused(&refused, 422, "promo-invalid");
    }
    let refused = with_code(&app, &user, &event, "ALL", kind).await;
    assert_refused(&refused, 429, "too-many-requests");
}

#[tokio::test]
async fn a_promo_code_is_made_quoted_used_and_used_up() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let codes = format!("{}/promo-codes", path(&event));
    let (standing, seat) = (type_id(&event, 0), type_id(&event, 1));
    let vip = json!({"code": "vip-1", "kind": "PERCENT", "value": 10, "uses": 2,
                     "ticket_types": [{"ticket_type_id": seat, "unlocks": true}]});
    let made = app.post(&organizer, &codes, vip.clone()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let expected = json!({"code": "VIP-1", "kind": "PERCENT", "value": 10, "uses": 2, "used": 0, "counts": "ORDERS",
                          "valid_from": null, "valid_until": null,
                          "ticket_types": [{"ticket_type_id": seat, "unlocks": true}]});
    assert_eq!(made.body, expected);
    let refused = app.post(&organizer, &codes, vip).await;
    assert_refused(&refused, 409, "promo-exists");
    let user = app.user().await;
    let refused = app
        .post(&user, &codes, json!({"code": "MINE", "kind": "NONE"}))
        .await;
    assert_refused(&refused, 403, "forbidden");
    let offer = get(&app, &format!("{codes}/Vip-1")).await;
    assert_eq!(offer.body["ticket_types"].as_array().unwrap().len(), 1);
    assert_eq!(offer.body["ticket_types"][0]["price_with_code"], 36.45);
    let refused = get(&app, &format!("{codes}/VIP-2")).await;
    assert_refused(&refused, 404, "not-found");
    let quote = |code: &str, kind: &str| {
        let items = json!([{"ticket_type_id": kind, "quantity": 2}]);
        let path = format!("{}/quote", path(&event));
        let request = app.request("POST", &path);
        app.send(request.json(&json!({"items": items, "promo_code": code})))
    };
    let quoted = quote("VIP-1", seat).await;
    assert_eq!(
        (
            &quoted.body["total"],
            &quoted.body["discount"],
            &quoted.body["lines"][0]["price"]
        ),
        (&json!(72.9), &json!(8.1), &json!(40.5))
    );
    for (code, kind) in [("VIP-2", standing), ("VIP-1", standing)] {
        let refused = with_code(&app, &user, &event, code, kind).await;
        assert_refused(&refused, 422, "promo-invalid");
    }
    for _ in 0..2 {
        let booked = with_code(&app, &user, &event, "VIP-1", seat).await;
        assert_eq!((booked.status, &booked.body["amount"]), (201, &json!(72.9)));
        let shown = app
            .get(&user, &format!("/bookings/{}", booked.text("booking_id")))
            .await;
        assert_eq!(shown.body["promo_code"], "VIP-1");
    }
    let refused = with_code(&app, &user, &event, "VIP-1", seat).await;
    assert_refused(&refused, 409, "promo-used-up");
    let code = format!("{codes}/VIP-1");
    let refused = patch(&app, &organizer, &code, json!({"uses": 1})).await;
    assert_refused(&refused, 409, "capacity-below-sold");
    let changed = patch(&app, &organizer, &code, json!({"uses": null, "value": 50})).await;
    assert_eq!((changed.status, &changed.body["used"]), (200, &json!(null)));
    let booked = with_code(&app, &user, &event, "VIP-1", seat).await;
    assert_eq!((booked.status, &booked.body["amount"]), (201, &json!(40.5)));
    let listed = app.get(&organizer, &codes).await;
    assert_eq!(listed.body["items"], json!([changed.body]));
}

#[tokio::test]
async fn a_promo_code_outside_its_rules_is_pointed_at() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let codes = format!("{}/promo-codes", path(&event));
    let unknown = format!("tt_{}", "0".repeat(32));
    for (pointer, change) in [
        ("/code", json!({"code": "ab"})),
        ("/code", json!({"code": "a b c"})),
        ("/kind", json!({"kind": "percent"})),
        ("/value", json!({"value": 0})),
        ("/value", json!({"value": 101})),
        ("/value", json!({"value": 1.5})),
        ("/value", json!({"value": null})),
        ("/value", json!({"kind": "FIXED", "value": 0.001})),
        ("/value", json!({"kind": "PRICE", "value": -1})),
        ("/value", json!({"kind": "NONE"})),
        ("/uses", json!({"uses": 0})),
        ("/counts", json!({"counts": "ALL"})),
        (
            "/valid_until",
            json!({"valid_from": "2030-01-02T00:00:00Z", "valid_until": "2030-01-01T00:00:00Z"}),
        ),
        (
            "/ticket_types/0/ticket_type_id",
            json!({"ticket_types": [{"ticket_type_id": unknown}]}),
        ),
        (
            "/ticket_types/0/x",
            json!({"ticket_types": [{"ticket_type_id": unknown, "x": 1}]}),
        ),
        ("/x", json!({"x": 1})),
    ] {
        let mut body = json!({"code": "GOOD", "kind": "PERCENT", "value": 10});
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let refused = app.post(&organizer, &codes, body).await;
        assert_refused(&refused, 422, "validation-failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
}

#[tokio::test]
async fn a_booking_says_what_it_expects_to_pay_and_whom_to_write_to() {
    let app = TestApp::start().await;
    let (_, event) = event(&app).await;
    let user = app.user().await;
    let body = |amount: Value| {
        json!({"user_id": user.id, "event_id": event.body["event_id"], "tickets": 2, "expected_amount": amount,
               "contact": {"name": "Ana", "email": "ana@example.org"}})
    };
    let refused = app.post(&user, "/bookings", body(json!(49.99))).await;
    assert_refused(&refused, 409, "price-changed");
    assert_eq!(refused.body["amount"], 50.0);
    for (pointer, wrong) in [
        ("/expected_amount", body(json!(50.001))),
        ("/expected_amount", body(json!("50"))),
        (
            "/contact/email",
            json!({"user_id": user.id, "event_id": "E", "tickets": 1, "contact": {"email": "ana"}}),
        ),
        (
            "/contact/phone",
            json!({"user_id": user.id, "event_id": "E", "tickets": 1, "contact": {"phone": "1"}}),
        ),
        (
            "/contact",
            json!({"user_id": user.id, "event_id": "E", "tickets": 1, "contact": "Ana"}),
        ),
        (
            "/promo_code",
            json!({"user_id": user.id, "event_id": "E", "tickets": 1, "promo_code": "a"}),
        ),
    ] {
        let refused = app.post(&user, "/bookings", wrong).await;
        assert_refused(&refused, 422, "validation-failed");
        assert_eq!(refused.pointers(), [pointer]);
    }
    let booked = app.post(&user, "/bookings", body(json!(50))).await;
    assert_eq!(booked.status, 201, "{booked:?}");
    let shown = app
        .get(&user, &format!("/bookings/{}", booked.text("booking_id")))
        .await;
    assert_eq!(
        shown.body["contact"],
        json!({"name": "Ana", "email": "ana@example.org"})
    );
}

#[tokio::test]
async fn a_promo_code_is_typed_on_the_page_of_the_event() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let codes = format!("{}/promo-codes", path(&event));
    let seat = type_id(&event, 1);
    let vip = json!({"code": "VIP", "kind": "FIXED", "value": 10.5, "uses": 1,
                     "ticket_types": [{"ticket_type_id": seat, "unlocks": true}]});
    assert_eq!(app.post(&organizer, &codes, vip).await.status, 201);
    let browser = Browser::of(&app, &app.user().await).await;
    let id = event.text("event_id");
    assert!(!browser.get(&format!("/e/{id}")).await.html.contains("Seat"));
    let wrong = browser.get(&format!("/e/{id}?promo_code=VIPS")).await;
    assert!(wrong.html.contains("no such promo code"), "{}", wrong.html);
    let shown = browser
        .get(&format!("/e/{id}?promo_code=vip&{seat}=2"))
        .await;
    assert!(
        shown
            .html
            .contains("30.00\u{a0}EUR instead of 40.50\u{a0}EUR"),
        "{}",
        shown.html
    );
    assert!(shown.html.contains("60.00\u{a0}EUR"), "{}", shown.html);
    let form = [
        (seat, "2"),
        ("promo_code", "vip"),
        ("idempotency_key", "one"),
    ];
    let booked = browser.post(&format!("/e/{id}/book"), &form).await;
    assert_eq!(booked.status, 303);
    let hold = browser.get(&booked.location).await;
    assert!(
        hold.html.contains("60.00\u{a0}EUR") && hold.html.contains("With the code VIP"),
        "{}",
        hold.html
    );
    let other = Browser::of(&app, &app.user().await).await;
    let form = [
        (seat, "1"),
        ("promo_code", "VIP"),
        ("idempotency_key", "two"),
    ];
    let refused = other.post(&format!("/e/{id}/book"), &form).await;
    assert!(
        refused.html.contains("has been used up"),
        "{}",
        refused.html
    );
    for (code, said) in [("-", "no such promo code"), ("VIPS", "no such promo code")] {
        let form = [
            (seat, "1"),
            ("promo_code", code),
            ("idempotency_key", "three"),
        ];
        let refused = other.post(&format!("/e/{id}/book"), &form).await;
        assert!(refused.html.contains(said), "{}", refused.html);
    }
}

#[tokio::test]
async fn an_organizer_changes_an_event_its_types_quotas_and_codes_by_page() {
    let app = TestApp::start().await;
    let (organizer, event) = event(&app).await;
    let browser = Browser::of(&app, &organizer).await;
    let desk = format!("/desk/{}", event.text("event_id"));
    let edit = format!("{desk}/edit");
    assert!(browser.get(&desk).await.html.contains(&edit));
    let form = browser.get(&edit).await;
    assert_eq!(form.status, 200);
    for shown in [
        "value=\"2040-05-01T17:00\"",
        "value=\"40.50\"",
        "value=\"Chairs\"",
        "Only with a promo code",
    ] {
        assert!(form.html.contains(shown), "{shown} in {}", form.html);
    }
    let of_event = |changes: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            ("name", "Fair 2"),
            ("venue", "Hall 2"),
            ("starts_at", "2040-05-02T18:30"),
            ("ends_at", ""),
            ("time_zone", "Europe/Berlin"),
            ("capacity", "50"),
            ("max_tickets_per_booking", "6"),
            ("max_per_user", ""),
            ("hold_seconds", "900"),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        fields
    };
    let user = app.user().await;
    assert_eq!(
        app.book(&user, &event.text("event_id"), 2).await.status,
        201
    );
    for (changes, status) in [
        ([("capacity", "1")], 409),
        ([("capacity", "many")], 422),
        ([("starts_at", "soon")], 422),
        ([("starts_at", "2020-01-01T10:00")], 422),
        // Clocks skip it.
        ([("starts_at", "2040-03-25T02:30")], 422),
        ([("hold_seconds", "59")], 422),
        ([("ends_at", "2040-05-02T18:30")], 422),
        ([("time_zone", "Berlin")], 422),
        ([("name", "")], 422),
    ] {
        let refused = browser.post(&edit, &of_event(&changes)).await;
        assert_eq!(refused.status, status, "{changes:?}");
        let (field, typed) = changes[0];
        assert!(
            refused
                .html
                .contains(&format!("<li><a href=\"#event-{field}\">")),
            "{}",
            refused.html
        );
        assert!(
            refused
                .html
                .contains(&format!("value=\"{typed}\" aria-invalid")),
            "{}",
            refused.html
        );
    }
    let saved = browser.post(&edit, &of_event(&[])).await;
    assert_eq!(
        (saved.status, saved.location.as_str()),
        (303, format!("{edit}?saved=yes").as_str())
    );
    assert!(
        browser
            .get(&saved.location)
            .await
            .html
            .contains("Your changes are saved.")
    );
    let now = get(&app, &path(&event)).await;
    assert_eq!(now.body["hold_seconds"], 900);
    let seat = type_id(&event, 1);
    let quota = event.body["quotas"][0]["quota_id"].as_str().unwrap();
    let seat_path = format!("{desk}/types/{seat}");
    let quota_path = format!("{desk}/quotas/{quota}");
    let (types, codes) = (format!("{desk}/types"), format!("{desk}/codes"));
    let quotas = format!("{desk}/quotas");
    let code = format!("{codes}/VIP");
    for (path, fields) in [
        (
            &types,
            vec![
                ("name", "Bench"),
                ("price", "12,50"),
                ("access", "PUBLIC"),
                ("quotas", "Chairs"),
            ],
        ),
        (&quotas, vec![("name", "Tables"), ("capacity", "8")]),
        (
            &types,
            vec![
                ("name", "Table"),
                ("description", "For four people"),
                ("price", "80"),
                ("max_per_order", "2"),
                ("tax_rate", "7,7"),
                ("access", "PUBLIC"),
                ("quotas", "Tables"),
                ("units", "2"),
                ("admits", "4"),
            ],
        ),
        (
            &seat_path,
            vec![
                ("name", "Seat"),
                ("price", "41"),
                ("access", "CODE"),
                ("min_per_order", "1"),
                ("max_per_order", "6"),
            ],
        ),
        (&quota_path, vec![("name", "Chairs"), ("capacity", "20")]),
        (
            &codes,
            vec![
                ("code", "vip"),
                ("kind", "PERCENT"),
                ("value", "10"),
                ("uses", "5"),
                ("counts", "ORDERS"),
                ("ticket_types", seat),
                ("unlocks", "on"),
            ],
        ),
        (
            &code,
            vec![
                ("value", "20"),
                ("uses", "6"),
                ("valid_until", "2040-05-01T12:00"),
            ],
        ),
    ] {
        let saved = browser.post(path, &fields).await;
        assert_eq!(saved.status, 303, "{path}: {}", saved.html);
    }
    let api = path(&event);
    let shown = get(&app, &api).await;
    assert_eq!(
        (
            &shown.body["name"],
            &shown.body["starts_at"],
            &shown.body["ticket_types"][1]["available"]
        ),
        (&json!("Fair 2"), &json!("2040-05-02T16:30:00Z"), &json!(20))
    );
    assert_eq!(shown.body["ticket_types"][1]["price"], 12.5);
    let table = &shown.body["ticket_types"][2];
    assert_eq!(
        (&table["available"], &table["admits"], &table["tax_rate"]),
        (&json!(4), &json!(4), &json!(7.7))
    );
    let offer = get(&app, &format!("{api}/promo-codes/VIP")).await;
    assert_eq!(offer.body["ticket_types"][0]["price_with_code"], 32.8);
    for (path, fields, field) in [
        // A separator of thousands is none of decimals.
        (
            &types,
            vec![("name", "Dear"), ("price", "1,000"), ("access", "PUBLIC")],
            "new-type-price",
        ),
        (
            &codes,
            vec![
                ("code", "ALL"),
                ("kind", "NONE"),
                ("counts", "ORDERS"),
                ("unlocks", "on"),
            ],
            "new-code-ticket_types",
        ),
    ] {
        let refused = browser.post(path, &fields).await;
        assert_eq!(refused.status, 422, "{path}");
        assert!(
            refused.html.contains(&format!("#{field}")),
            "{field} in {}",
            refused.html
        );
    }
    let taken = [("code", "VIP"), ("kind", "NONE"), ("counts", "ORDERS")];
    let refused = browser.post(&codes, &taken).await;
    assert_eq!(refused.status, 409);
    assert!(refused.html.contains("#new-code-code"), "{}", refused.html);
    let stranger = Browser::of(&app, &user).await;
    assert_eq!(stranger.get(&edit).await.status, 404);
    assert_eq!(stranger.post(&edit, &of_event(&[])).await.status, 404);
    assert_eq!(Browser::open(&app).get(&edit).await.status, 303);
}

#[tokio::test]
async fn a_form_changes_only_what_was_touched_and_nothing_that_another_tab_has_changed() {
    let app = TestApp::start().await;
    let organizer = app.user().await;
    let body = json!({
        // Half past two comes twice that night: this is the second one. The sale ends at a second that no form shows.
        "name": "Night", "venue": "Hall", "starts_at": "2040-10-28T01:30:00Z", "time_zone": "Europe/Berlin",
        "capacity": 40, "ticket_types": [{"name": "All", "price": 5, "sale_until": "2040-10-01T21:59:59Z"}],
    });
    let event = app.post(&organizer, "/events", body).await;
    let browser = Browser::of(&app, &organizer).await;
    let desk = format!("/desk/{}", event.text("event_id"));
    let edit = format!("{desk}/edit");
    let shown = browser.get(&edit).await;
    let version = hidden(&shown, "version");
    let night = [
        ("name", "Long night"),
        ("venue", "Hall"),
        ("starts_at", "2040-10-28T02:30"),
        ("ends_at", ""),
        ("time_zone", "Europe/Berlin"),
        ("capacity", "40"),
        ("max_tickets_per_booking", "10"),
        ("max_per_user", ""),
        ("version", version.as_str()),
    ];
    assert_eq!(browser.post(&edit, &night).await.status, 303);
    let kind = format!("{desk}/types/{}", type_id(&event, 0));
    let all = [
        ("name", "Everybody"),
        ("description", ""),
        ("price", "5.00"),
        ("sale_from", ""),
        ("sale_until", "2040-10-01T23:59"),
        ("min_per_order", "1"),
        ("max_per_order", "10"),
    ];
    assert_eq!(browser.post(&kind, &all).await.status, 303);
    let api = path(&event);
    let now = get(&app, &api).await;
    assert_eq!(
        (&now.body["name"], &now.body["starts_at"]),
        (&json!("Long night"), &event.body["starts_at"])
    );
    let changed = &now.body["ticket_types"][0];
    assert_eq!(
        (&changed["name"], &changed["sale_until"]),
        (&json!("Everybody"), &json!("2040-10-01T21:59:59Z"))
    );
    // The other tab still shows the first version.
    let late = browser.post(&edit, &night).await;
    assert_eq!(late.status, 409);
    assert!(
        late.html.contains("The event was changed meanwhile"),
        "{}",
        late.html
    );
    // What limits a type that is not for everybody is not shown to everybody.
    let hall = json!({
        "name": "Hall", "venue": "Hall", "starts_at": "2040-10-28T01:30:00Z", "capacity": 40,
        "quotas": [{"name": "Sponsors", "capacity": 10}],
        "ticket_types": [{"name": "All", "price": 5},
                         {"name": "Sponsor", "price": 0, "access": "CODE", "quotas": [{"name": "Sponsors"}]}],
    });
    let hall = app.post(&organizer, "/events", hall).await;
    assert_eq!(hall.body["quotas"][0]["name"], "Sponsors");
    let shown = get(&app, &format!("/events/{}", hall.text("event_id"))).await;
    assert!(shown.body["quotas"].is_null(), "{shown:?}");
}
