//! A first interrupt ends a computation soon.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jhalak_common::{Error, Result};
use jhalak_worker::blocking::compute_until;
use tokio_util::sync::CancellationToken;

/// How long a computation may take to notice that it is stopped. After that it is abandoned: it
/// writes nothing.
const GRACE: Duration = Duration::from_millis(1500);

/// Runs `work` on a thread until it ends; once `stopped` is cancelled, for [`GRACE`] at most.
///
/// # Errors
/// Those of `work`; cancelled.
pub(super) async fn stop_soon<T, E>(
    stopped: &CancellationToken,
    work: impl FnOnce(&AtomicBool) -> Result<T, E> + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    E: Into<Error>,
{
    let abandoned = async {
        stopped.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        computed = compute_until(stopped, work) => computed,
        () = abandoned => Err(Error::cancelled("stopped")),
    }
}
