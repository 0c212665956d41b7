//! A sign of life in a file, for probes: written while the process's runtime turns, with what the worker is at.

use std::path::Path;
use std::time::{Duration, SystemTime};

use jhalak_common::{Error, Result};
use tokio_util::sync::CancellationToken;

/// How often the file is written.
const EVERY: Duration = Duration::from_secs(5);

/// How old the file may be.
const FRESH: Duration = Duration::from_secs(60);

const READY: &str = "ready";

/// Writes the file until `stop`: `starting` at first, `ready` once `ready` is cancelled; removes it at the end.
pub async fn beat(file: &Path, ready: CancellationToken, stop: CancellationToken) {
    loop {
        let word = if ready.is_cancelled() { READY } else { "starting" };
        if let Err(error) = replace(file, word).await {
            tracing::warn!(file = %file.display(), %error, "the heartbeat file cannot be written");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    // Gone already where the folder was removed first.
    let _ = tokio::fs::remove_file(file).await;
}

/// Writes beside the file and renames, so that a probe never reads a part.
async fn replace(file: &Path, word: &str) -> std::io::Result<()> {
    let fresh = file.with_extension("new");
    tokio::fs::write(&fresh, word).await?;
    tokio::fs::rename(&fresh, file).await
}

/// Whether the worker that writes `file` lives and, with `ready`, takes jobs.
pub fn check(file: &Path, ready: bool) -> Result<()> {
    let named = |e: std::io::Error| Error::from(e).context(format!("the heartbeat file {}", file.display()));
    let written = std::fs::metadata(file).and_then(|m| m.modified()).map_err(named)?;
    let age = SystemTime::now().duration_since(written).unwrap_or_default();
    if age > FRESH {
        return Err(Error::transient(format!("the worker has given no sign of life for {} s", age.as_secs())));
    }
    if ready && std::fs::read_to_string(file).map_err(named)? != READY {
        return Err(Error::transient("the worker takes no jobs yet"));
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
        std::fs::write(&file, "starting").expect("a file");
        assert!(check(&file, false).is_ok() && check(&file, true).is_err());
        let (ready, stop) = (CancellationToken::new(), CancellationToken::new());
        ready.cancel();
        stop.cancel();
        beat(&file, ready.clone(), stop).await;
        assert!(!file.exists());
        std::fs::write(&file, READY).expect("a file");
        assert!(check(&file, true).is_ok());
        let old = SystemTime::now() - FRESH - Duration::from_secs(1);
        std::fs::File::options().append(true).open(&file).and_then(|f| f.set_modified(old)).expect("a file");
        assert!(check(&file, true).is_err());
    }
}
