//! Connecting before the first invocation needs it.

use std::error::Error;
use std::time::Duration;

use runtime::telemetry;
use tokio::time::timeout;

/// An early connection that takes longer is given up. Lambda may freeze the process while it connects; the first
/// invocation must not wait for a connection that died meanwhile.
const EARLY_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection, or `None` if it can't be made. That is no error: whoever needs a connection makes one.
pub(crate) async fn connected<C, E: Error + 'static>(
    connecting: impl Future<Output = Result<C, E>>,
) -> Option<C> {
    match timeout(EARLY_CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            let error = telemetry::chain(&error);
            tracing::info!(error, "early connection failed");
            None
        }
        Err(_) => {
            tracing::info!(error = "no connection in time", "early connection failed");
            None
        }
    }
}
