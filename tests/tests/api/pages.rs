//! The pages for people, as a browser without scripts asks for them.

use futures_util::future::join_all;
use serde_json::json;
use tests::browser::{Browser, hidden};
use tests::{TestApp, eventually};
use uuid::Uuid;

/// An event of two types; its id, and theirs.
async fn event(app: &TestApp, name: &str) -> (String, Vec<String>) {
    let organizer = app.user().await;
    let body = json!({
        "name": name, "venue": "Hall <1>", "starts_at": "2040-10-28T00:30:00Z", "time_zone": "Europe/Berlin",
        "currency": "EUR", "capacity": 50, "quotas": [{"name": "Chairs", "capacity": 4}],
        "ticket_types": [{"name": "Standing", "price": 25}, {"name": "Seat", "price": 1290.5, "quotas": [{"name": "Chairs"}]}],
    });
    let made = app.post(&organizer, "/events", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let types = made.body["ticket_types"].as_array().unwrap().iter();
    let types = types.map(|kind| kind["ticket_type_id"].as_str().unwrap().to_owned());
    (made.text("event_id"), types.collect())
}

#[tokio::test]
async fn a_person_makes_an_account_books_by_a_form_and_cancels() {
    let app = TestApp::start().await;
    let (event, types) = event(&app, "A & <b>").await;
    let mut browser = Browser::open(&app);
    let (path, name) = (
        format!("/e/{event}"),
        format!("p{}", Uuid::now_v7().simple()),
    );
    let shown = browser.get(&path).await;
    assert_eq!(shown.status, 200);
    assert!(shown.html.contains("A &#38; &#60;b&#62;"), "{}", shown.html);
    assert!(
        shown
            .html
            .contains("Sun, 28\u{a0}Oct 2040, 02:30\u{a0}CEST"),
        "{}",
        shown.html
    );
    assert!(
        shown
            .html
            .contains(&format!("/sign-in?next=%2Fe%2F{event}"))
    );
    let account = [
        ("username", name.as_str()),
        ("password", "password123"),
        ("email", ""),
        ("next", path.as_str()),
    ];
    let made = browser.post("/sign-up", &account).await;
    assert_eq!(made.status, 303, "{}", made.html);
    assert_eq!(
        made.location,
        format!("/sign-in?ready=1&next=%2Fe%2F{event}")
    );
    let begun = browser.post("/sign-in", &account).await;
    assert_eq!((begun.status, &begun.location), (303, &path));
    for part in [
        "__Host-session=",
        "Path=/",
        "HttpOnly",
        "Secure",
        "SameSite=Lax",
    ] {
        assert!(begun.cookie.contains(part), "{}", begun.cookie);
    }
    browser.session = begun.cookie.split(';').next().unwrap().to_owned();

    let form = browser.get(&path).await;
    let key = hidden(&form, "idempotency_key");
    let fields = [
        ("idempotency_key", key.as_str()),
        (types[0].as_str(), "2"),
        (types[1].as_str(), "1"),
    ];
    // The button was pressed three times.
    let book = format!("{path}/book");
    let held = join_all((0..3).map(|_| browser.post(&book, &fields))).await;
    assert!(
        held.iter().all(|page| page.status == 303),
        "{}",
        held[0].html
    );
    assert!(held.iter().all(|page| page.location == held[0].location));
    let booking = held[0].location.clone();
    let shown = browser.get(&booking).await;
    for part in [
        "Your tickets are reserved",
        "2 × Standing",
        "Pay 1,340.50\u{a0}EUR",
        "data-until=",
    ] {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
    let again = browser.post(&book, &[(types[0].as_str(), "1")]).await;
    assert_eq!(again.location, format!("{booking}?told=open"));
    let card = [("payment_method", "pm_card_visa")];
    let pay = format!("{booking}/pay");
    let paid = join_all((0..3).map(|_| browser.post(&pay, &card))).await;
    assert!(
        paid.iter()
            .all(|page| page.status == 303 && page.location.starts_with(&booking))
    );
    let shown = browser.get(&booking).await;
    for part in [
        "You’re going!",
        "2 × Standing",
        "1 × Seat",
        "1,340.50\u{a0}EUR",
        "Yes, cancel",
    ] {
        assert!(shown.html.contains(part), "{part} in {}", shown.html);
    }
    // The old form with another choice.
    let other = [fields[0], fields[1]];
    let refused = browser.post(&book, &other).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.html.contains("sent before with other tickets"),
        "{}",
        refused.html
    );
    assert_ne!(hidden(&refused, "idempotency_key"), key);
    let all = browser.get("/me").await;
    assert_eq!(all.html.matches("href=\"/b/").count(), 1);
    assert!(all.html.contains(&booking) && all.html.contains("3 tickets"));

    for _ in 0..2 {
        let cancelled = browser.post(&format!("{booking}/cancel"), &[]).await;
        assert_eq!((cancelled.status, &cancelled.location), (303, &booking));
    }
    let shown = browser.get(&booking).await;
    assert!(
        shown.html.contains("Your booking is cancelled"),
        "{}",
        shown.html
    );
    let out = browser.post("/sign-out", &[]).await;
    assert_eq!((out.status, out.location.as_str()), (303, "/"));
    assert!(out.cookie.contains("Max-Age=0"), "{}", out.cookie);
}

#[tokio::test]
async fn after_a_declined_card_others_may_follow_up_to_five_and_a_hold_may_be_released() {
    let app = TestApp::start().await;
    let (event, types) = event(&app, "Cards").await;
    let browser = Browser::of(&app, &app.user().await).await;
    let hold = async || {
        let key = Uuid::now_v7().to_string();
        let fields = [("idempotency_key", key.as_str()), (types[0].as_str(), "1")];
        let held = browser.post(&format!("/e/{event}/book"), &fields).await;
        assert_eq!(held.status, 303, "{}", held.html);
        held.location
    };
    let pay = async |booking: &str, card| {
        let paid = browser
            .post(&format!("{booking}/pay"), &[("payment_method", card)])
            .await;
        assert_eq!(paid.status, 303, "{}", paid.html);
        paid.location
    };
    let booking = hold().await;
    // No card of the form's is charged for one that it doesn't have.
    let unknown = [("payment_method", "pm_card_viza")];
    let refused = browser.post(&format!("{booking}/pay"), &unknown).await;
    assert_eq!(refused.status, 422, "{}", refused.html);
    let declined = pay(&booking, "pm_card_visa_chargeDeclined").await;
    assert_eq!(declined, format!("{booking}?told=declined"));
    let shown = browser.get(&declined).await;
    assert!(shown.html.contains("Your card was declined") && shown.html.contains("still reserved"));
    assert_eq!(pay(&booking, "pm_card_visa").await, booking);
    assert!(browser.get(&booking).await.html.contains("You’re going!"));

    let unknown = hold().await;
    pay(&unknown, "pm_admit_timeout").await;
    eventually("the payment is settled", async || {
        let shown = browser.get(&unknown).await;
        shown.html.contains("You’re going!").then_some(())
    })
    .await;

    let tested = hold().await;
    for _ in 0..4 {
        pay(&tested, "pm_card_visa_chargeDeclined").await;
    }
    let bank = pay(&tested, "pm_card_authenticationRequired").await;
    let shown = browser.get(&tested).await;
    assert!(shown.html.contains("what became of the last one"));
    assert!(!shown.html.contains("payment_method"), "{}", shown.html);
    assert!(shown.html.contains(&format!("href=\"{bank}\"")));
    // The way to give the tickets back stays there, and so does the reason, whatever else is told.
    let refused = browser.post(&bank, &[("answer", "no")]).await;
    for (path, reason) in [
        (&refused.location, "no more can be tried"),
        (
            &format!("{tested}?told=open"),
            "what became of the last one",
        ),
    ] {
        let shown = browser.get(path).await;
        assert!(shown.html.contains(reason), "{path}");
        assert!(!shown.html.contains("payment_method"), "{path}");
        assert!(shown.html.contains(&format!("{tested}/release")), "{path}");
    }
    browser.post(&format!("{tested}/release"), &[]).await;

    let left = app.available(&event).await;
    let released = hold().await;
    assert_eq!(app.available(&event).await, left - 1);
    let led = browser.post(&format!("{released}/release"), &[]).await;
    assert_eq!((led.status, led.location), (303, format!("/e/{event}")));
    assert_eq!(app.available(&event).await, left);
    assert!(
        browser
            .get(&released)
            .await
            .html
            .contains("Your reservation has ended")
    );
}

#[tokio::test]
async fn a_free_event_is_booked_at_once() {
    let app = TestApp::start().await;
    let event = app.event(json!({"price": 0})).await.text("event_id");
    let browser = Browser::of(&app, &app.user().await).await;
    let form = browser.get(&format!("/e/{event}")).await;
    assert!(form.html.contains("Book for free") && !form.html.contains("payment_method"));

    let kind = form
        .html
        .split("<select id=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let key = Uuid::now_v7().to_string();
    let fields = [("idempotency_key", key.as_str()), (kind, "2")];
    // The button was pressed three times.
    let book = format!("/e/{event}/book");
    let pressed = join_all((0..3).map(|_| browser.post(&book, &fields))).await;
    let booked = &pressed[0];
    for page in &pressed {
        assert_eq!((page.status, &page.location), (303, &booked.location));
    }
    let shown = browser.get(&booked.location).await;
    assert!(
        shown.html.contains("Your booking is confirmed."),
        "{}",
        shown.html
    );
    // And once more, when it was cancelled since.
    let cancelled = browser
        .post(&format!("{}/cancel", booked.location), &[])
        .await;
    assert_eq!(cancelled.status, 303, "{}", cancelled.html);
    let again = browser.post(&book, &fields).await;
    assert_eq!((again.status, &again.location), (303, &booked.location));
}

#[tokio::test]
async fn what_can_not_be_booked_is_said_beside_the_form() {
    let app = TestApp::start().await;
    let (event, types) = event(&app, "Limits").await;
    let browser = Browser::of(&app, &app.user().await).await;
    let book =
        async |fields: &[(&str, &str)]| browser.post(&format!("/e/{event}/book"), fields).await;
    let (standing, seat) = (types[0].as_str(), types[1].as_str());
    let strange = format!("tt_{}", Uuid::now_v7().simple());
    for (fields, told) in [
        (vec![], "Choose at least one ticket."),
        (vec![(standing, "0")], "Choose at least one ticket."),
        (
            vec![(standing, "8"), (seat, "3")],
            "Choose at most 10 tickets.",
        ),
        (
            vec![(standing, "11")],
            "Choose 1 to 10 tickets of this type.",
        ),
        (
            vec![(standing, "1"), (seat, "5")],
            "There are not enough tickets left of “Seat”.",
        ),
        (
            vec![(standing, "1"), (&strange, "1")],
            "This ticket type is no longer on sale.",
        ),
    ] {
        let refused = book(&fields).await;
        assert_eq!(refused.status, 409, "{fields:?}");
        assert!(refused.html.contains(told), "{told} in {}", refused.html);
        assert!(refused.html.contains("<title>Error: Limits"), "{fields:?}");
    }
    assert_eq!(book(&[(standing, "1000000")]).await.status, 404);
    assert_eq!(app.available(&event).await, 50);
    assert_eq!(browser.get("/e/nothing").await.status, 404);
    assert_eq!(
        browser
            .post("/e/nothing/book", &[(standing, "1")])
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn a_form_is_taken_from_this_site_only() {
    let app = TestApp::start().await;
    let (event, types) = event(&app, "Origins").await;
    let browser = Browser::of(&app, &app.user().await).await;
    let host = browser.url.trim_start_matches("http://").to_owned();
    let path = format!("/e/{event}/book");
    let fields = [(types[0].as_str(), "1")];
    for origin in [
        "",
        "null",
        "https://example.org",
        &host,
        &format!("http://{host}.example.org"),
    ] {
        let form = browser.form(&path, &fields);
        let form = if origin.is_empty() {
            form
        } else {
            form.header("origin", origin)
        };
        let refused = browser.send(form).await;
        assert_eq!(refused.status, 403, "{origin}");
        assert!(
            refused
                .html
                .contains("This form did not come from this site.")
        );
    }
    for path in [
        "/sign-in",
        "/sign-up",
        "/sign-out",
        "/b/bk_01a205dacee771e7b946b9382a1b206c/cancel",
    ] {
        let refused = browser.send(browser.form(path, &fields)).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    assert_eq!(app.available(&event).await, 50);
    let form = browser
        .client
        .post(format!("{}{path}", browser.url))
        .header("origin", &browser.url);
    let refused = browser.send(form.json(&json!({}))).await;
    assert_eq!(refused.status, 415);
}

#[tokio::test]
async fn who_is_not_logged_in_is_led_there_and_back_and_sees_nobodys_bookings() {
    let app = TestApp::start().await;
    let (event, types) = event(&app, "Sessions").await;
    let owner = app.user().await;
    let items = json!([{"ticket_type_id": types[0], "quantity": 1}]);
    let booked = app
        .post(
            &owner,
            "/bookings",
            json!({"user_id": owner.id, "event_id": event, "items": items}),
        )
        .await;
    let booking = format!("/b/{}", booked.text("booking_id"));
    let mut browser = Browser::open(&app);
    for session in [
        "",
        "__Host-session=forged",
        "__Host-session=a; __Host-session=b",
    ] {
        browser.session = session.to_owned();
        for path in ["/me", booking.as_str()] {
            let led = browser.get(path).await;
            let there = format!("/sign-in?next={}", path.replace('/', "%2F"));
            assert_eq!((led.status, led.location), (303, there), "{session}");
        }
        let led = browser
            .post(&format!("/e/{event}/book"), &[(types[0].as_str(), "1")])
            .await;
        assert_eq!(
            (led.status, led.location),
            (
                303,
                format!("/sign-in?next=%2Fe%2F{event}%3F{}%3D1", types[0])
            )
        );
        // What was chosen is still chosen there, and in the ways to log in and to make an account.
        let chosen = browser.get(&format!("/e/{event}?{}=1", types[0])).await;
        assert!(chosen.html.contains("<option selected>1</option>"));
        assert!(chosen.html.contains("id=\"total\""));
        for path in ["sign-in", "sign-up"] {
            let way = format!("/{path}?next=%2Fe%2F{event}%3F{}%3D1", types[0]);
            assert!(chosen.html.contains(&way), "{}", chosen.html);
        }
    }
    let stranger = Browser::of(&app, &app.user().await).await;
    assert_eq!(stranger.get(&booking).await.status, 404);
    assert_eq!(
        stranger
            .post(&format!("{booking}/cancel"), &[])
            .await
            .status,
        404
    );
    let own = Browser::of(&app, &owner).await;
    assert!(own.get(&booking).await.html.contains("Confirmed"));
    let wrong = stranger
        .post(
            "/sign-in",
            &[
                ("username", &owner.name),
                ("password", "wrong"),
                ("next", "/me"),
            ],
        )
        .await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.html.contains("Username or password is wrong.") && wrong.cookie.is_empty());
    let away = [
        ("username", owner.name.as_str()),
        ("password", "password123"),
        ("next", "//example.org"),
    ];
    assert_eq!(stranger.post("/sign-in", &away).await.location, "/");
    let taken = [
        ("username", owner.name.as_str()),
        ("password", "password123"),
    ];
    let taken = stranger.post("/sign-up", &taken).await;
    assert_eq!(taken.status, 409);
    let invalid = [
        ("username", "a b"),
        ("password", "short"),
        ("email", "nobody"),
    ];
    let invalid = stranger.post("/sign-up", &invalid).await;
    assert_eq!(invalid.status, 422);
    for told in [
        "Enter 3 to 64 letters",
        "Enter a password of 8",
        "Enter an e-mail address",
    ] {
        assert!(invalid.html.contains(told), "{told}");
    }
}

#[tokio::test]
async fn events_are_found_by_name_place_and_the_date_at_the_venue() {
    let app = TestApp::start().await;
    let name = format!("Fünde {}", Uuid::now_v7().simple());
    // It begins on the 28th in Berlin, and on the 27th in UTC.
    let organizer = app.user().await;
    let body = TestApp::event_body(json!({
        "name": name, "venue": "Kantine", "starts_at": "2040-10-27T22:30:00Z", "time_zone": "Europe/Berlin",
    }));
    assert_eq!(app.post(&organizer, "/events", body).await.status, 201);
    let browser = Browser::open(&app);
    let found = async |query: String| {
        browser
            .get(&format!("/?{query}"))
            .await
            .html
            .contains(&name)
    };
    let word = name.split(' ').nth(1).unwrap();
    assert!(found(format!("q={word}")).await);
    assert!(found(format!("q={}", word.to_uppercase())).await);
    assert!(!found(format!("q={word}x")).await);
    assert!(!found(format!("q={word}%25")).await);
    assert!(found(format!("q={word}%20kantine")).await);
    for (from, to, there) in [
        ("2040-10-28", "", true),
        ("", "2040-10-28", true),
        ("2040-10-28", "2040-10-28", true),
        ("2040-10-29", "", false),
        ("", "2040-10-27", false),
        ("nonsense", "nonsense", true),
        ("-262143-01-01", "-5000-01-01", true),
        ("0001-01-01", "9999-12-31", true),
    ] {
        assert_eq!(
            found(format!("q={word}&from={from}&to={to}")).await,
            there,
            "{from} to {to}"
        );
    }
    let wrong = browser.get("/?from=2040-02-01&to=2040-01-01").await;
    assert!(
        wrong.html.contains("must not be after the last day"),
        "{}",
        wrong.html
    );
    let none = browser.get(&format!("/?q={word}x")).await;
    assert!(none.html.contains("No events found"));
    assert_eq!(browser.get("/?q=%00%ff").await.status, 200);
    assert_eq!(browser.get("/?cursor=x").await.status, 422);
}

#[tokio::test]
async fn pages_speak_the_language_that_is_chosen_or_preferred() {
    let app = TestApp::start().await;
    let mut browser = Browser::open(&app);
    let preferred = browser
        .client
        .get(&browser.url)
        .header("accept-language", "de-AT,de;q=0.9,en;q=0.5");
    let preferred = browser.send(preferred).await;
    assert!(
        preferred.html.contains("<html lang=\"de\">")
            && preferred.html.contains("Aktuelle Veranstaltungen")
    );
    assert!(preferred.cookie.is_empty());
    assert!(browser.get("/").await.html.contains("<html lang=\"en\">"));
    let chosen = browser.get("/?q=x&lang=de").await;
    assert!(
        chosen.html.contains("href=\"/?q=x&#38;lang=en\""),
        "{}",
        chosen.html
    );
    browser.session = chosen.cookie.split(';').next().unwrap().to_owned();
    assert!(browser.get("/sign-in").await.html.contains("Benutzername"));
    assert!(
        browser
            .get("/b/nothing")
            .await
            .html
            .contains("Diese Seite gibt es nicht")
    );
}

#[tokio::test]
async fn a_page_runs_and_loads_nothing_but_our_files_and_is_small() {
    let app = TestApp::start().await;
    let (event, _) = event(&app, "Small").await;
    let browser = Browser::of(&app, &app.user().await).await;
    for path in [
        "/",
        "/me",
        "/sign-in",
        "/sign-up",
        "/b/nothing",
        &format!("/e/{event}"),
    ] {
        let page = browser.get(path).await;
        let policy = page.response["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"));
        assert_eq!(page.response["cache-control"], "no-store");
        for inline in [
            " style=",
            "<style",
            "<script>",
            "javascript:",
            " onclick=",
            "http://",
            "https://",
        ] {
            assert!(!page.html.contains(inline), "{inline} in {path}");
        }
        let mut size = page.html.len();
        let assets = page
            .html
            .split('"')
            .filter(|part| part.starts_with("/assets/"));
        for asset in assets {
            let file = browser.get(asset).await;
            assert_eq!(file.status, 200, "{asset}");
            assert_eq!(
                file.response["cache-control"],
                "public, max-age=31536000, immutable"
            );
            size += file.html.len();
        }
        assert!(size <= 50 * 1024, "{path} has {size} bytes");
    }
    let older = browser.get("/assets/000000000000.style.css").await;
    assert_eq!(
        (older.status, &older.response["cache-control"]),
        (200, &"no-cache".parse().unwrap())
    );
    for nothing in ["/assets/style.css", "/assets/x.y", "/assets/..%2Fsecret"] {
        assert_eq!(browser.get(nothing).await.status, 404, "{nothing}");
    }
}

#[tokio::test]
async fn an_organizer_puts_an_event_on_sale_and_sees_what_it_sells() {
    let app = TestApp::start().await;
    let organizer = app.user().await;
    let browser = Browser::of(&app, &organizer).await;
    assert!(
        browser
            .get("/desk")
            .await
            .html
            .contains("You have no events yet.")
    );
    let form = browser.get("/new-event").await;
    assert!(form.html.contains("Put on sale"));
    let fields = |changes: &[(&'static str, &'static str)]| {
        let mut fields = vec![
            ("name", "By page"),
            ("venue", "Hall 1"),
            ("date", "2040-10-28"),
            ("time", "02:30"),
            ("time_zone", "Europe/Berlin"),
            ("currency", "EUR"),
            ("capacity", "50"),
            ("max_tickets_per_booking", "4"),
            ("ends_at", "2040-10-28T06:00"),
            ("max_per_user", "6"),
            ("name_0", "Standing"),
            ("price_0", "25"),
            ("limit_0", ""),
            ("name_1", "Seat"),
            ("price_1", "40.50"),
            ("limit_1", "8"),
            ("name_2", ""),
            ("price_2", ""),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        fields
    };
    for (changes, field) in [
        ([("date", "2020-01-01")], "date"),
        ([("date", "soon")], "date"),
        ([("time", "25:00")], "date"),
        ([("time_zone", "Berlin")], "time_zone"),
        ([("capacity", "many")], "capacity"),
        // 1,000 must not become 1.
        ([("capacity", "1,000")], "capacity"),
        ([("limit_1", "1.000")], "limit_1"),
        ([("ends_at", "2040-10-28T02:00")], "ends_at"),
        ([("max_per_user", "0")], "max_per_user"),
        ([("price_1", "cheap")], "price_1"),
        ([("name_0", "Seat")], "name_1"),
        ([("limit_1", "0")], "limit_1"),
    ] {
        let refused = browser.post("/new-event", &fields(&changes)).await;
        assert_eq!(refused.status, 422, "{changes:?}");
        let link = format!("<li><a href=\"#{field}\">");
        assert!(refused.html.contains(&link), "{field} in {}", refused.html);
        assert!(refused.html.contains("value=\"Hall 1\""));
    }
    let id = hidden(&form, "event_id");
    let sent = [fields(&[]), vec![("event_id", id.as_str())]].concat();
    let made = browser.post("/new-event", &sent).await;
    assert_eq!(made.status, 303, "{}", made.html);
    // The button was pressed twice.
    assert_eq!(
        browser.post("/new-event", &sent).await.location,
        made.location
    );
    // Changed into another event, by the browser's back button.
    let other = [
        fields(&[("name", "Another")]),
        vec![("event_id", id.as_str())],
    ]
    .concat();
    let refused = browser.post("/new-event", &other).await;
    assert_eq!(refused.status, 422);
    assert!(refused.html.contains("press the button again"));
    let id = hidden(&refused, "event_id");
    let again = [
        fields(&[("name", "Another")]),
        vec![("event_id", id.as_str())],
    ]
    .concat();
    let another = browser.post("/new-event", &again).await;
    assert_eq!(another.status, 303);
    assert_ne!(another.location, made.location);
    let event = made.location.trim_start_matches("/desk/").to_owned();
    let shown = app
        .send(app.request("GET", &format!("/events/{event}")))
        .await;
    // The first of the two half past two of that night.
    assert_eq!(shown.body["starts_at"], "2040-10-28T00:30:00Z");
    assert_eq!(shown.body["ends_at"], "2040-10-28T05:00:00Z");
    assert_eq!(shown.body["max_per_user"], 6);
    assert_eq!(shown.body["ticket_types"][1]["available"], 8);
    let kind = |place: usize| shown.body["ticket_types"][place]["ticket_type_id"].clone();
    let buyer = app.user().await;
    let items = json!([{"ticket_type_id": kind(0), "quantity": 2}, {"ticket_type_id": kind(1), "quantity": 1}]);
    let body = json!({"user_id": buyer.id, "event_id": event, "items": items});
    assert_eq!(app.post(&buyer, "/bookings", body).await.status, 201);
    let body = json!({"user_id": buyer.id, "event_id": event, "tickets": 3, "hold": true});
    assert_eq!(app.post(&buyer, "/bookings", body).await.status, 201);
    let sales = browser.get(&made.location).await;
    for row in [
        "<td>2</td><td>3</td><td>44</td><td>50.00\u{a0}EUR</td>",
        "<td>1</td><td>0</td><td>7</td><td>40.50\u{a0}EUR</td>",
    ] {
        assert!(sales.html.contains(row), "{row} in {}", sales.html);
    }
    assert!(sales.html.contains("<rect x=") && sales.html.contains("As a table"));
    let desk = browser.get("/desk").await;
    assert!(desk.html.contains("6 of 50 taken"), "{}", desk.html);
    let stranger = Browser::of(&app, &buyer).await;
    assert_eq!(stranger.get(&made.location).await.status, 404);
    assert_eq!(stranger.get("/desk/nothing").await.status, 404);
    let nobody = Browser::open(&app);
    for path in ["/desk", "/new-event", made.location.as_str()] {
        assert_eq!(nobody.get(path).await.status, 303, "{path}");
    }
    assert_eq!(nobody.post("/new-event", &fields(&[])).await.status, 303);
}
