//! The stop signal of a process: the first SIGTERM or SIGINT asks it to stop, the second one ends
//! it at once (invariant 6 in ARCHITECTURE.md).

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit;
use crate::error::{Error, Result};

/// Returns a token that the first SIGTERM or SIGINT cancels. A second signal exits the process at
/// once with [`exit::INTERRUPTED`].
pub fn on_signal() -> Result<CancellationToken> {
    let cannot = |e: std::io::Error| Error::bug("the signal handlers cannot be set").with_source(e);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let token = CancellationToken::new();
    let asked = token.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if asked.is_cancelled() {
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
            tracing::warn!("stop requested: ending in order (a second signal ends the process at once)");
            asked.cancel();
        }
    });
    Ok(token)
}
