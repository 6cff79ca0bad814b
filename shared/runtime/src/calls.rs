//! Calls that leave the process. Every one goes through here, so that every one
//! - is named by its [`FailPoint`], where a debug build can make it fail;
//! - has a limit in time, made from what is left to the invocation that it belongs to;
//! - is repeated once at most, and only where its caller says that a repeat is safe.

use std::future::IntoFuture;
use std::io;
use std::time::{Duration, Instant, SystemTime};

use tokio::task_local;
use tokio::time::{sleep, timeout};

use crate::faults::{self, Broken, FailPoint};
use crate::telemetry;

task_local! {
    /// When Lambda ends the invocation that this task serves.
    static ENDS: Instant;
}

/// The time limit of an invocation without a usable deadline: `cargo lambda`'s own Invoke API sends
/// deadlines in 1970.
const DEFAULT_INVOCATION_TIME: Duration = Duration::from_secs(15);

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError<E> {
    /// There was none in time. What was asked may have been done or not.
    #[error("{point}: no answer within {} ms", limit.as_millis())]
    TimedOut { point: FailPoint, limit: Duration },
    /// A test broke the connection. What was asked may have been done or not.
    #[error("{0}: a test broke the connection")]
    Broken(FailPoint),
    /// The call's own error.
    #[error(transparent)]
    Failed(#[from] E),
}

impl<E> CallError<E> {
    /// Whether a retry may succeed. `is_transient` decides that for the call's own errors. A timeout is not
    /// transient: a slow server is not asked again.
    pub fn is_transient(&self, is_transient: impl Fn(&E) -> bool) -> bool {
        match self {
            Self::TimedOut { .. } => false,
            Self::Broken(_) => true,
            Self::Failed(error) => is_transient(error),
        }
    }
}

impl<E: std::error::Error + From<io::Error>> CallError<E> {
    /// Converts this to the call's own error type, for callers whose result type can hold no other.
    pub fn into_own(self) -> E {
        let (kind, why) = match self {
            Self::Failed(error) => return error,
            Self::TimedOut { .. } => (io::ErrorKind::TimedOut, self.to_string()),
            Self::Broken(_) => (io::ErrorKind::ConnectionReset, self.to_string()),
        };
        io::Error::new(kind, why).into()
    }
}

/// Runs `work` as an invocation that ends at `deadline`.
pub async fn until<Work: Future>(deadline: SystemTime, work: Work) -> Work::Output {
    let left = deadline
        .duration_since(SystemTime::now())
        .ok()
        .filter(|left| !left.is_zero())
        .unwrap_or(DEFAULT_INVOCATION_TIME);
    ENDS.scope(Instant::now() + left, work).await
}

/// The time that this invocation has left, or `Duration::MAX` outside of an invocation.
pub fn remaining() -> Duration {
    ENDS.try_with(|ends| ends.saturating_duration_since(Instant::now()))
        .unwrap_or(Duration::MAX)
}

/// Makes a call that must not be repeated. Its time limit is `most` or half of the invocation's
/// remaining time, whichever is less. So there is always time to answer and to record an unknown outcome.
pub async fn once<T, E, Call>(
    point: FailPoint,
    most: Duration,
    call: impl Fn() -> Call,
) -> Result<T, CallError<E>>
where
    Call: IntoFuture<Output = Result<T, E>>,
{
    let limit = most.min(remaining() / 2);
    match timeout(limit, faults::at(point, call)).await {
        Ok(Ok(outcome)) => Ok(outcome?),
        Ok(Err(Broken)) => Err(CallError::Broken(point)),
        Err(_) => Err(CallError::TimedOut { point, limit }),
    }
}

/// Makes a call that is safe to repeat, and repeats it once after an error that is transient: where the
/// connection was at fault rather than what was asked. Lambda's freezing and a server's restart break
/// connections.
pub async fn idempotent<T, E, Call>(
    point: FailPoint,
    most: Duration,
    is_transient: impl Fn(&E) -> bool,
    call: impl Fn() -> Call,
) -> Result<T, CallError<E>>
where
    E: std::error::Error + 'static,
    Call: IntoFuture<Output = Result<T, E>>,
{
    match once(point, most, &call).await {
        Err(error) if error.is_transient(is_transient) => {
            let error = telemetry::chain(&error);
            tracing::info!(%point, error, "transient failure; retrying once");
            pause().await;
            once(point, most, call).await
        }
        outcome => outcome,
    }
}

/// A moment before a repeat, of random length, so that many who failed at once don't return at once.
pub async fn pause() {
    sleep(Duration::from_millis(fastrand::u64(50..150))).await;
}

/// Whether an I/O error says that a connection broke. A timeout doesn't, since the server may be busy. Nor
/// does an answer that says that the server is busy, or that it refuses.
pub fn is_broken(error: &io::Error) -> bool {
    !matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn tries(kind: io::ErrorKind) -> u32 {
        let tries = AtomicU32::new(0);
        let outcome = idempotent(
            FailPoint("ReadBooking"),
            DEFAULT_INVOCATION_TIME,
            is_broken,
            async || {
                tries.fetch_add(1, Ordering::Relaxed);
                Err::<(), _>(io::Error::from(kind))
            },
        )
        .await;
        assert!(outcome.is_err());
        tries.into_inner()
    }

    #[tokio::test]
    async fn a_broken_connection_is_tried_twice_and_a_slow_server_once() {
        assert_eq!(tries(io::ErrorKind::ConnectionReset).await, 2);
        assert_eq!(tries(io::ErrorKind::TimedOut).await, 1);
    }

    #[tokio::test]
    async fn a_call_has_half_of_what_is_left_and_leaves_the_rest_for_the_answer() {
        let started = Instant::now();
        let deadline = SystemTime::now() + Duration::from_millis(800);
        let outcome: Result<(), CallError<io::Error>> = until(deadline, async {
            once(
                FailPoint("ReadBooking"),
                DEFAULT_INVOCATION_TIME,
                std::future::pending,
            )
            .await
        })
        .await;
        assert!(matches!(outcome, Err(CallError::TimedOut { .. })));
        let (waited, half) = (started.elapsed(), Duration::from_millis(350));
        assert!((half..half * 2).contains(&waited), "{waited:?}");
    }
}
