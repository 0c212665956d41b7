//! Runs computations of a job on threads for blocking work, inside the job's tracing span.
//!
//! On the async threads they would hold up the queue's heartbeats.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jhalak_common::{Error, Result};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// Runs `work` on a thread for blocking work and waits for its result.
///
/// # Errors
/// Those of `work`; a bug where it panics.
pub async fn compute<T>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T>
where
    T: Send + 'static,
{
    let span = Span::current();
    let computed = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    computed.map_err(|e| Error::bug("a computation panicked").with_source(e))?
}

/// As [`compute`]; sets the flag that `work` receives once `stop` is cancelled, and then waits
/// for it to return.
///
/// # Errors
/// Those of [`compute`].
pub async fn compute_until<T, E>(
    stop: &CancellationToken,
    work: impl FnOnce(&AtomicBool) -> Result<T, E> + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    E: Into<Error>,
{
    let flag = Arc::new(AtomicBool::new(false));
    let seen = flag.clone();
    let mut running = pin!(compute(move || work(&seen).map_err(Into::into)));
    tokio::select! {
        computed = &mut running => return computed,
        () = stop.cancelled() => flag.store(true, Ordering::Relaxed),
    }
    running.await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    use jhalak_common::ErrorKind;

    #[tokio::test]
    async fn a_computation_sees_the_stop_and_its_error_is_returned() {
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = compute_until(&stop, |flag: &AtomicBool| -> Result<()> {
            let began = Instant::now();
            while !flag.load(Ordering::Relaxed) {
                if began.elapsed() > Duration::from_secs(30) {
                    return Ok(());
                }
                std::thread::yield_now();
            }
            Err(Error::cancelled("stopped"))
        });
        assert_eq!(stopped.await.expect_err("it was stopped").kind(), ErrorKind::Cancelled);
    }

    #[tokio::test]
    async fn a_computation_that_panics_is_a_bug() {
        let panicked = compute(|| -> Result<()> { panic!("on purpose") }).await;
        assert_eq!(panicked.expect_err("it panicked").kind(), ErrorKind::Bug);
    }
}
