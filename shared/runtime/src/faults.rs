//! Fault points: every boundary that the system crosses, by name, and what can go wrong there.
//!
//! A call that leaves a process can't be made without a [`FailPoint`], as the stores' connections are
//! private to the modules that ask for one. The tests inject each [`Fault`] at each point, and then check
//! the stores against the promises.
//!
//! A release build contains none of this: there, `at` only makes the call.

use std::fmt;

use strum::{Display, VariantArray};

/// A call that leaves the process, named at the place in the code that makes it. No two places use the
/// same name. A test finds all the names by reading the code. A name that begins with `Get` or `List`
/// belongs to a call that changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailPoint(pub &'static str);

impl fmt::Display for FailPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What can go wrong at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, VariantArray)]
pub enum Fault {
    /// It fails, and nothing has happened.
    FailsBefore,
    /// It happens, and its caller is told that the connection broke.
    AnswerLost,
    /// It happens, and no answer ever comes: the caller's own limit ends the waiting.
    Hangs,
    /// The process stands still before it, until Lambda ends it at the function's deadline.
    Stalls,
    /// It happens twice.
    Twice,
    /// It happens, and the process is killed before it hears so.
    Killed,
    /// It happens late. A call's caller waits for it; an invocation's invoker was told that the
    /// connection broke.
    Late,
}

impl Fault {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;
}

/// A test broke the connection of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

#[cfg(not(debug_assertions))]
mod switch {
    use super::{Broken, FailPoint};

    /// Makes the call.
    pub async fn at<Call: IntoFuture>(
        _: FailPoint,
        call: impl Fn() -> Call,
    ) -> Result<Call::Output, Broken> {
        Ok(call().await)
    }

    /// Answers an invocation.
    pub fn returning<Answer: Future>(_: &str, answer: Answer) -> Answer {
        answer
    }

    /// Whether the platform is to deliver an invocation of this function twice: never.
    pub fn delivered_twice(_: &str) -> bool {
        false
    }

    /// Whether the platform is to deliver an invocation of this function late: never.
    pub fn delivered_late(_: &str) -> bool {
        false
    }
}

#[cfg(debug_assertions)]
mod switch {
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::time::Duration;
    use std::{fs, future, process, thread};

    use tokio::time::sleep;

    use super::{Broken, FailPoint, Fault};
    use crate::{Error, config};

    /// The delay of a late call. It is shorter than every call's time limit, so that the call is made.
    const LATE: Duration = Duration::from_secs(1);

    const BROKEN: &str = "a test broke the connection";

    /// Makes the call, or injects the fault that a test has armed at this point.
    pub async fn at<Call: IntoFuture>(
        point: FailPoint,
        call: impl Fn() -> Call,
    ) -> Result<Call::Output, Broken> {
        match take(point.0, |_| true) {
            None => Ok(call().await),
            Some(Fault::Late) => {
                sleep(LATE).await;
                Ok(call().await)
            }
            Some(Fault::FailsBefore) => Err(Broken),
            Some(Fault::AnswerLost) => {
                drop(call().await);
                Err(Broken)
            }
            Some(Fault::Hangs) => {
                drop(call().await);
                future::pending().await
            }
            Some(Fault::Stalls) => stall(),
            Some(Fault::Twice) => {
                drop(call().await);
                Ok(call().await)
            }
            Some(Fault::Killed) => {
                drop(call().await);
                process::exit(137)
            }
        }
    }

    /// Answers an invocation of `function`, or not.
    pub async fn returning<T>(
        function: &str,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match take(function, |fault| !is_the_platforms(fault)) {
            None | Some(Fault::Twice | Fault::Late) => answer.await,
            Some(Fault::FailsBefore) => Err(BROKEN.into()),
            Some(Fault::AnswerLost) => {
                drop(answer.await);
                Err(BROKEN.into())
            }
            Some(Fault::Hangs) => {
                drop(answer.await);
                future::pending().await
            }
            Some(Fault::Stalls) => stall(),
            Some(Fault::Killed) => {
                drop(answer.await);
                process::exit(137)
            }
        }
    }

    /// Whether the platform injects this fault, because it happens to an invocation before its function
    /// receives it.
    fn is_the_platforms(fault: Fault) -> bool {
        matches!(fault, Fault::Twice | Fault::Late)
    }

    /// Whether the platform is to deliver an invocation of this function twice.
    pub fn delivered_twice(function: &str) -> bool {
        take(function, |fault| fault == Fault::Twice).is_some()
    }

    /// Whether the platform is to deliver an invocation of this function late.
    pub fn delivered_late(function: &str) -> bool {
        take(function, |fault| fault == Fault::Late).is_some()
    }

    fn stall() -> ! {
        loop {
            thread::sleep(Duration::from_secs(60));
        }
    }

    /// Takes a fault that is armed at `name`, if there is one that `wanted` accepts. An armed fault is
    /// a file `NAME.NUMBER.FAULT.FUNCTION`, where `FUNCTION` is `any` for any function. If several
    /// processes see the file, the one that removes it takes the fault.
    fn take(name: &str, wanted: impl Fn(Fault) -> bool) -> Option<Fault> {
        static FOLDER: OnceLock<Option<(PathBuf, String)>> = OnceLock::new();
        let (folder, function) = FOLDER.get_or_init(config::faults).as_ref()?;
        fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
            let file = entry.file_name();
            let mut parts = file.to_str()?.split('.');
            if parts.next()? != name {
                return None;
            }
            let fault = parts.nth(1)?;
            let fault = *Fault::ALL.iter().find(|known| known.to_string() == fault)?;
            let whose = parts.next()?;
            if whose != "any" && whose != function {
                return None;
            }
            (wanted(fault) && fs::remove_file(entry.path()).is_ok()).then_some(fault)
        })
    }
}

pub use switch::{at, delivered_late, delivered_twice, returning};
