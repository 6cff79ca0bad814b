//! What goes wrong while customers book: chosen by the seed, counted by kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::join_all;
use shared::faults::Fault;
use tests::points::points;
use tests::stack::{Faults, children, local, pid, signal, start_event_sources};
use tokio::time::{Instant, sleep};

use crate::proxy::Link;

/// The stores, each killed and started where it was.
const STORES: [&str; 4] = ["postgres", "documents", "aws", "rabbitmq"];

/// Longer than any function may run in this run, so that none outlasts a freeze.
const MAX_FREEZE: Duration = Duration::from_secs(13);

/// Whoever does it.
#[derive(Debug, Clone)]
pub struct Mischief {
    pub faults: Faults,
    pub settings: Vec<String>,
    pub links: Vec<(&'static str, Link)>,
    done: Arc<Mutex<BTreeMap<String, usize>>>,
    armed: Arc<Mutex<usize>>,
}

impl Mischief {
    pub fn new(faults: Faults, settings: Vec<String>, links: Vec<(&'static str, Link)>) -> Self {
        Self {
            faults,
            settings,
            links,
            done: Arc::default(),
            armed: Arc::default(),
        }
    }

    /// Goes on until `end`, then leaves everything running; how often what was done.
    pub async fn run(self, seed: u64, end: Instant) -> BTreeMap<String, usize> {
        let rng = |lane: u64| Rng::with_seed(seed.wrapping_mul(31).wrapping_add(lane));
        tokio::join!(
            self.clone().hurt_functions(rng(1), end),
            self.clone().hurt_links(rng(2), end),
            self.clone().hurt_stores(rng(3), end),
            self.clone().hurt_calls(rng(4), end),
            self.clone().hurt_event_sources(rng(5), end),
        );
        for (_, link) in &self.links {
            link.hold(false);
        }
        let never_come_upon = self.faults.disarm();
        let come_upon = *self.armed.lock().unwrap() - never_come_upon;
        self.note(
            "a call that failed, hung or was killed by a fault point",
            come_upon,
        );
        let done = self.done.lock().unwrap();
        done.clone()
    }

    fn note(&self, what: &str, times: usize) {
        *self
            .done
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default() += times;
    }

    /// Kills and freezes the functions' processes.
    async fn hurt_functions(self, mut rng: Rng, end: Instant) {
        let mut freezes = Vec::new();
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(50..250))).await;
            let Some(sources) = pid("event-sources") else {
                continue;
            };
            let processes = children(sources);
            let Some((process, _)) = rng.choice(processes) else {
                continue;
            };
            if rng.u8(..10) < 6 {
                signal("KILL", &[process]).await;
                self.note("a function's process killed", 1);
                continue;
            }
            let longest = end
                .saturating_duration_since(Instant::now())
                .min(MAX_FREEZE);
            let freeze = match rng.u8(..8) {
                0 => longest,
                _ => Duration::from_millis(rng.u64(20..1500)).min(longest),
            };
            let cut = rng
                .bool()
                .then(|| rng.choice(&self.links).map(|(_, link)| link.clone()));
            let mischief = self.clone();
            freezes.push(tokio::spawn(async move {
                signal("STOP", &[process]).await;
                sleep(freeze).await;
                if let Some(link) = cut.flatten() {
                    link.cut();
                }
                signal("CONT", &[process]).await;
                mischief.note("a function's process frozen", 1);
            }));
        }
        join_all(freezes).await;
    }

    /// Cuts and holds the connections to the stores, of one or of all.
    async fn hurt_links(self, mut rng: Rng, end: Instant) {
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(100..500))).await;
            let all = rng.u8(..8) == 0;
            let one = rng.usize(..self.links.len());
            let hurt: Vec<_> = self
                .links
                .iter()
                .enumerate()
                .filter(|(number, _)| all || *number == one)
                .map(|(_, link)| link)
                .collect();
            if rng.u8(..10) < 7 {
                for (name, link) in hurt {
                    link.cut();
                    self.note(&format!("connections to {name} cut"), 1);
                }
                continue;
            }
            for (_, link) in &hurt {
                link.hold(true);
            }
            sleep(Duration::from_millis(rng.u64(100..2500))).await;
            for (name, link) in hurt {
                link.hold(false);
                self.note(&format!("connections to {name} held"), 1);
            }
        }
    }

    /// Kills or freezes stores, one or two at once, and has them run again.
    async fn hurt_stores(self, mut rng: Rng, end: Instant) {
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(500..4000))).await;
            let first = rng.choice(STORES).unwrap_or("postgres");
            let second = rng.choice(STORES).unwrap_or("documents");
            let together = rng.u8(..4) == 0 && first != second;
            let kill = rng.u8(..3) > 0;
            let pause = Duration::from_millis(rng.u64(200..3000));
            let stores = if together {
                vec![first, second]
            } else {
                vec![first]
            };
            join_all(
                stores
                    .into_iter()
                    .map(|store| self.hurt_store(store, kill, pause)),
            )
            .await;
        }
    }

    async fn hurt_store(&self, store: &str, kill: bool, pause: Duration) {
        if kill {
            local(&["stop", store, "--kill"]).await;
            sleep(pause / 2).await;
            local(&["start", store]).await;
            self.note(&format!("{store} killed and started again"), 1);
        } else if let Some(process) = pid(store) {
            let mut family: Vec<_> = children(process).iter().map(|(pid, _)| *pid).collect();
            family.push(process);
            signal("STOP", &family).await;
            sleep(pause).await;
            signal("CONT", &family).await;
            self.note(&format!("{store} frozen"), 1);
        }
    }

    /// Has calls fail at their fault points.
    async fn hurt_calls(self, mut rng: Rng, end: Instant) {
        let points = points();
        let mut names: Vec<_> = points
            .iter()
            .map(String::as_str)
            .filter(|name| {
                ![
                    "Migrate",
                    "Index",
                    "BrokerDeclare",
                    "CreateDatabases",
                    "OpenSession",
                    "DescribeSecret",
                    "MakePassword",
                    "PutSecret",
                    "SetPassword",
                    "PermitInBroker",
                    "PromoteSecret",
                    "WriteTokenKey",
                    "AnswerCloudFormation",
                ]
                .iter()
                .any(|not| name.starts_with(not))
            })
            .collect();
        names.extend([
            "create-booking",
            "cancel-booking",
            "charge-payment",
            "settle-bookings",
            "sweep-bookings",
            "sweep-payments",
            "send-notification",
        ]);
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(50..200))).await;
            let (Some(name), Some(fault)) = (rng.choice(&names), rng.choice(Fault::ALL)) else {
                continue;
            };
            let source = name.starts_with("Source");
            // The event sources stand in for AWS's own pollers. No deadline ends those when they stall, and they do
            // not die as often as these points are reached.
            let unfit = source && matches!(fault, Fault::Stalls | Fault::Killed);
            if unfit || self.faults.left(name) > 0 || (*fault == Fault::Stalls && rng.u8(..4) > 0) {
                continue;
            }
            self.faults.arm(name, *fault, 1);
            *self.armed.lock().unwrap() += 1;
        }
    }

    /// Kills the event sources, and with them the API and all functions.
    async fn hurt_event_sources(self, mut rng: Rng, end: Instant) {
        while Instant::now() < end {
            sleep(Duration::from_millis(rng.u64(8_000..20_000))).await;
            if Instant::now() < end {
                local(&["stop", "event-sources", "--kill"]).await;
                start_event_sources(&self.settings).await;
                self.note("the event sources and all functions killed", 1);
            }
        }
    }
}
