//! One stop signal for a process: the first SIGTERM or SIGINT asks it to stop, the second ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit;
use crate::error::{Error, Result};

/// A token that is cancelled by the first SIGTERM or SIGINT. A second one exits the process at once with [`exit::INTERRUPTED`].
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
            tracing::warn!("asked to stop: finishing or handing back what runs (a second signal ends it at once)");
            asked.cancel();
        }
    });
    Ok(token)
}
