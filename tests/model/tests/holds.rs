//! A model of paying a hold, checked exhaustively: two attempts by cards of every kind, a bank that asks, the buyer who gives
//! the tickets back, and the sweep, in every order. A payer or the buyer may stop for good at any step, the sweep may stop and
//! come again, and time may run out at any moment.
//!
//! One step is one statement or one call of the code. The gateway decides once for each payment, as in `protocol`.
//! That model covers what this one leaves out: lost answers of the database, competition for tickets, and refunds.
use stateright::{Checker, Model, Property};

/// Attempts to pay, by processes of their own.
const PAYERS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Status {
    Held,
    Pending,
    Confirmed,
    Expired,
}

/// What the gateway has decided; and what the payment's record says, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Verdict {
    Charged,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Card {
    Good,
    Declined,
    /// Its bank asks its owner.
    Asks,
    /// Pays, and its answer is lost.
    Lost,
}

/// Who keeps others from beginning an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lease {
    Payer(usize),
    Releaser,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Payer {
    Ready,
    /// BeginAttempt is done.
    Begun(Card),
    /// The gateway has answered.
    Told(Verdict),
    /// OpenRecord is done: what stands there.
    Recorded(Verdict),
    /// Nothing was charged: the attempt is to be closed.
    NotCharged,
    Done,
}

/// Whoever settles: the job's worker, again and again; or the buyer who gives the tickets back, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Settler {
    Idle,
    /// It has read that the booking can still be paid.
    Looks,
    /// It has read that its time is over, or has blocked attempts.
    Voids,
    Told(Verdict),
    Recorded(Verdict),
    Done,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    status: Status,
    /// Whether `hold_until` has passed.
    over: bool,
    lease: Option<Lease>,
    gateway: Option<Verdict>,
    /// Whether the bank asks.
    asked: bool,
    record: Option<Verdict>,
    /// How often the tickets went back.
    returned: u8,
    payers: [Payer; PAYERS],
    sweep: Settler,
    releaser: Settler,
    /// Whether a card was declined, or its owner said no.
    declined: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    TimeRunsOut,
    /// `attempt_until` has passed, whatever the payer does.
    LeaseEnds,
    BeginAttempt(usize, Card),
    Charge(usize),
    OpenRecord(usize),
    Finish(usize),
    /// A payer's process stops, or its answer is lost.
    Stop(usize),
    BankYes,
    BankNo,
    ExpireHold,
    EndHold,
    BlockAttempts,
    ReadBooking,
    /// Of the sweep, or of the releaser.
    AskGateway(Who),
    Record(Who),
    Follow(Who),
    /// The process stops; the sweep comes again, the buyer does not.
    GiveUp(Who),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    Sweep,
    Releaser,
}

impl State {
    fn settler(&mut self, who: Who) -> &mut Settler {
        match who {
            Who::Sweep => &mut self.sweep,
            Who::Releaser => &mut self.releaser,
        }
    }

    /// The gateway decides once.
    fn enter(&mut self, verdict: Verdict) -> Verdict {
        *self.gateway.get_or_insert(verdict)
    }

    fn open_record(&mut self, verdict: Verdict) -> Verdict {
        *self.record.get_or_insert(verdict)
    }

    /// The booking follows its record.
    fn follow(&mut self, record: Verdict) {
        if self.status != Status::Pending {
            return;
        }
        match record {
            Verdict::Charged => self.status = Status::Confirmed,
            Verdict::Cancelled => self.expire(),
        }
    }

    fn expire(&mut self) {
        self.status = Status::Expired;
        self.returned += 1;
    }

    fn charge(&mut self, card: Card) -> Payer {
        match (card, self.gateway) {
            (Card::Good, _) => Payer::Told(self.enter(Verdict::Charged)),
            (Card::Lost, _) => {
                self.enter(Verdict::Charged);
                Payer::Done
            }
            (Card::Declined | Card::Asks, Some(decided)) => Payer::Told(decided),
            (Card::Declined, None) => {
                self.declined = true;
                Payer::NotCharged
            }
            (Card::Asks, None) => {
                self.asked = true;
                Payer::NotCharged
            }
        }
    }
}

struct Holds;

impl Model for Holds {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            status: Status::Held,
            over: false,
            lease: None,
            gateway: None,
            asked: false,
            record: None,
            returned: 0,
            payers: [Payer::Ready; PAYERS],
            sweep: Settler::Idle,
            releaser: Settler::Idle,
            declined: false,
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if !state.over {
            steps.push(Step::TimeRunsOut);
        }
        if state.lease.is_some() {
            steps.push(Step::LeaseEnds);
        }
        for (number, payer) in state.payers.iter().enumerate() {
            match payer {
                Payer::Ready => steps.extend(
                    [Card::Good, Card::Declined, Card::Asks, Card::Lost]
                        .map(|card| Step::BeginAttempt(number, card)),
                ),
                Payer::Begun(_) => steps.extend([Step::Charge(number), Step::Stop(number)]),
                Payer::Told(_) => steps.extend([Step::OpenRecord(number), Step::Stop(number)]),
                Payer::Recorded(_) | Payer::NotCharged => {
                    steps.extend([Step::Finish(number), Step::Stop(number)]);
                }
                Payer::Done => {}
            }
        }
        if state.asked {
            steps.extend([Step::BankYes, Step::BankNo]);
        }
        if state.status == Status::Held && state.over {
            steps.push(Step::ExpireHold);
        }
        match state.sweep {
            Settler::Idle if state.status == Status::Pending => steps.push(Step::ReadBooking),
            Settler::Idle | Settler::Done => {}
            settler => settle_steps(settler, Who::Sweep, steps),
        }
        match (state.releaser, state.status) {
            (Settler::Idle, Status::Held) => steps.push(Step::EndHold),
            (Settler::Idle, Status::Pending) => steps.push(Step::BlockAttempts),
            (Settler::Idle | Settler::Done, _) => {}
            (settler, _) => settle_steps(settler, Who::Releaser, steps),
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::TimeRunsOut => state.over = true,
            Step::LeaseEnds => state.lease = None,
            Step::BeginAttempt(payer, card) => {
                let payable = matches!(state.status, Status::Held | Status::Pending);
                if payable && !state.over && state.lease.is_none() {
                    state.status = Status::Pending;
                    state.lease = Some(Lease::Payer(payer));
                    state.payers[payer] = Payer::Begun(card);
                } else {
                    state.payers[payer] = Payer::Done;
                }
            }
            Step::Charge(payer) => {
                if let Payer::Begun(card) = state.payers[payer] {
                    state.payers[payer] = state.charge(card);
                }
            }
            Step::OpenRecord(payer) => {
                if let Payer::Told(verdict) = state.payers[payer] {
                    state.payers[payer] = Payer::Recorded(state.open_record(verdict));
                }
            }
            Step::Finish(payer) => {
                match state.payers[payer] {
                    Payer::Recorded(record) => state.follow(record),
                    // CloseAttempt, if it is this one's.
                    _ if state.lease == Some(Lease::Payer(payer)) => state.lease = None,
                    _ => {}
                }
                state.payers[payer] = Payer::Done;
            }
            Step::Stop(payer) => state.payers[payer] = Payer::Done,
            Step::BankYes => drop(state.enter(Verdict::Charged)),
            Step::BankNo => {
                state.asked = false;
                state.declined = true;
            }
            Step::ExpireHold => state.expire(),
            Step::EndHold => {
                state.expire();
                state.releaser = Settler::Done;
            }
            Step::BlockAttempts => {
                state.releaser = if state.lease.is_none() {
                    state.lease = Some(Lease::Releaser);
                    Settler::Voids
                } else {
                    Settler::Done
                };
            }
            Step::ReadBooking => {
                state.sweep = if state.over {
                    Settler::Voids
                } else {
                    Settler::Looks
                };
            }
            Step::AskGateway(who) => {
                let told = match *state.settler(who) {
                    Settler::Looks => state.gateway,
                    _ => Some(state.enter(Verdict::Cancelled)),
                };
                *state.settler(who) = told.map_or(Settler::Idle, Settler::Told);
            }
            Step::Record(who) => {
                if let Settler::Told(verdict) = *state.settler(who) {
                    *state.settler(who) = Settler::Recorded(state.open_record(verdict));
                }
            }
            Step::Follow(who) => {
                if let Settler::Recorded(record) = *state.settler(who) {
                    state.follow(record);
                }
                *state.settler(who) = rest(who);
            }
            Step::GiveUp(who) => *state.settler(who) = rest(who),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "tickets go back once, if the hold ended unpaid",
                |_, state: &State| {
                    let ended = state.status == Status::Expired;
                    state.returned == u8::from(ended)
                },
            ),
            Property::always("a confirmed hold was charged", |_, state: &State| {
                state.status != Status::Confirmed || state.gateway == Some(Verdict::Charged)
            }),
            Property::always("what was charged is not given back", |_, state: &State| {
                state.status != Status::Expired || state.gateway != Some(Verdict::Charged)
            }),
            Property::always(
                "nothing is charged for what is only held",
                |_, state: &State| {
                    state.status != Status::Held || (state.gateway, state.record) == (None, None)
                },
            ),
            Property::always(
                "the record is the gateway's decision",
                |_, state: &State| state.record.is_none() || state.record == state.gateway,
            ),
            Property::always(
                "nobody is left with an open hold and nothing to do",
                |model: &Self, state: &State| {
                    let open = matches!(state.status, Status::Held | Status::Pending);
                    let mut steps = Vec::new();
                    model.actions(state, &mut steps);
                    !open || !steps.is_empty()
                },
            ),
            Property::sometimes(
                "another card pays after one was declined",
                |_, state: &State| state.status == Status::Confirmed && state.declined,
            ),
            Property::sometimes(
                "the sweep finds that an unanswered card has paid",
                |_, state: &State| {
                    state.status == Status::Confirmed
                        && state.sweep == Settler::Idle
                        && state.payers.iter().all(|payer| *payer == Payer::Done)
                },
            ),
            Property::sometimes("a bank's yes comes too late", |_, state: &State| {
                state.asked && state.status == Status::Expired
            }),
        ]
    }
}

fn settle_steps(settler: Settler, who: Who, steps: &mut Vec<Step>) {
    steps.push(match settler {
        Settler::Told(_) => Step::Record(who),
        Settler::Recorded(_) => Step::Follow(who),
        _ => Step::AskGateway(who),
    });
    steps.push(Step::GiveUp(who));
}

/// What a settler does after it stops: the sweep comes again, the buyer does not.
fn rest(who: Who) -> Settler {
    match who {
        Who::Sweep => Settler::Idle,
        Who::Releaser => Settler::Done,
    }
}

#[test]
fn no_order_of_the_steps_breaks_a_promise_of_holds() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checked = Holds.checker().threads(threads).spawn_bfs().join();
    println!("{} unique states", checked.unique_state_count());
    checked.assert_properties();
}
