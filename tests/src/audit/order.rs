//! Whether some order of the requests explains the answers. A sold-out answer is checked against the longest times
//! for which tickets may have been held, and the capacity against the times for which they certainly were.

use std::time::{Duration, SystemTime};

use super::{Books, EventRow};
use crate::customer::Purchase;

impl Books {
    /// Whether the tickets can have been where the answers say, in some order of the requests.
    pub(super) fn check_order(
        &self,
        purchases: &[Purchase],
        check: &mut impl FnMut(bool, &'static str, &str, &str),
    ) {
        for (event, EventRow { capacity, .. }) in &self.events {
            let here: Vec<_> = purchases.iter().filter(|p| &p.event == event).collect();
            let holds = self.possible_holds(event, &here);
            for purchase in &here {
                for heard in &purchase.heard {
                    if heard.asked != "book" || heard.problem.as_deref() != Some("sold-out") {
                        continue;
                    }
                    let moments = holds.iter().map(|hold| hold.from).chain([heard.from]);
                    let most = moments
                        .filter(|moment| (heard.from..=heard.to).contains(moment))
                        .map(|moment| {
                            let held = holds.iter().filter(|h| h.from <= moment && moment <= h.to);
                            held.filter(|hold| hold.key != purchase.key)
                                .map(|hold| hold.tickets)
                                .sum::<i64>()
                        })
                        .max()
                        .unwrap_or_default();
                    let what =
                        format!("was told sold-out when {most} of {capacity} were taken at most");
                    check(
                        most > capacity - purchase.tickets,
                        "order",
                        &purchase.key,
                        &what,
                    );
                }
            }
            self.check_never_oversold(event, *capacity, &here, check);
        }
    }

    /// When tickets may have been held, at the widest.
    fn possible_holds<'a>(&'a self, event: &str, purchases: &[&'a Purchase]) -> Vec<Hold<'a>> {
        // A statement's time is that of its beginning; it may wait for a row's lock.
        const SLACK: Duration = Duration::from_secs(6);
        let mut holds = Vec::new();
        for booking in self
            .bookings
            .iter()
            .filter(|booking| booking.event == event)
        {
            let end = booking.updated + SLACK;
            holds.push(Hold {
                key: booking.key.as_deref().unwrap_or_default(),
                tickets: booking.tickets,
                from: booking.created,
                to: if booking.holds() { far() } else { end },
            });
        }
        // A reservation that was taken back left no row.
        for purchase in purchases {
            let unanswered = purchase.heard.iter().filter(|heard| {
                heard.asked == "book" && matches!(heard.status, None | Some(500 | 503))
            });
            holds.extend(unanswered.map(|heard| Hold {
                key: &purchase.key,
                tickets: purchase.tickets,
                from: heard.from,
                to: heard.to + SLACK,
            }));
        }
        holds
    }

    /// Whether at no moment more was certainly held than there is.
    fn check_never_oversold(
        &self,
        event: &str,
        capacity: i64,
        purchases: &[&Purchase],
        check: &mut impl FnMut(bool, &'static str, &str, &str),
    ) {
        let mut holds = Vec::new();
        for booking in self
            .bookings
            .iter()
            .filter(|booking| booking.event == event)
        {
            let told = purchases
                .iter()
                .filter(|purchase| booking.key.as_ref() == Some(&purchase.key))
                .flat_map(|purchase| &purchase.heard)
                .filter(|heard| heard.booking.is_some())
                .map(|heard| heard.to)
                .min();
            if let Some(from) = told {
                let to = if booking.holds() {
                    far()
                } else {
                    booking.updated
                };
                holds.push((from, to, booking.tickets));
            }
        }
        for (moment, ..) in &holds {
            let held = holds
                .iter()
                .filter(|(from, to, _)| from <= moment && moment < to);
            let held: i64 = held.map(|(_, _, tickets)| tickets).sum();
            let what = format!("had {held} of {capacity} tickets taken at once");
            check(held <= capacity, "oversold", event, &what);
        }
    }
}

struct Hold<'a> {
    key: &'a str,
    tickets: i64,
    from: SystemTime,
    to: SystemTime,
}

fn far() -> SystemTime {
    SystemTime::now() + Duration::from_secs(24 * 60 * 60)
}
