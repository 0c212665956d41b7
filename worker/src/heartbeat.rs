//! The heartbeat file, for probes: written while the process's async runtime makes progress, with
//! the worker's state.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jhalak_common::telemetry::health::Health;
use jhalak_common::{Error, Result};
use tokio_util::sync::CancellationToken;

/// Time between two writes of the file.
const INTERVAL: Duration = Duration::from_secs(5);

/// Age of the file from which the worker counts as dead.
const MAX_AGE: Duration = Duration::from_secs(60);

const READY: &str = "ready";
const STUCK: &str = "stuck";

/// Writes the health to the file until `stop` is cancelled. Then removes it.
pub async fn beat(file: &Path, health: impl Fn() -> Health, stop: CancellationToken) {
    loop {
        let state = match health() {
            Health::Ready => READY,
            Health::NotReady => "not ready",
            Health::Stuck => STUCK,
        };
        if let Err(error) = replace(file, state).await {
            tracing::warn!(file = %file.display(), %error, "cannot write the heartbeat file");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    // Fails harmlessly where the folder was removed first.
    let _ = tokio::fs::remove_file(file).await;
}

/// Writes a temporary file and renames it, so that a probe never reads a partial file.
async fn replace(file: &Path, state: &str) -> std::io::Result<()> {
    let temporary = file.with_extension("new");
    tokio::fs::write(&temporary, state).await?;
    tokio::fs::rename(&temporary, file).await
}

/// Checks that the worker that writes `file` is alive and, with `ready`, that it takes jobs.
///
/// # Errors
/// Transient where it is not; those of reading the file.
pub fn check(file: &Path, ready: bool) -> Result<()> {
    let named = |e: std::io::Error| Error::from(e).context(format!("the heartbeat file {}", file.display()));
    let written = std::fs::metadata(file).and_then(|m| m.modified()).map_err(named)?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    if age > MAX_AGE {
        return Err(Error::transient(format!("the worker has not written its heartbeat for {} s", age.as_secs())));
    }
    let state = std::fs::read_to_string(file).map_err(named)?;
    if state == STUCK {
        return Err(Error::transient(Health::STUCK));
    }
    if ready && state != READY {
        return Err(Error::transient(Health::NOT_READY));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_probe_follows_the_worker_from_start_to_end() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("heartbeat");
        assert!(check(&file, false).is_err());
        std::fs::write(&file, "not ready").expect("a file");
        assert!(check(&file, false).is_ok() && check(&file, true).is_err());
        let stop = CancellationToken::new();
        stop.cancel();
        beat(&file, || Health::Ready, stop).await;
        assert!(!file.exists());
        std::fs::write(&file, STUCK).expect("a file");
        assert!(check(&file, false).is_err());
        std::fs::write(&file, READY).expect("a file");
        assert!(check(&file, true).is_ok());
        let old = SystemTime::now() - MAX_AGE - Duration::from_secs(1);
        std::fs::File::options().append(true).open(&file).and_then(|f| f.set_modified(old)).expect("a file");
        assert!(check(&file, true).is_err());
    }
}
