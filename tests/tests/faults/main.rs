//! Every fault at every boundary: one at a time, on the running stack, with an audit after each.
//!
//! `make faults` tries them all and writes a table. `make test` tries one fault at each boundary, and a
//! different one at the next boundary.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod at_once;
mod calls;
mod recovery;
mod ways;

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;
use std::{env, fs, panic};

use futures_util::FutureExt;
use serde_json::json;
use shared::faults::Fault;
use shared::functions;
use tests::audit::{Asked, Breach, audit};
use tests::customer::Purchase;
use tests::points::{code, points};
use tests::stack::{Faults, in_project, pid, restart_event_sources, start_event_sources};
use tests::{TestApp, User, eventually};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, sleep_until};
use ways::{Traveller, Way};

/// How long a case may take to settle, and how long an armed fault may take to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// One fault at one boundary.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// A call, or the return of a function of this name.
    boundary: &'static str,
    /// Whose call, where that makes a difference.
    function: &'static str,
    fault: Fault,
    /// How often in a row.
    times: u32,
    way: Way,
    /// Whether nobody may notice the fault, because the call is repeated when its connection breaks.
    unnoticed: bool,
}

/// Every case that there is.
fn cases() -> Vec<Case> {
    let calls = calls::CALLS.iter().flat_map(|&(point, function, way)| {
        let faults = once_or_twice().filter(move |(fault, _)| can_happen(point, *fault));
        faults.map(move |(fault, times)| Case {
            boundary: point,
            function,
            fault,
            times,
            way,
            unnoticed: is_repeated(point) && is_unnoticed(fault) && times == 1,
        })
    });
    let functions = functions::ALL
        .iter()
        .filter(|function| !calls::is_reader(function.name));
    let returns = functions.flat_map(|function| {
        let way = calls::to_function(function.name);
        let way = way.unwrap_or_else(|| panic!("no way leads to {}", function.name));
        Fault::ALL.iter().map(move |&fault| Case {
            boundary: function.name,
            function: "any",
            fault,
            times: 1,
            way,
            // What is made or ended twice is refused the second time.
            unnoticed: fault == Fault::Twice
                && !matches!(
                    way,
                    Way::Cancel
                        | Way::Register
                        | Way::RegisterByPage
                        | Way::CreateEvent
                        | Way::ChangeAnEvent
                        | Way::ChangeAnEventByPage
                ),
        })
    });
    calls.chain(returns).collect()
}

/// Every fault once. A fault that one repeat makes up for also comes twice in a row.
fn once_or_twice() -> impl Iterator<Item = (Fault, u32)> {
    let twice = [(Fault::FailsBefore, 2), (Fault::AnswerLost, 2)];
    Fault::ALL.iter().map(|fault| (*fault, 1)).chain(twice)
}

/// Whether a fault can happen at a point. The event sources stand in for AWS's own pollers, so no function's
/// deadline ends them when they stall.
fn can_happen(point: &str, fault: Fault) -> bool {
    match fault {
        Fault::Stalls => !point.starts_with("Source"),
        // The broker never gives one message to two takers. It gives the message out again only when the connection
        // of the first taker is gone.
        Fault::Twice => point != "BrokerTakeDeadLetter",
        _ => true,
    }
}

/// Whether one repeat of the call makes up for the fault.
fn is_unnoticed(fault: Fault) -> bool {
    matches!(fault, Fault::FailsBefore | Fault::AnswerLost | Fault::Twice)
}

/// Whether the call is repeated when its connection breaks, so that whoever asked doesn't notice.
fn is_repeated(point: &str) -> bool {
    !matches!(
        point,
        // A repeat would find what it has made itself.
        "RegisterUser" | "CreateEvent" | "CreateCode"
        // The deploy, or the operator, repeats these.
        | "MigrateUsers" | "MigrateBookings" | "BrokerDeclare"
        // Secrets Manager does.
        | "SetPassword" | "PromoteSecret"
        | "BrokerTakeDeadLetter" | "BrokerDropDeadLetter" | "DropDeadLetter"
    )
}

struct Outcome {
    answers: String,
    /// From the last answer until all was settled.
    seconds: f64,
    wrong: Vec<String>,
}

/// The running stack, with faults, for one test at a time.
struct Range {
    _alone: MutexGuard<'static, ()>,
    app: TestApp,
    faults: Faults,
    settings: Vec<String>,
    /// What a way is answered where nothing goes wrong.
    usual: HashMap<Way, String>,
    /// When event sources were last killed.
    killed: Cell<Instant>,
}

impl Range {
    async fn open() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let faults = Faults::none();
        let settings = vec![faults.setting(), "ADMIT_HURRY=5".to_owned()];
        restart_event_sources(&settings).await;
        Self {
            _alone: alone,
            app: TestApp::start().await,
            faults,
            settings,
            usual: HashMap::new(),
            killed: Cell::new(Instant::now()),
        }
    }

    /// Starts all functions anew, with these settings beside the usual ones.
    async fn restart_with(&self, more: &[String]) {
        self.killed.set(Instant::now());
        restart_event_sources(&[&self.settings, more].concat()).await;
    }

    /// Holds the stores against what the customers of one event heard, once all is settled.
    async fn audit(&self, user: &User, event: &str, purchases: &[Purchase]) {
        let events = [event.to_owned()];
        let asked = Asked {
            users: vec![user.id],
            events: events.to_vec(),
            purchases: purchases.to_vec(),
            payments: Vec::new(),
        };
        let (breaches, _) = audit(&self.app, &asked, PATIENCE).await;
        assert!(breaches.is_empty(), "{breaches:#?}");
    }

    /// Leaves the stack as it was.
    async fn close(self) {
        self.faults.disarm();
        restart_event_sources(&[]).await;
    }

    /// Goes a way, with a fault on it or without, and audits.
    async fn go(&self, way: Way, case: Option<Case>) -> Outcome {
        let mut settings = self.settings.clone();
        if way == Way::BookInACrowd {
            settings.push("ADMIT_CONCURRENT_CHARGES=1".to_owned());
        }
        if settings.len() > self.settings.len() {
            restart_event_sources(&settings).await;
            self.killed.set(Instant::now());
        }
        // Event sources that were killed may leave a poll behind, which can still take the message. The sweep would
        // then do the work. Wait for the longest poll to end.
        if case.is_some_and(|case| case.function == "settle-bookings") {
            sleep_until(self.killed.get() + Duration::from_secs(6)).await;
        }
        let user = self.app.user().await;
        let event = TestApp::event_body(json!({"capacity": 8}));
        let event = self
            .app
            .post(&user, "/events", event)
            .await
            .text("event_id");
        let mut traveller = Traveller {
            app: &self.app,
            faults: &self.faults,
            user: user.clone(),
            event: event.clone(),
            purchases: Vec::new(),
            payments: Vec::new(),
            sent: Vec::new(),
        };
        // Somebody already has tickets, so that tickets given back twice show up as more than the hall has.
        let mut earlier = Purchase::new(&user, &event, 3, "pm_card_visa");
        assert!(earlier.pursue(&self.app, PATIENCE).await);
        traveller.prepare(way).await;
        let sources = pid("event-sources");
        if let Some(case) = case {
            self.faults
                .arm_in(case.function, case.boundary, case.fault, case.times);
        }
        let went = panic::AssertUnwindSafe(traveller.go(way)).catch_unwind();
        let mut wrong = Vec::new();
        let answers = tokio::select! {
            answers = went => answers.unwrap_or_else(|_| {
                wrong.push("the way was not gone to its end, see above".to_owned());
                "–".to_owned()
            }),
            () = self.keep_event_sources(&settings) => unreachable!("it never ends"),
        };
        let audited = async {
            if let Some(case) = case
                && !self.come_upon(case).await
            {
                wrong.push("nothing came by it".to_owned());
            }
            if case.is_some_and(|case| {
                case.fault == Fault::Killed && case.boundary.starts_with("Source")
            }) {
                eventually("the event sources serve again", async || {
                    let restarted = pid("event-sources").is_some_and(|pid| Some(pid) != sources);
                    let listing = self.app.request("GET", "/events?limit=1");
                    (restarted && self.app.try_send(listing).await.is_ok()).then_some(())
                })
                .await;
            }
            let events = [event.clone()];
            let purchases = [&traveller.purchases[..], &[earlier]].concat();
            let asked = Asked {
                users: vec![user.id],
                events: events.to_vec(),
                purchases,
                payments: traveller.payments.clone(),
            };
            let audited = audit(&self.app, &asked, PATIENCE).await;
            let deadline = Instant::now() + PATIENCE * 2;
            let mut missing = traveller.missing().await;
            while !missing.is_empty() && Instant::now() < deadline {
                sleep(Duration::from_millis(100)).await;
                missing = traveller.missing().await;
            }
            wrong.append(&mut missing);
            audited
        };
        let (breaches, settled) = tokio::select! {
            audited = audited => audited,
            () = self.keep_event_sources(&settings) => unreachable!("it never ends"),
            () = self.make_due(&event) => unreachable!("it never ends"),
        };
        wrong.extend(breaches.iter().map(Breach::to_string));
        if !wrong.is_empty() {
            wrong.extend(traveller.purchases.iter().map(|purchase| purchase.story()));
        }
        self.faults.disarm();
        if settings.len() > self.settings.len() {
            self.restart_with(&[]).await;
        }
        Outcome {
            answers,
            seconds: settled.as_secs_f64(),
            wrong,
        }
    }

    async fn run(&mut self, case: Case) -> Outcome {
        if !self.usual.contains_key(&case.way) {
            let usual = self.go(case.way, None).await;
            assert!(
                usual.wrong.is_empty(),
                "{:?} without a fault: {:#?}",
                case.way,
                usual.wrong
            );
            self.usual.insert(case.way, usual.answers);
        }
        let mut outcome = self.go(case.way, Some(case)).await;
        let usual = &self.usual[&case.way];
        if case.unnoticed && case.way != Way::BookInACrowd && &outcome.answers != usual {
            let wrong = format!(
                "answered {}, not {usual} as without the fault",
                outcome.answers
            );
            outcome.wrong.push(wrong);
        }
        // Only a request that was carried out twice may be told at once that its name is taken. Any other request has
        // run into its own first try.
        let makes = matches!(case.way, Way::Register | Way::CreateEvent);
        if makes && case.fault != Fault::Twice && outcome.answers.starts_with("409") {
            let wrong = "was refused as taken by nobody but itself".to_owned();
            outcome.wrong.push(wrong);
        }
        // A call that hangs ends by its own limit, so early that the function still answers.
        let hangs =
            case.fault == Fault::Hangs && functions::ALL.iter().all(|f| f.name != case.boundary);
        if hangs
            && outcome
                .answers
                .split(", ")
                .any(|answer| answer == "500" || answer == "nothing")
        {
            let wrong = "a call that hung took the whole function with it".to_owned();
            outcome.wrong.push(wrong);
        }
        outcome
    }

    /// Waits until an armed fault has happened, and returns whether it has. One of several is enough: not every call
    /// is repeated after its first failure, so the second fault may never happen.
    async fn come_upon(&self, case: Case) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let armed = usize::try_from(case.times).unwrap();
        while self.faults.left(case.boundary) == armed {
            if Instant::now() > deadline {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Starts the event sources again when they are killed, as AWS does with its own.
    async fn keep_event_sources(&self, settings: &[String]) {
        loop {
            if pid("event-sources").is_none() {
                self.killed.set(Instant::now());
                start_event_sources(settings).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has the event's jobs tried again at every sweep, as an operator would, instead of after pauses that grow.
    async fn make_due(&self, event: &str) {
        loop {
            sleep(Duration::from_millis(500)).await;
            let due = sqlx::query(
                "update job set next_attempt_at = now()
                   from booking b
                  where event_id = $1 and key in (booking_id::text, booking_id || '.confirmed')
                    and job.done_at is null and job.due_at <= now() and job.next_attempt_at > now()",
            );
            // It may be PostgreSQL's connection that the fault has cut.
            drop(due.bind(event).execute(&self.app.bookings).await);
        }
    }
}

/// Whether a case is one of those for every day: one fault a boundary, another one at the next.
fn is_part(all: &[Case], number: usize) -> bool {
    let same = |other: &&Case| is_same_boundary(other, &all[number]);
    let boundaries = all[..number].chunk_by(is_same_boundary);
    let of_this = all.iter().filter(same).count();
    let before = all[..number].iter().filter(same).count();
    let boundary = boundaries.count() - usize::from(before > 0);
    before == boundary % of_this
}

fn is_same_boundary(one: &Case, other: &Case) -> bool {
    (one.boundary, one.function, one.way) == (other.boundary, other.function, other.way)
}

#[test]
fn every_boundary_has_its_turn_every_day() {
    let all = cases();
    let part: Vec<_> = (0..all.len())
        .filter(|number| is_part(&all, *number))
        .collect();
    let boundaries = all.chunk_by(is_same_boundary);
    assert_eq!(part.len(), boundaries.count());
    for fault in Fault::ALL {
        assert!(
            part.iter().any(|&number| all[number].fault == *fault),
            "{fault}"
        );
    }
}

#[tokio::test]
async fn no_fault_at_any_boundary_breaks_a_promise() {
    let whole = env::var("ADMIT_FAULTS_WHOLE").is_ok();
    let only = env::var("ADMIT_FAULTS_ONLY").unwrap_or_default();
    let from = env::var("ADMIT_FAULTS_FROM").unwrap_or_default();
    let from = from.parse::<usize>().unwrap_or(1) - 1;
    let all = cases();
    let chosen = all.iter().enumerate().filter(|(number, case)| {
        let part = whole || !only.is_empty() || is_part(&all, *number);
        let name = format!("{} {}", case.boundary, case.fault);
        part && *number >= from && only.split('|').any(|only| name.contains(only))
    });
    let chosen: Vec<_> = chosen.map(|(_, case)| *case).collect();
    // Several stacks may share the cases.
    let share = env::var("ADMIT_FAULTS_SHARE").unwrap_or_else(|_| "1/1".to_owned());
    let (first, shares) = share.split_once('/').unwrap();
    let (first, shares): (usize, usize) = (first.parse().unwrap(), shares.parse().unwrap());
    let chosen: Vec<_> = chosen.into_iter().skip(first - 1).step_by(shares).collect();
    let mut range = Range::open().await;
    let began = Instant::now();
    let mut table =
        "| boundary | fault | answers | settled after | took | promises |\n|---|---|---|---|---|---|\n"
            .to_owned();
    let mut failed = Vec::new();
    for (number, case) in chosen.iter().enumerate() {
        let begins = Instant::now();
        let outcome = range.run(*case).await;
        let verdict = if outcome.wrong.is_empty() {
            "kept"
        } else {
            "BROKEN"
        };
        let line = format!(
            "| {}{} | {}{} | {} | {:.1} s | {:.1} s | {verdict} |",
            case.boundary,
            match case.function {
                "any" => String::new(),
                "" => " in the event sources".to_owned(),
                function => format!(" in {function}"),
            },
            case.fault,
            if case.times > 1 { ", twice" } else { "" },
            outcome.answers,
            outcome.seconds,
            begins.elapsed().as_secs_f64()
        );
        println!("{:3}/{} {line}", number + 1, chosen.len());
        writeln!(table, "{line}").unwrap();
        if !outcome.wrong.is_empty() {
            println!("{}", outcome.wrong.join("\n"));
            failed.push(format!("{case:?}: {}", outcome.wrong.join("\n")));
        }
    }
    range.close().await;
    let told = format!(
        "{} cases of {}, {} broken, {:.0} s",
        chosen.len(),
        all.len(),
        failed.len(),
        began.elapsed().as_secs_f64()
    );
    let file = match shares {
        1 => "target/faults.md".to_owned(),
        _ => format!("target/faults-{first}.md"),
    };
    fs::write(in_project(&file), format!("{told}\n\n{table}")).unwrap();
    println!("{told}; the table is {file}");
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

#[test]
fn every_call_has_a_point_of_its_own_and_every_point_a_way() {
    let points = points();
    for point in &points {
        let uses = points.iter().filter(|other| *other == point).count();
        assert_eq!(uses, 1, "{point} must be the name of exactly one call");
        let tried = calls::CALLS.iter().any(|(name, ..)| name == point);
        assert!(tried || calls::only_reads(point), "no way leads to {point}");
    }
    for (point, ..) in calls::CALLS {
        let known = points.iter().any(|known| known == point);
        assert!(known, "{point} is no call any more");
    }
    // Nothing else reaches for a store: its connection is opened by the layer that asks for a point.
    let business = ["shared/src", "shared/domain", "functions"].map(in_project);
    for (path, text) in code() {
        if business.iter().any(|folder| path.starts_with(folder)) {
            for opens in ["db::connect(", "docdb::connect(", "broker::connect("] {
                assert!(!text.contains(opens), "{}: {opens}", path.display());
            }
        }
    }
}
