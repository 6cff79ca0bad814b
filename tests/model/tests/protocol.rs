//! A model of the booking protocol, checked exhaustively: every order of every step of two users
//! who want three tickets, with crashes, lost answers, timeouts and duplicates in between.
//!
//! One [`Step`] is one statement or one call of the code, and has its name there. What a fault point can
//! do to a call is a fault here. The model shows that the protocol is right; the fault matrix shows that
//! the code follows the protocol.
//!
//! The model leaves out time: a sweep may come at any moment, even while the request that it sweeps up is
//! still running. It also leaves out payments without a booking, and how the stores themselves fail: a
//! caller only ever sees that a call failed.
#![expect(
    clippy::unwrap_used,
    reason = "a model that is no model is a test that fails"
)]

use std::env;

use stateright::{Checker, Model, Property};

const TICKETS: u8 = 3;
/// Neither row of stock has enough alone. The third ticket is where the release before stock keeps its tickets.
const STOCK: [u8; 2] = [1, 1];
/// What each user wants: one of them can have it, both can't.
const WANTED: u8 = 2;
const USERS: usize = 2;
/// Requests that a user sends with the same key.
const REPEATS: usize = 2;

/// A request and the booking that it may make: which user, and which of the user's repeats.
type Request = usize;

fn user(request: Request) -> usize {
    request / REPEATS
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Status {
    Pending,
    Confirmed,
    Rejected,
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum PaymentStatus {
    Pending,
    Success,
    Declined,
    Voided,
    Refunded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Verdict {
    Charged,
    Declined,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum PaymentMethod {
    Visa,
    ChargeDeclined,
    Timeout,
}

/// Where a process stands on its way: the step that it does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    // create-booking
    Reserve,
    MoveStock,
    ReserveFromAll,
    /// Invokes charge-payment; again, if the connection broke.
    InvokeCharge {
        again: bool,
    },
    AwaitCharge {
        again: bool,
    },
    Announce,
    Confirm {
        announced: bool,
    },
    Release(Status),
    UndoReserve,
    LeaveToSettle {
        /// Its charge was refused before it began: the queue charges it in its turn.
        in_turn: bool,
    },
    // settle-bookings, for one booking; InvokeCharge and AwaitCharge, if it has its turn
    InvokeVoid,
    AwaitVoid,
    // the sweep, of what is not announced
    AnnounceAgain,
    MarkAnnounced,
    // cancel-booking and the sweep, of what is to be given back
    InvokeRefund,
    AwaitRefund,
    MarkRefunded,
}

/// charge-payment, at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Charge {
    request: Request,
    command: Command,
    step: ChargeStep,
    /// Who waits for the reply, if anybody still does.
    caller: Option<Role>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Command {
    Charge,
    Void,
    Refund,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum ChargeStep {
    ReadRecord,
    Gateway,
    OpenRecord(Verdict),
    AdvanceRecord,
}

/// The processes that work on one booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Role {
    Book,
    Settle,
    Sweep,
    Refund,
}

const ROLES: [Role; 4] = [Role::Book, Role::Settle, Role::Sweep, Role::Refund];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Row {
    status: Status,
    /// What repeats of the request are told: nothing while it runs.
    answer: Option<Status>,
    /// Whether its job has a payment method to charge.
    in_turn: bool,
    /// Its jobs that are not done.
    settle: bool,
    announce: bool,
    refund: bool,
}

/// A request, and all that the stores have of the booking that it made.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Booking {
    row: Option<Row>,
    record: Option<PaymentStatus>,
    verdict: Option<Verdict>,
    charges: u8,
    refunds: u8,
    /// Messages in the broker's queue; two stand for any more.
    messages: u8,
    notifications: u8,
    at: [Option<Step>; 4],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// What the release before stock has left.
    outside: u8,
    stock: [u8; 2],
    faults_left: u8,
    methods: [PaymentMethod; USERS],
    sent: [usize; USERS],
    cancelled: [bool; USERS],
    /// The answers that each user has had: 201, 402, 409 (sold out).
    told: [Vec<u16>; USERS],
    bookings: Vec<Booking>,
    charges: Vec<Charge>,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// A user sends the request, or repeats it.
    Send(usize),
    Cancel(Request),
    /// The queue or the sweep takes the booking up.
    StartSettling(Request),
    /// The queue charges it, in its turn.
    StartCharging(Request),
    StartAnnouncing(Request),
    StartRefunding(Request),
    /// A process does its next step.
    Do(Request, Role, How),
    /// Lambda has no room for one more charge.
    RefuseCharge(Request, Role),
    /// Whoever waits for charge-payment waits no longer.
    TimeOut(Request, Role),
    Crash(Request, Role),
    /// charge-payment does its next step.
    Charge(usize, How),
    CrashCharge(usize),
    /// send-notification stores a message; the acknowledgement is lost, or not.
    Deliver(Request, How),
}

/// How a call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    Done,
    /// It did not happen, and failed.
    FailsBefore,
    /// It happened, and the caller hears that it failed.
    AnswerLost,
    /// Others hold the rows of stock that it looks for, and it passes them over.
    PassesOver,
}

const HOW: [How; 3] = [How::Done, How::FailsBefore, How::AnswerLost];

struct Protocol {
    faults: u8,
}

impl Protocol {
    /// Whether something may go wrong with a request's processes, and how its calls may end. Users compete
    /// only for tickets, so it is enough to inject faults for one of them.
    fn faults_of(&self, request: Request, state: &State) -> (bool, &'static [How]) {
        let faulty = state.faults_left > 0 && user(request) == 0;
        (faulty, if faulty { &HOW } else { &HOW[..1] })
    }
}

impl State {
    fn at(&self, request: Request, role: Role) -> Option<Step> {
        self.bookings[request].at[role as usize]
    }

    fn go(&mut self, request: Request, role: Role, step: Option<Step>) {
        self.bookings[request].at[role as usize] = step;
    }

    fn tell(&mut self, request: Request, status: u16) {
        let told = &mut self.told[user(request)];
        if !told.contains(&status) {
            told.push(status);
        }
    }

    /// The booking that a user's key has made.
    fn of_key(&self, user: usize) -> Option<Request> {
        (user * REPEATS..(user + 1) * REPEATS).find(|&request| self.bookings[request].row.is_some())
    }

    fn pending(&self, request: Request) -> bool {
        self.bookings[request]
            .row
            .is_some_and(|row| row.status == Status::Pending)
    }

    /// A guarded update: `… where status = 'PENDING'`.
    fn end(&mut self, request: Request, status: Status, announced: bool) -> bool {
        if !self.pending(request) {
            return false;
        }
        let row = self.bookings[request].row.as_mut().unwrap();
        row.status = status;
        row.answer = Some(status);
        row.in_turn = false;
        row.settle = false;
        row.announce = status == Status::Confirmed && !announced;
        if status != Status::Confirmed {
            self.give_back(request);
        }
        true
    }

    fn left(&self) -> u8 {
        self.outside + self.stock.iter().sum::<u8>()
    }

    /// Returns the tickets to one row. The code may choose any row; here, the row depends on the request.
    fn give_back(&mut self, request: Request) {
        self.stock[request % 2] += WANTED;
    }

    /// Tells the request what the booking's own request was told first, whatever the booking has become since.
    fn answer(&mut self, request: Request, of: Request) {
        match self.bookings[of].row.and_then(|row| row.answer) {
            Some(Status::Confirmed) => self.tell(request, 201),
            Some(Status::Rejected | Status::Expired) => self.tell(request, 402),
            Some(Status::Pending | Status::Cancelled) | None => {}
        }
    }

    fn invoke(&mut self, request: Request, command: Command, caller: Role) {
        let step = match command {
            Command::Charge => ChargeStep::Gateway,
            Command::Void | Command::Refund => ChargeStep::ReadRecord,
        };
        let charge = Charge {
            request,
            command,
            step,
            caller: Some(caller),
        };
        self.charges.push(charge);
        self.charges.sort_unstable();
    }

    /// The step that follows a paid, a declined and a void payment.
    fn after(status: PaymentStatus) -> Option<Step> {
        match status {
            PaymentStatus::Success => Some(Step::Announce),
            PaymentStatus::Declined => Some(Step::Release(Status::Rejected)),
            PaymentStatus::Voided => Some(Step::Release(Status::Expired)),
            PaymentStatus::Pending | PaymentStatus::Refunded => None,
        }
    }

    /// charge-payment's answer reaches whoever waits for it.
    fn reply(&mut self, request: Request, caller: Role, status: PaymentStatus) {
        let next = match (caller, self.at(request, caller)) {
            (Role::Book, Some(Step::AwaitCharge { .. })) => {
                Some(Self::after(status).unwrap_or(Step::LeaveToSettle { in_turn: false }))
            }
            (Role::Settle, Some(Step::AwaitCharge { .. })) => {
                Some(Self::after(status).unwrap_or(Step::InvokeVoid))
            }
            (Role::Settle, Some(Step::AwaitVoid)) => Self::after(status),
            (Role::Refund, Some(Step::AwaitRefund)) => {
                (status == PaymentStatus::Refunded).then_some(Step::MarkRefunded)
            }
            // Nobody waits any longer.
            _ => return,
        };
        self.go(request, caller, next);
    }

    /// One step of a process that works on a booking.
    fn step(&mut self, request: Request, role: Role, how: How) {
        let Some(step) = self.at(request, role) else {
            return;
        };
        let happens = how != How::FailsBefore;
        let heard = how == How::Done;
        let next = match step {
            Step::Reserve => self.reserve(request, how, Self::take_from_one),
            Step::MoveStock => {
                if happens {
                    self.stock[0] += std::mem::take(&mut self.outside);
                }
                heard.then_some(Step::ReserveFromAll)
            }
            Step::ReserveFromAll => self.reserve(request, how, Self::take_from_all),
            Step::InvokeCharge { again } => {
                if happens {
                    self.invoke(request, Command::Charge, role);
                }
                match (heard, again) {
                    (true, _) => Some(Step::AwaitCharge { again }),
                    (false, false) => Some(Step::InvokeCharge { again: true }),
                    (false, true) => Self::unknown(role),
                }
            }
            Step::Announce => {
                self.publish(request, happens);
                Some(Step::Confirm { announced: heard })
            }
            Step::Confirm { announced } => {
                if happens {
                    self.end(request, Status::Confirmed, announced);
                }
                self.finish(request, role, heard)
            }
            Step::Release(status) => {
                if happens {
                    self.end(request, status, false);
                }
                self.finish(request, role, heard)
            }
            Step::UndoReserve => {
                if happens && self.pending(request) {
                    self.give_back(request);
                    self.bookings[request].row = None;
                }
                // 503, even if the statement's answer was heard. A repeat finds what is stored.
                None
            }
            // The queue is one way to the settling, the sweep another: in the model it may begin at
            // any time.
            Step::LeaveToSettle { in_turn } => {
                if happens && let Some(row) = &mut self.bookings[request].row {
                    row.answer.get_or_insert(Status::Pending);
                    row.in_turn |= in_turn && row.status == Status::Pending;
                }
                if heard {
                    self.answer(request, request);
                }
                None
            }
            Step::InvokeVoid => {
                if happens {
                    self.invoke(request, Command::Void, Role::Settle);
                }
                heard.then_some(Step::AwaitVoid)
            }
            Step::AnnounceAgain => {
                self.publish(request, happens);
                heard.then_some(Step::MarkAnnounced)
            }
            Step::MarkAnnounced => {
                if happens && let Some(row) = &mut self.bookings[request].row {
                    row.announce = false;
                }
                None
            }
            Step::InvokeRefund => {
                if happens {
                    self.invoke(request, Command::Refund, Role::Refund);
                }
                heard.then_some(Step::AwaitRefund)
            }
            Step::MarkRefunded => {
                if happens && let Some(row) = &mut self.bookings[request].row {
                    row.refund = false;
                }
                None
            }
            Step::AwaitCharge { .. } | Step::AwaitVoid | Step::AwaitRefund => Some(step),
        };
        self.go(request, role, next);
    }

    /// From one row that has enough.
    fn take_from_one(&mut self) -> bool {
        let row = self.stock.iter_mut().find(|free| **free >= WANTED);
        row.map(|free| *free -= WANTED).is_some()
    }

    /// From as many rows as it needs.
    fn take_from_all(&mut self) -> bool {
        if self.stock.iter().sum::<u8>() < WANTED {
            return false;
        }
        let mut need = WANTED;
        for free in &mut self.stock {
            let taken = need.min(*free);
            *free -= taken;
            need -= taken;
        }
        true
    }

    fn reserve(&mut self, request: Request, how: How, take: fn(&mut Self) -> bool) -> Option<Step> {
        let heard = matches!(how, How::Done | How::PassesOver);
        if how == How::FailsBefore {
            return None;
        }
        if let Some(made) = self.of_key(user(request)) {
            if heard {
                self.answer(request, made);
            }
            return None;
        }
        if how == How::PassesOver || !take(self) {
            if heard && self.left() < WANTED {
                self.tell(request, 409);
                return None;
            }
            return heard.then_some(Step::MoveStock);
        }
        self.bookings[request].row = Some(Row {
            status: Status::Pending,
            answer: None,
            in_turn: false,
            settle: true,
            announce: false,
            refund: false,
        });
        Some(if heard {
            Step::InvokeCharge { again: false }
        } else {
            Step::UndoReserve
        })
    }

    fn publish(&mut self, request: Request, happens: bool) {
        let messages = &mut self.bookings[request].messages;
        *messages = (*messages + u8::from(happens)).min(2);
    }

    /// After the statement that ends a booking: its request is told how it stands.
    fn finish(&mut self, request: Request, role: Role, heard: bool) -> Option<Step> {
        match (role, heard) {
            (Role::Book, true) => {
                self.answer(request, request);
                None
            }
            (Role::Book, false) => Some(Step::LeaveToSettle { in_turn: false }),
            _ => None,
        }
    }

    /// The step after a charge whose outcome is unknown. The queue delivers its message again.
    fn unknown(role: Role) -> Option<Step> {
        (role == Role::Book).then_some(Step::LeaveToSettle { in_turn: false })
    }

    /// One step of charge-payment.
    fn charge(&mut self, index: usize, how: How) {
        let charge = self.charges.remove(index);
        let happens = how != How::FailsBefore;
        let booking = &mut self.bookings[charge.request];
        let next = match (charge.command, charge.step) {
            (Command::Charge, ChargeStep::ReadRecord) => {
                Err(booking.record.unwrap_or(PaymentStatus::Pending))
            }
            (Command::Void, ChargeStep::ReadRecord) => {
                booking.record.map_or(Ok(ChargeStep::Gateway), Err)
            }
            (Command::Refund, ChargeStep::ReadRecord) => match booking.record {
                Some(PaymentStatus::Success) => Ok(ChargeStep::Gateway),
                // Without a record, and for one that can't be refunded, it fails.
                record => Err(record.unwrap_or(PaymentStatus::Pending)),
            },
            (Command::Charge | Command::Void, ChargeStep::Gateway) => {
                let method = self.methods[user(charge.request)];
                let enters = match (charge.command, method) {
                    (Command::Void, _) => Verdict::Cancelled,
                    (_, PaymentMethod::ChargeDeclined) => Verdict::Declined,
                    _ => Verdict::Charged,
                };
                if happens && booking.verdict.is_none() {
                    booking.verdict = Some(enters);
                    booking.charges += u8::from(enters == Verdict::Charged);
                }
                let lost = charge.command == Command::Charge && method == PaymentMethod::Timeout;
                Ok(match booking.verdict {
                    Some(verdict) if !lost => ChargeStep::OpenRecord(verdict),
                    _ => ChargeStep::ReadRecord,
                })
            }
            (Command::Refund, ChargeStep::Gateway) => {
                // The gateway refunds once for each key.
                if happens && booking.refunds == 0 {
                    booking.refunds += 1;
                }
                Ok(ChargeStep::AdvanceRecord)
            }
            (_, ChargeStep::OpenRecord(verdict)) => {
                let opens = match verdict {
                    Verdict::Charged => PaymentStatus::Success,
                    Verdict::Declined => PaymentStatus::Declined,
                    Verdict::Cancelled => PaymentStatus::Voided,
                };
                if happens {
                    booking.record.get_or_insert(opens);
                }
                Err(booking.record.unwrap_or(opens))
            }
            (_, ChargeStep::AdvanceRecord) => {
                if happens && booking.record == Some(PaymentStatus::Success) {
                    booking.record = Some(PaymentStatus::Refunded);
                }
                Err(booking.record.unwrap_or(PaymentStatus::Pending))
            }
        };
        match (how, next, charge.caller) {
            (How::Done, Ok(step), _) => self.proceed(charge, step),
            (How::Done, Err(status), Some(caller)) => self.reply(charge.request, caller, status),
            _ => {}
        }
    }

    fn proceed(&mut self, charge: Charge, step: ChargeStep) {
        self.charges.push(Charge { step, ..charge });
        self.charges.sort_unstable();
    }

    /// Whether nothing is on its way any more.
    fn settled(&self) -> bool {
        self.charges.is_empty()
            && self.bookings.iter().all(|booking| {
                booking.at.iter().all(Option::is_none)
                    && booking.messages == 0
                    && booking.row.is_none_or(|row| {
                        row.status != Status::Pending && !row.settle && !row.announce && !row.refund
                    })
            })
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let methods = [
            PaymentMethod::Visa,
            PaymentMethod::ChargeDeclined,
            PaymentMethod::Timeout,
        ];
        methods
            .into_iter()
            .map(|method| State {
                outside: TICKETS - STOCK.iter().sum::<u8>(),
                stock: STOCK,
                faults_left: self.faults,
                methods: [method, PaymentMethod::Visa],
                sent: [0; USERS],
                cancelled: [false; USERS],
                told: Default::default(),
                bookings: vec![Booking::default(); USERS * REPEATS],
                charges: Vec::new(),
            })
            .collect()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // The consumer affects no other process, so there is no need to try it in every order.
        if let Some(request) = state
            .bookings
            .iter()
            .position(|booking| booking.messages > 0)
        {
            let (_, ways) = self.faults_of(request, state);
            actions.extend(ways.iter().map(|how| Action::Deliver(request, *how)));
            return;
        }
        for user in 0..USERS {
            // The rival asks once.
            let most = if user == 0 { REPEATS } else { 1 };
            if state.sent[user] < most && !state.told[user].iter().any(|told| *told != 409) {
                actions.push(Action::Send(user));
            }
        }
        for (request, booking) in state.bookings.iter().enumerate() {
            let (faulty, ways) = self.faults_of(request, state);
            for role in ROLES {
                let Some(step) = booking.at[role as usize] else {
                    continue;
                };
                match step {
                    Step::AwaitCharge { .. } | Step::AwaitVoid | Step::AwaitRefund => {
                        // If no reply can come any more, giving up does not count as a fault.
                        let served = state
                            .charges
                            .iter()
                            .any(|charge| charge.request == request && charge.caller == Some(role));
                        if faulty || !served {
                            actions.push(Action::TimeOut(request, role));
                        }
                    }
                    _ => actions.extend(ways.iter().map(|how| Action::Do(request, role, *how))),
                }
                if step == Step::Reserve {
                    actions.push(Action::Do(request, role, How::PassesOver));
                }
                // To be refused because too many charges run at once does not count as a fault.
                if matches!(step, Step::InvokeCharge { .. }) && user(request) == 0 {
                    actions.push(Action::RefuseCharge(request, role));
                }
                if faulty {
                    actions.push(Action::Crash(request, role));
                }
            }
            let Some(row) = booking.row else { continue };
            let idle = |role: Role| booking.at[role as usize].is_none();
            if row.settle && idle(Role::Settle) {
                actions.push(Action::StartSettling(request));
                if row.in_turn {
                    actions.push(Action::StartCharging(request));
                }
            }
            if row.announce && idle(Role::Sweep) {
                actions.push(Action::StartAnnouncing(request));
            }
            if row.refund && idle(Role::Refund) {
                actions.push(Action::StartRefunding(request));
            }
            if row.status == Status::Confirmed && !state.cancelled[user(request)] {
                actions.push(Action::Cancel(request));
            }
        }
        for (index, charge) in state.charges.iter().enumerate() {
            let (faulty, ways) = self.faults_of(charge.request, state);
            actions.extend(ways.iter().map(|how| Action::Charge(index, *how)));
            if faulty {
                actions.push(Action::CrashCharge(index));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let mut fault = false;
        match action {
            Action::Send(user) => {
                let request = user * REPEATS + state.sent[user];
                state.sent[user] += 1;
                state.go(request, Role::Book, Some(Step::Reserve));
            }
            Action::Cancel(request) => {
                state.cancelled[user(request)] = true;
                state.give_back(request);
                let row = state.bookings[request].row.as_mut()?;
                row.status = Status::Cancelled;
                row.refund = true;
            }
            Action::StartSettling(request) => {
                state.go(request, Role::Settle, Some(Step::InvokeVoid));
            }
            Action::StartCharging(request) => {
                state.go(
                    request,
                    Role::Settle,
                    Some(Step::InvokeCharge { again: false }),
                );
            }
            Action::StartAnnouncing(request) => {
                state.go(request, Role::Sweep, Some(Step::AnnounceAgain));
            }
            Action::StartRefunding(request) => {
                state.go(request, Role::Refund, Some(Step::InvokeRefund));
            }
            Action::Do(request, role, how) => {
                fault = matches!(how, How::FailsBefore | How::AnswerLost);
                state.step(request, role, how);
            }
            Action::RefuseCharge(request, role) => {
                let first = state.at(request, role) == Some(Step::InvokeCharge { again: false });
                // A refused second invocation proves nothing: the first one may have begun the charge.
                let next = Step::LeaveToSettle { in_turn: first };
                // The queue waits for its turn, and then delivers its message again.
                state.go(request, role, (role == Role::Book).then_some(next));
            }
            Action::TimeOut(request, role) => {
                let mut served = false;
                for charge in &mut state.charges {
                    if charge.request == request && charge.caller == Some(role) {
                        charge.caller = None;
                        served = true;
                    }
                }
                state.charges.sort_unstable();
                fault = served;
                state.go(request, role, State::unknown(role));
            }
            Action::Crash(request, role) => {
                fault = true;
                for charge in &mut state.charges {
                    if charge.request == request && charge.caller == Some(role) {
                        charge.caller = None;
                    }
                }
                state.charges.sort_unstable();
                state.go(request, role, None);
            }
            Action::Charge(index, how) => {
                fault = how != How::Done;
                state.charge(index, how);
            }
            Action::CrashCharge(index) => {
                fault = true;
                state.charges.remove(index);
            }
            Action::Deliver(request, how) => {
                fault = how != How::Done;
                let booking = &mut state.bookings[request];
                if how != How::FailsBefore {
                    // Stored under its id: a second one changes nothing.
                    booking.notifications = 1;
                }
                if how == How::Done {
                    booking.messages -= 1;
                }
            }
        }
        if fault {
            state.faults_left -= 1;
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("never oversold", |_, state: &State| {
                let held = state.bookings.iter().filter(|booking| {
                    booking.row.is_some_and(|row| {
                        matches!(row.status, Status::Pending | Status::Confirmed)
                    })
                });
                state.left() + WANTED * u8::try_from(held.count()).unwrap() == TICKETS
            }),
            Property::always("never charged twice", |_, state: &State| {
                (0..USERS).all(|user| {
                    let requests = &state.bookings[user * REPEATS..(user + 1) * REPEATS];
                    requests.iter().map(|booking| booking.charges).sum::<u8>() <= 1
                        && requests
                            .iter()
                            .all(|booking| booking.refunds <= booking.charges)
                })
            }),
            Property::always("never paid without a ticket", |_, state: &State| {
                state.bookings.iter().all(|booking| {
                    let paid = booking.verdict == Some(Verdict::Charged);
                    match booking.row.map(|row| row.status) {
                        Some(Status::Confirmed | Status::Cancelled) => paid,
                        Some(Status::Pending) => true,
                        Some(Status::Rejected | Status::Expired) | None => !paid,
                    }
                })
            }),
            Property::always("what a user was told stays true", |_, state: &State| {
                (0..USERS).all(|user| {
                    let status = state
                        .of_key(user)
                        .and_then(|request| state.bookings[request].row)
                        .map(|row| row.status);
                    state.told[user].iter().all(|told| match told {
                        201 => matches!(status, Some(Status::Confirmed | Status::Cancelled)),
                        402 => matches!(status, Some(Status::Rejected | Status::Expired)),
                        _ => true,
                    })
                })
            }),
            Property::always("work that is left has a job", |_, state: &State| {
                state.bookings.iter().all(|booking| {
                    booking.row.is_none_or(|row| {
                        let refunded = booking.record == Some(PaymentStatus::Refunded);
                        let confirmed = matches!(row.status, Status::Confirmed | Status::Cancelled);
                        row.settle == (row.status == Status::Pending)
                            && (confirmed || !row.announce)
                            && (row.status == Status::Cancelled || !row.refund)
                            && (row.status != Status::Cancelled || row.refund || refunded)
                    })
                })
            }),
            Property::always("repeats are told the first end", |_, state: &State| {
                state.bookings.iter().all(|booking| {
                    booking.row.is_none_or(|row| match row.status {
                        Status::Pending => matches!(row.answer, None | Some(Status::Pending)),
                        Status::Cancelled => row.answer == Some(Status::Confirmed),
                        end => row.answer == Some(end),
                    })
                })
            }),
            Property::always(
                "whatever stops is settled, refunded and notified",
                |model: &Protocol, state: &State| {
                    let mut actions = Vec::new();
                    model.actions(state, &mut actions);
                    actions.retain(|action| !matches!(action, Action::Send(_) | Action::Cancel(_)));
                    if !actions.is_empty() {
                        return true;
                    }
                    state.settled()
                        && state.bookings.iter().all(|booking| {
                            let confirmed = booking.row.map(|row| row.status);
                            match confirmed {
                                Some(Status::Confirmed) => booking.notifications == 1,
                                Some(Status::Cancelled) => {
                                    booking.refunds == 1 && booking.notifications == 1
                                }
                                _ => booking.notifications == 0 && booking.refunds == 0,
                            }
                        })
                },
            ),
            Property::sometimes(
                "both repeats of a user are answered 201",
                |_, state: &State| {
                    state.told[0] == [201] && state.sent[0] == REPEATS && state.settled()
                },
            ),
            Property::sometimes(
                "one user has the tickets, the other is told",
                |_, state: &State| state.told[0].contains(&201) && state.told[1].contains(&409),
            ),
            Property::sometimes(
                "a late charge is refused after a void",
                |_, state: &State| {
                    state
                        .bookings
                        .iter()
                        .any(|booking| booking.row.is_some_and(|row| row.status == Status::Expired))
                        && state
                            .charges
                            .iter()
                            .any(|charge| charge.command == Command::Charge)
                },
            ),
            Property::sometimes("a charge in its turn is paid", |_, state: &State| {
                state.bookings.iter().any(|booking| {
                    booking.at[Role::Settle as usize] == Some(Step::Announce)
                        && booking.row.is_some_and(|row| row.in_turn)
                })
            }),
            Property::sometimes("money goes back", |_, state: &State| {
                state.bookings.iter().any(|booking| booking.refunds == 1) && state.settled()
            }),
            Property::sometimes(
                "tickets that went back are sold again",
                |_, state: &State| {
                    let of = |user: usize, status| {
                        let requests = &state.bookings[user * REPEATS..(user + 1) * REPEATS];
                        requests
                            .iter()
                            .any(|booking| booking.row.is_some_and(|row| row.status == status))
                    };
                    of(0, Status::Rejected) && of(1, Status::Confirmed)
                },
            ),
        ]
    }
}

#[test]
fn no_order_of_steps_and_faults_breaks_a_promise() {
    let faults = env::var("ADMIT_MODEL_FAULTS").unwrap_or_default();
    let protocol = Protocol {
        faults: faults.parse().unwrap_or(1),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checked = protocol.checker().threads(threads).spawn_bfs().join();
    println!(
        "{} states, {} of them unique",
        checked.state_count(),
        checked.unique_state_count()
    );
    checked.assert_properties();
}
