//! The way to each fault point: what somebody does to make the system reach it.
//!
//! A way ends when whoever took it knows its outcome, with faults or without. It returns what was answered.

use std::time::Duration;

use mongodb::bson::{Binary, DateTime, Document, doc, spec::BinarySubtype};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use shared::faults::Fault;
use tests::browser::{Browser, Page};
use tests::customer::{Payment, Purchase};
use tests::inbox::Inbox;
use tests::queues::{enqueue, publish, receive};
use tests::secrets;
use tests::stack::{Faults, end_functions};
use tests::{TestApp, User, eventually};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// How long a user, or an operator, goes on.
const PATIENCE: Duration = Duration::from_secs(40);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    Register,
    LogIn,
    FailToLogIn,
    CreateEvent,
    Book,
    /// Without a key: once, and never again.
    BookWithoutKey,
    /// The charge fails before it begins, and is settled.
    NeverBeCharged,
    /// By a function's process that has no connections yet.
    BookAfresh,
    BookTwiceWithOneKey,
    BookMoreThanThereIs,
    BookWithAnUnknownCode,
    /// More tickets than any row of the stock has alone.
    BookFromAllShards,
    /// More bookings at once than charges may run: some are charged in their turn.
    BookInACrowd,
    /// Nobody hears of the reservation, and it is taken back.
    BookUnheard,
    BeDeclined,
    /// The gateway's answer is lost, and settled.
    StayUnknown,
    /// It is lost, and can't be settled at first.
    StayUnknownForLong,
    /// The broker takes nothing at first.
    BeAnnouncedLater,
    Cancel,
    ListBookings,
    Pay,
    PayTwiceWithOneKey,
    PayAndStayUnknown,
    PayAndStayUnknownForLong,
    ForgetAPaymentKey,
    /// A message on the broker that can't be read.
    PoisonTheBroker,
    /// A message in the settle queue that can't be read.
    PoisonTheQueue,
    RedriveTheQuarantine,
    RedriveDeadAnnouncements,
    RedriveDeadSettlements,
    CleanUp,
    /// `send-notification` fails at first.
    NotifyLater,
    /// The event source loses its connection to the broker.
    ConsumeAgain,
    Migrate,
    /// A hold, its first card declined, its second paid.
    HoldAndPay,
    /// A hold whose payment is not known at first.
    HoldAndStayUnknown,
    /// A hold that its buyer gives back after a card was declined.
    HoldAndRelease,
    /// A hold that its buyer gives back after a long time, with a declined card in between.
    HoldAndForget,
    /// A hold whose buyer says no to their bank, tries again and says yes.
    HoldAndAuthenticate,
    /// A hold whose time is over, by the sweep.
    LetAHoldLapse,
    /// An organizer changes an event, its types, its quotas and its promo codes.
    ChangeAnEvent,
    ChangeAnEventByPage,
    /// By the pages.
    BookByPage,
    LogInByPage,
    CreateEventByPage,
    RegisterByPage,
    /// As CloudFormation has it done.
    Deploy,
    /// A deploy that finds no key to sign tokens with.
    MakeATokenKey,
    /// A secret gets a new password.
    Rotate,
}

/// Whoever goes a way, with an event of their own.
pub struct Traveller<'a> {
    pub app: &'a TestApp,
    pub faults: &'a Faults,
    pub user: User,
    pub event: String,
    pub purchases: Vec<Purchase>,
    pub payments: Vec<Payment>,
    /// What is on its way beside bookings, and where it has to arrive.
    pub sent: Vec<Sent>,
}

/// Something that must not be lost.
pub enum Sent {
    /// To the quarantine.
    Poison(Vec<u8>),
    /// To the notifications.
    Announcement(String),
    /// To the settle queue's dead letters.
    Letter(String),
}

impl Traveller<'_> {
    /// What has to be there before the fault is armed.
    pub async fn prepare(&mut self, way: Way) {
        match way {
            Way::BookTwiceWithOneKey | Way::Cancel => {
                let mut purchase = self.purchase(1, "pm_card_visa");
                assert!(purchase.pursue(self.app, PATIENCE).await);
                self.purchases.push(purchase);
            }
            Way::PayTwiceWithOneKey => {
                self.pay("pm_card_visa").await;
            }
            Way::BookFromAllShards => {
                // Of five tickets one is in another row, and one where the release before stock keeps it.
                sqlx::query(
                    "with event as (update event set available = 1 where event_id = $1),
                          shard as (update stock set free = free - 2
                                     where quota_id = (select quota_id from quota where event_id = $1)
                                    returning quota_id)
                     insert into stock (quota_id, shard, free) select quota_id, 1, 1 from shard",
                )
                .bind(&self.event)
                .execute(&self.app.bookings)
                .await
                .unwrap();
            }
            Way::BookAfresh => {
                end_functions(|name| name == "create-booking").await;
            }
            Way::RedriveTheQuarantine => {
                // The message is readable, as if a release that can read it had been deployed since.
                let announcement = announcement();
                self.sent.push(Sent::Announcement(
                    announcement["id"].as_str().unwrap().to_owned(),
                ));
                self.quarantine(announcement.to_string().into_bytes(), DateTime::now())
                    .await;
            }
            Way::CleanUp => {
                let old = DateTime::from_millis(0);
                self.quarantine(b"old".to_vec(), old).await;
            }
            Way::RedriveDeadAnnouncements => {
                let dead = announcement();
                self.sent
                    .push(Sent::Announcement(dead["id"].as_str().unwrap().to_owned()));
                let dead = [dead.to_string().into_bytes()];
                publish("admit.dead-letters", "admit.booking.confirmed", &dead).await;
            }
            Way::RedriveDeadSettlements => {
                // Put back, it is found to be poison again.
                let dead = format!("dead {}", Uuid::now_v7());
                enqueue("ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL", &dead).await;
                self.sent.push(Sent::Letter(dead));
            }
            Way::ForgetAPaymentKey => {
                let id = format!("pay_{}", Uuid::now_v7().simple());
                let record = doc! {
                    "_id": &id, "request_id": format!("old:{id}"), "request_hash": "hash",
                    "key_until": DateTime::from_millis(0), "booking_id": null,
                    "user_id": 0_i64, "amount_minor": 1_i64, "currency": "USD", "status": "DECLINED",
                    "created_at": DateTime::now(), "updated_at": DateTime::now(),
                };
                let payments = self.app.documents.database("payment_db");
                let payments = payments.collection::<Document>("payments");
                payments.insert_one(record).await.unwrap();
            }
            _ => {}
        }
    }

    /// Goes the way; what was answered.
    pub async fn go(&mut self, way: Way) -> String {
        let card = "pm_card_visa";
        match way {
            Way::Register => self.register().await,
            Way::LogIn => self.log_in("password123", 200).await,
            Way::FailToLogIn => self.log_in("not-my-password", 401).await,
            Way::CreateEvent => self.create_event().await,
            Way::ListBookings => self.read("/bookings").await,
            Way::Book | Way::BookAfresh => self.buy(1, card).await,
            Way::BookWithoutKey => self.buy_without_key().await,
            Way::NeverBeCharged => {
                self.faults
                    .arm_in("create-booking", "InvokeCharge", Fault::FailsBefore, 2);
                self.buy(1, card).await
            }
            Way::BeDeclined => self.buy(1, "pm_card_visa_chargeDeclined").await,
            Way::BookMoreThanThereIs => self.buy(9, card).await,
            Way::BookWithAnUnknownCode => self.guess_a_code().await,
            Way::BookFromAllShards => self.buy(5, card).await,
            Way::StayUnknown => self.buy(1, "pm_admit_timeout").await,
            // Fail the charge, its settling from the queue, and the first two tries of the sweep.
            Way::StayUnknownForLong => {
                self.fail("any", "charge-payment", 4);
                self.buy(1, "pm_admit_timeout").await
            }
            // Fail on the connection that was kept, and on the new one that replaces it.
            Way::BeAnnouncedLater => {
                self.fail("create-booking", "BrokerPublish", 2);
                self.buy(1, card).await
            }
            Way::NotifyLater => {
                self.fail("any", "send-notification", 1);
                self.buy(1, card).await
            }
            Way::ConsumeAgain => {
                self.fail("", "SourceAck", 1);
                self.buy(1, card).await
            }
            Way::BookInACrowd => self.crowd().await,
            Way::BookUnheard => {
                self.faults
                    .arm_in("create-booking", "Reserve", Fault::AnswerLost, 2);
                self.buy(1, card).await
            }
            Way::BookTwiceWithOneKey => {
                assert!(self.purchases[0].pursue(self.app, PATIENCE).await);
                self.purchases[0].answers()
            }
            Way::Cancel => {
                assert!(self.purchases[0].cancel(self.app, PATIENCE).await);
                self.purchases[0].answers()
            }
            Way::Pay => self.pay(card).await,
            Way::PayTwiceWithOneKey => {
                assert!(self.payments[0].pursue(self.app, PATIENCE).await);
                self.payments[0].answers()
            }
            Way::PayAndStayUnknown => self.pay("pm_admit_timeout").await,
            // Fail its settling from the queue (an earlier booking may use up one of the failures), then both tries
            // of the sweep's own settling.
            Way::PayAndStayUnknownForLong => {
                self.fail("any", "charge-payment", 3);
                self.fail("sweep-payments", "AdvanceRecord", 2);
                self.pay("pm_admit_timeout").await
            }
            Way::PoisonTheBroker => self.poison_the_broker().await,
            Way::PoisonTheQueue => self.poison_the_queue().await,
            Way::RedriveTheQuarantine => self.redrive("redrive-quarantine").await,
            Way::RedriveDeadAnnouncements | Way::RedriveDeadSettlements => {
                self.redrive("redrive").await
            }
            Way::CleanUp => {
                let event = json!({"source": "aws.scheduler", "detail-type": "Scheduled Event"});
                self.invoke("forget-notifications", event).await
            }
            // The sweep comes by.
            Way::ForgetAPaymentKey => "swept".to_owned(),
            Way::Migrate => self.invoke("migrate", json!({})).await,
            Way::Deploy => self.deploy().await,
            Way::MakeATokenKey => self.make_a_token_key().await,
            Way::Rotate => self.rotate().await,
            Way::HoldAndPay => {
                let (booking, held) = self.hold().await;
                let declined = self
                    .pay_hold(&booking, "pm_card_visa_chargeDeclined", 402)
                    .await;
                let paid = self.pay_hold(&booking, card, 200).await;
                format!("{held}; pay {declined}; pay {paid}")
            }
            Way::HoldAndStayUnknown => {
                let (booking, held) = self.hold().await;
                let unknown = self.pay_hold(&booking, "pm_admit_timeout", 202).await;
                format!("{held}; pay {unknown}")
            }
            Way::HoldAndRelease => {
                let (booking, held) = self.hold().await;
                let declined = self
                    .pay_hold(&booking, "pm_card_visa_chargeDeclined", 402)
                    .await;
                let path = format!("/bookings/{booking}/release");
                let released = self.insist(&[200], || self.as_user("POST", &path)).await;
                format!("{held}; pay {declined}; release {released}")
            }
            Way::HoldAndForget => {
                let (booking, held) = self.hold().await;
                let declined = self
                    .pay_hold(&booking, "pm_card_visa_chargeDeclined", 402)
                    .await;
                // When the attempt is over, the sweep looks what became of it.
                let due = "update job set next_attempt_at = now()
                            where kind = 'SETTLE' and 'bk_' || replace(key, '-', '') = $1";
                let due = sqlx::query(due).bind(&booking).execute(&self.app.bookings);
                due.await.unwrap();
                let waits = "select count(*) from job where kind = 'SETTLE' and attempts > 0
                                and next_attempt_at > now() + interval '30 seconds'
                                and 'bk_' || replace(key, '-', '') = $1";
                eventually("the job looks again later", async || {
                    let waits = sqlx::query_scalar::<_, i64>(waits).bind(&booking);
                    (waits.fetch_one(&self.app.bookings).await.ok()? == 1).then_some(())
                })
                .await;
                let path = format!("/bookings/{booking}/release");
                let released = self.insist(&[200], || self.as_user("POST", &path)).await;
                format!("{held}; pay {declined}; release {released}")
            }
            Way::HoldAndAuthenticate => self.hold_and_authenticate().await,
            Way::LetAHoldLapse => self.let_a_hold_lapse().await,
            Way::ChangeAnEvent => self.change_an_event().await,
            Way::ChangeAnEventByPage => self.change_an_event_by_page().await,
            Way::BookByPage => self.book_by_page().await,
            Way::LogInByPage => {
                let browser = Browser::open(self.app);
                self.sign_in(&browser).await.1
            }
            Way::CreateEventByPage => {
                let mut browser = Browser::open(self.app);
                browser.session = self.sign_in(&browser).await.0;
                let event = [
                    ("name", "By page"),
                    ("venue", "Hall"),
                    ("date", "2040-05-01"),
                    ("time", "20:00"),
                    ("time_zone", "Europe/Berlin"),
                    ("currency", "EUR"),
                    ("capacity", "10"),
                    ("max_tickets_per_booking", "4"),
                    ("name_0", "Standing"),
                    ("price_0", "25"),
                ];
                self.submit(&browser, "/new-event", &event, &[303]).await.1
            }
            Way::RegisterByPage => {
                let name = format!("u{}", Uuid::now_v7().simple());
                let account = [("username", name.as_str()), ("password", "password123")];
                // After a lost answer, the repeat finds the name taken.
                let browser = Browser::open(self.app);
                self.submit(&browser, "/sign-up", &account, &[303, 409])
                    .await
                    .1
            }
        }
    }

    /// Holds a ticket; the booking, and what was answered.
    async fn hold(&mut self) -> (String, String) {
        let purchase = self.purchase(1, "pm_card_visa");
        let body =
            json!({"user_id": self.user.id, "event_id": self.event, "tickets": 1, "hold": true});
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let request = self.as_user("POST", "/bookings").json(&body);
            let request = request.header("idempotency-key", &purchase.key);
            let answer = self.app.try_send(request).await;
            let status = answer.as_ref().map_or(0, |answer| answer.status);
            answers.push(status.to_string());
            if let (201, Ok(answer)) = (status, answer) {
                self.purchases.push(purchase);
                return (answer.text("booking_id"), answers.join(", "));
            }
            assert!(matches!(status, 0 | 409 | 500..), "answered {status}");
            sleep(Duration::from_millis(200)).await;
        }
        panic!("not done after {PATIENCE:?}: {answers:?}");
    }

    /// Tries a card for a hold until it is answered so. An attempt whose outcome is unknown has to end first.
    async fn pay_hold(&self, booking: &str, card: &str, wanted: u16) -> String {
        let body = json!({"payment_method": card});
        let path = format!("/bookings/{booking}/pay");
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        let key = Uuid::now_v7().to_string();
        while Instant::now() < deadline {
            let request = self.as_user("POST", &path).header("idempotency-key", &key);
            let answer = self.app.try_send(request.json(&body)).await;
            let status = answer.map_or(0, |answer| answer.status);
            answers.push(status.to_string());
            if status == wanted {
                return answers.join(", ");
            }
            assert!(matches!(status, 0 | 202 | 409 | 500..), "answered {status}");
            sleep(Duration::from_millis(500)).await;
        }
        panic!("not done after {PATIENCE:?}: {answers:?}");
    }

    /// Creates an event and changes it in every possible way. After a lost answer, the repeat finds the change made.
    async fn change_an_event(&mut self) -> String {
        let id = format!("E{}", Uuid::now_v7().simple());
        let event = json!({
            "event_id": id, "name": "Fair", "venue": "Hall", "starts_at": "2040-05-01T17:00:00Z", "capacity": 50,
            "quotas": [{"name": "Chairs", "capacity": 20}], "ticket_types": [{"name": "Standing", "price": 25, "quotas": [{"name": "Chairs"}]}],
        });
        let make = || self.as_user("POST", "/events").json(&event);
        let mut answers = vec![self.insist(&[201, 409], make).await];
        let path = format!("/events/{id}");
        let shown = self.insist_on(|| self.as_user("GET", &path)).await;
        let kind = shown["ticket_types"][0]["ticket_type_id"].as_str().unwrap();
        let quota = shown["quotas"][0]["quota_id"].as_str().unwrap();
        let seat = json!({"name": "Seat", "price": 40, "quotas": [{"name": "Chairs"}]});
        let code = json!({"code": "EARLY", "kind": "PERCENT", "value": 10, "uses": 5});
        for (method, part, body, wanted) in [
            ("PATCH", String::new(), json!({"capacity": 60}), 200),
            (
                "PATCH",
                format!("/quotas/{quota}"),
                json!({"capacity": 10}),
                200,
            ),
            (
                "POST",
                "/quotas".to_owned(),
                json!({"name": "Tables", "capacity": 5}),
                422,
            ),
            ("POST", "/ticket-types".to_owned(), seat, 422),
            (
                "PATCH",
                format!("/ticket-types/{kind}"),
                json!({"price": 20}),
                200,
            ),
            ("POST", "/promo-codes".to_owned(), code, 409),
            (
                "PATCH",
                "/promo-codes/EARLY".to_owned(),
                json!({"uses": 6}),
                200,
            ),
        ] {
            let path = format!("{path}{part}");
            let change = || self.as_user(method, &path).json(&body);
            answers.push(self.insist(&[200, 201, wanted], change).await);
        }
        let shown = self.insist_on(|| self.as_user("GET", &path)).await;
        assert_eq!(
            (
                &shown["available"],
                &shown["price"],
                &shown["quotas"][0]["capacity"]
            ),
            (&json!(60), &json!(20.0), &json!(10))
        );
        assert_eq!(shown["ticket_types"].as_array().unwrap().len(), 2);
        answers.join("; ")
    }

    async fn change_an_event_by_page(&mut self) -> String {
        let id = format!("E{}", Uuid::now_v7().simple());
        let event = TestApp::event_body(json!({"event_id": id}));
        let make = || self.as_user("POST", "/events").json(&event);
        let made = self.insist(&[201, 409], make).await;
        let mut browser = Browser::open(self.app);
        browser.session = self.sign_in(&browser).await.0;
        // Whose answer was lost finds the code there.
        let code = [("code", "EARLY"), ("kind", "NONE"), ("counts", "ORDERS")];
        let path = format!("/desk/{id}/codes");
        let coded = self.submit(&browser, &path, &code, &[303, 409]).await.1;
        format!("{made}; {coded}")
    }

    /// What a request is answered with 200.
    async fn insist_on(&self, request: impl Fn() -> RequestBuilder) -> Value {
        eventually("it is answered", async || {
            let answer = self.app.try_send(request()).await.ok()?;
            (answer.status == 200).then_some(answer.body)
        })
        .await
    }

    /// Holds a ticket, says no to the bank, then yes, and comes back from there.
    async fn hold_and_authenticate(&mut self) -> String {
        let (booking, held) = self.hold().await;
        let mut browser = Browser::open(self.app);
        browser.session = self.sign_in(&browser).await.0;
        let mut answers = vec![held];
        for answer in ["no", "yes"] {
            let path = format!("/bookings/{booking}/pay");
            let card = json!({"payment_method": "pm_card_authenticationRequired"});
            let mut asked = Vec::new();
            // An attempt whose outcome is unknown has to end first.
            let page = eventually("the bank asks", async || {
                let request = self.as_user("POST", &path).json(&card);
                let paid = self.app.try_send(request).await.ok()?;
                asked.push(paid.status.to_string());
                paid.body["next_action"]["url"].as_str().map(str::to_owned)
            })
            .await;
            answers.push(format!("pay {}", asked.join(", ")));
            let said = self
                .submit(&browser, &page, &[("answer", answer)], &[303])
                .await;
            answers.push(format!("{answer} {}", said.1));
        }
        eventually("it is paid", async || {
            let page = format!("{}/b/{booking}?told=returned", browser.url);
            let page = browser.try_send(browser.client.get(page)).await.ok()?;
            page.html.contains("You’re going!").then_some(())
        })
        .await;
        answers.join("; ")
    }

    /// Holds a ticket, moves the end of the hold into the past, and waits until the sweep has ended it.
    async fn let_a_hold_lapse(&mut self) -> String {
        let (booking, held) = self.hold().await;
        let past = "with past as (update booking set hold_until = now() - interval '1 second'
                                   where 'bk_' || replace(booking_id::text, '-', '') = $1 returning booking_id)
                    update job set due_at = now(), next_attempt_at = now() from past
                     where kind = 'EXPIRE' and key = past.booking_id::text";
        let past = sqlx::query(past).bind(&booking);
        past.execute(&self.app.bookings).await.unwrap();
        eventually("the hold is over", async || {
            let request = self.as_user("GET", &format!("/bookings/{booking}"));
            let shown = self.app.try_send(request).await.ok()?;
            (shown.body["status"] == "EXPIRED").then_some(())
        })
        .await;
        held
    }

    /// Logs in by the page; the session's cookie, and what was answered.
    async fn sign_in(&self, browser: &Browser) -> (String, String) {
        let account = [
            ("username", self.user.name.as_str()),
            ("password", "password123"),
        ];
        let (page, answers) = self.submit(browser, "/sign-in", &account, &[303]).await;
        let cookie = page.cookie.split(';').next().unwrap_or_default();
        (cookie.to_owned(), answers)
    }

    /// Books by the page, and looks at the booking.
    async fn book_by_page(&mut self) -> String {
        let mut browser = Browser::open(self.app);
        browser.session = self.sign_in(&browser).await.0;
        let shown = self.app.request("GET", &format!("/events/{}", self.event));
        let shown = self.app.send(shown).await;
        let kind = shown.body["ticket_types"][0]["ticket_type_id"].as_str();
        let purchase = self.purchase(1, "pm_card_visa");
        let fields = [
            ("idempotency_key", purchase.key.as_str()),
            (kind.unwrap(), "1"),
        ];
        let path = format!("/e/{}/book", self.event);
        let (booked, answers) = self.submit(&browser, &path, &fields, &[303]).await;
        let card = [("payment_method", purchase.method)];
        let pay = format!("{}/pay", booked.location);
        let mut payments = Vec::new();
        eventually("it is paid", async || {
            let (_, paid) = self.submit(&browser, &pay, &card, &[303]).await;
            payments.push(paid);
            let page = browser
                .client
                .get(format!("{}{}", browser.url, booked.location));
            let page = browser.try_send(page).await.ok()?;
            page.html.contains("You’re going!").then_some(())
        })
        .await;
        self.purchases.push(purchase);
        format!("{answers}; pay {}", payments.join(", "))
    }

    /// Sends a form until it is answered with one of these statuses; the last page, and the statuses.
    async fn submit(
        &self,
        browser: &Browser,
        path: &str,
        fields: &[(&str, &str)],
        wanted: &[u16],
    ) -> (Page, String) {
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let form = browser.form(path, fields).header("origin", &browser.url);
            let page = browser.try_send(form).await;
            let status = page.as_ref().map_or(0, |page| page.status);
            answers.push(status.to_string());
            if wanted.contains(&status)
                && let Ok(page) = page
            {
                return (page, answers.join(", "));
            }
            assert!(
                matches!(status, 0 | 409 | 500..),
                "{path} was answered {status}"
            );
            sleep(Duration::from_millis(200)).await;
        }
        panic!("not done after {PATIENCE:?}: {answers:?}");
    }

    /// Has the next visits of a function to a point fail.
    fn fail(&self, function: &str, point: &str, times: u32) {
        self.faults
            .arm_in(function, point, Fault::FailsBefore, times);
    }

    async fn register(&self) -> String {
        let name = format!("u{}", Uuid::now_v7().simple());
        let credentials = json!({"username": name, "password": "password123"});
        let request = |path| self.app.request("POST", path).json(&credentials);
        let registered = self.insist(&[201, 409], || request("/users")).await;
        let session = self.insist(&[200], || request("/login")).await;
        format!("{registered}; login {session}")
    }

    async fn log_in(&self, password: &str, status: u16) -> String {
        let credentials = json!({"username": self.user.name, "password": password});
        let request = || self.app.request("POST", "/login").json(&credentials);
        self.insist(&[status], request).await
    }

    async fn guess_a_code(&self) -> String {
        let body = json!({"user_id": self.user.id, "event_id": self.event, "tickets": 1, "promo_code": "UNKNOWN"});
        let request = || self.as_user("POST", "/bookings").json(&body);
        self.insist(&[422], request).await
    }

    async fn create_event(&self) -> String {
        let id = format!("ev-{}", Uuid::now_v7().simple());
        let body = TestApp::event_body(json!({"event_id": id}));
        let create = || self.as_user("POST", "/events").json(&body);
        let created = self.insist(&[201, 409], create).await;
        format!(
            "{created}; get {}",
            self.look_at(&format!("/events/{id}")).await
        )
    }

    /// Reads what is anybody's, without a token.
    async fn look_at(&self, path: &str) -> String {
        self.insist(&[200], || self.app.request("GET", path)).await
    }

    async fn read(&self, path: &str) -> String {
        self.insist(&[200], || self.as_user("GET", path)).await
    }

    async fn buy_without_key(&mut self) -> String {
        let mut purchase = self.purchase(1, "pm_card_visa");
        purchase.keyless = true;
        purchase.ask(self.app).await;
        let answers = purchase.answers();
        self.purchases.push(purchase);
        answers
    }

    async fn poison_the_broker(&mut self) -> String {
        let poison = Uuid::now_v7().as_bytes().to_vec();
        self.sent.push(Sent::Poison(poison.clone()));
        publish("admit.events", "admit.booking.confirmed", &[poison]).await;
        self.buy(1, "pm_card_visa").await
    }

    async fn poison_the_queue(&mut self) -> String {
        let poison = format!("poison {}", Uuid::now_v7());
        enqueue("ADMIT_SETTLE_QUEUE_URL", &poison).await;
        self.sent.push(Sent::Letter(poison));
        "sent".to_owned()
    }

    async fn redrive(&self, function: &str) -> String {
        self.invoke(function, json!({"redrive": 100})).await
    }

    async fn deploy(&self) -> String {
        let inbox = Inbox::open().await;
        let deployed = self.invoke("migrate", inbox.event("Update")).await;
        let answers = inbox.answers();
        let last = answers.last().unwrap();
        assert_eq!(last["Status"], "SUCCESS", "{last}");
        assert!(last["Data"]["TokenPublicKey"].is_string(), "{last}");
        deployed
    }

    async fn make_a_token_key(&self) -> String {
        let key = secrets::text("token-key").await;
        secrets::replace("token-key", "{}").await;
        let migrated = self.invoke("migrate", json!({})).await;
        let made: Value = serde_json::from_str(&secrets::text("token-key").await).unwrap();
        secrets::replace("token-key", &key).await;
        assert!(made["private_key"].is_string());
        migrated
    }

    async fn rotate(&self) -> String {
        let before = secrets::text("notifications").await;
        let mut steps = Vec::new();
        for step in secrets::rotation("notifications") {
            steps.push(self.invoke("rotate-secret", step).await);
        }
        assert_ne!(secrets::text("notifications").await, before);
        steps.join("; ")
    }

    /// What was sent and has not arrived.
    pub async fn missing(&self) -> Vec<String> {
        let notifications = self.app.documents.database("notification_db");
        let mut missing = Vec::new();
        for sent in &self.sent {
            let (what, filter, collection) = match sent {
                Sent::Poison(bytes) => {
                    let bytes = Binary {
                        subtype: BinarySubtype::Generic,
                        bytes: bytes.clone(),
                    };
                    (format!("{bytes:?}"), doc! {"bytes": bytes}, "quarantine")
                }
                Sent::Announcement(id) => (id.clone(), doc! {"_id": id}, "notifications"),
                Sent::Letter(body) => {
                    let letters = receive("ADMIT_SETTLE_DEAD_LETTER_QUEUE_URL").await;
                    if !letters.iter().any(|(letter, _)| letter == body) {
                        missing.push(format!("{body} is no dead letter"));
                    }
                    continue;
                }
            };
            let stored = notifications.collection::<Document>(collection);
            if stored.count_documents(filter).await.unwrap() != 1 {
                missing.push(format!("{what} is not in {collection}, once"));
            }
        }
        missing
    }

    fn purchase(&self, tickets: i64, method: &'static str) -> Purchase {
        Purchase::new(&self.user, &self.event, tickets, method)
    }

    async fn buy(&mut self, tickets: i64, method: &'static str) -> String {
        let mut purchase = self.purchase(tickets, method);
        let known = purchase.pursue(self.app, PATIENCE).await;
        let answers = purchase.answers();
        self.purchases.push(purchase);
        assert!(known, "not known after {PATIENCE:?}: {answers}");
        answers
    }

    /// Books several tickets at once until one booking has to wait for its turn. All cards are declined, so that the
    /// event never sells out.
    async fn crowd(&mut self) -> String {
        let app = self.app;
        for _ in 0..20 {
            let mut crowd: Vec<_> = (0..4)
                .map(|_| self.purchase(1, "pm_card_visa_chargeDeclined"))
                .collect();
            futures_util::future::join_all(crowd.iter_mut().map(|purchase| async {
                assert!(purchase.pursue(app, PATIENCE).await);
            }))
            .await;
            let waited = |purchase: &Purchase| purchase.answers().contains("202");
            let any_waited = crowd.iter().any(waited);
            self.purchases.append(&mut crowd);
            if any_waited {
                break;
            }
        }
        format!("{} bookings", self.purchases.len())
    }

    async fn pay(&mut self, method: &'static str) -> String {
        let mut payment = Payment::new(&self.user, 1250, method);
        let known = payment.pursue(self.app, PATIENCE).await;
        let answers = payment.answers();
        self.payments.push(payment);
        assert!(known, "not known after {PATIENCE:?}: {answers}");
        answers
    }

    fn as_user(&self, method: &str, path: &str) -> RequestBuilder {
        self.app.request(method, path).bearer_auth(&self.user.token)
    }

    /// Repeats a request until it is answered with one of these statuses.
    async fn insist(&self, wanted: &[u16], request: impl Fn() -> RequestBuilder) -> String {
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let answer = self.app.try_send(request()).await;
            let status = answer.map_or(0, |answer| answer.status);
            let final_conflict = status != 409 || wanted.contains(&409);
            answers.push(status.to_string());
            if wanted.contains(&status) && final_conflict {
                return answers.join(", ");
            }
            assert!(matches!(status, 0 | 409 | 500..), "answered {status}");
            sleep(Duration::from_millis(200)).await;
        }
        panic!("not done after {PATIENCE:?}: {answers:?}");
    }

    /// Invokes a function as an operator does: again, if it failed.
    async fn invoke(&self, function: &str, event: Value) -> String {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let mut answers = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let request = self.app.request("POST", &path).body(event.to_string());
            let done = match request.send().await {
                Ok(response) if response.status() == 200 => {
                    !response.headers().contains_key("x-amz-function-error")
                }
                _ => false,
            };
            answers.push(if done { "done" } else { "failed" });
            if done {
                return answers.join(", ");
            }
            sleep(Duration::from_millis(200)).await;
        }
        panic!("not done after {PATIENCE:?}");
    }

    async fn quarantine(&self, bytes: Vec<u8>, at: DateTime) {
        let quarantine = self.app.documents.database("notification_db");
        let quarantine = quarantine.collection::<Document>("quarantine");
        let binary = Binary {
            subtype: BinarySubtype::Generic,
            bytes,
        };
        let document = doc! {
            "_id": Uuid::now_v7().to_string(), "queue": "admit.notifications", "bytes": binary,
            "reason": "a test", "quarantined_at": at,
        };
        quarantine.insert_one(document).await.unwrap();
    }
}

/// An announcement for a user who does not exist, so that no audit looks for its notification.
fn announcement() -> Value {
    let booking = format!("bk_{}", Uuid::now_v7().simple());
    json!({
        "specversion": "1.0", "id": format!("{booking}.confirmed"), "source": "/bookings",
        "type": "admit.booking.confirmed", "time": shared::time::now(), "datacontenttype": "application/json",
        "data": {"booking_id": booking, "user_id": 999_999_999, "event_id": "E123", "tickets": 1},
    })
}
