//! The lease of a run: decides which of several coordinators drives it. A lease is a record in the
//! store.
//!
//! `runs/RUN/lead/NUMBER.json` is created with If-None-Match, so that each number has one holder;
//! the highest number holds the lease. The holder rewrites its record every [`RENEW_INTERVAL`].
//! Another coordinator takes the next number when the record has not changed for [`EXPIRY`], was
//! released, or belongs to a dead process of the same machine; the former holder finds that number
//! and stops. No clocks are compared: each coordinator times the record with its own clock.
//!
//! Two coordinators may drive a run for a moment, after a pause of one of them or a network
//! partition. That wastes work and does no harm: jobs are idempotent, artifacts are committed once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
pub use jhalak_common::process::Identity as Holder;
use jhalak_common::run::{self, RUN_VERSION, run_key};
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How often the holder rewrites its record and checks whether it was superseded or the run
/// cancelled.
const RENEW_INTERVAL: Duration = Duration::from_secs(2);

/// A record that has not changed for this long belongs to a coordinator that is gone.
const EXPIRY: Duration = Duration::from_secs(15);

/// How often the record of another holder is read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    holder: Holder,
    #[serde(rename = "beat")]
    renewals: u64,
    released: bool,
}

/// The lease of a run, renewed by a task of its own until [`Lease::release`].
pub struct Lease {
    /// Cancelled when another coordinator has taken the lease.
    pub superseded: CancellationToken,
    /// Cancelled when the run was cancelled.
    pub cancelled: CancellationToken,
    /// Whether another coordinator has held the lease before.
    pub is_successor: bool,
    key: String,
    store: Arc<dyn ObjectStore>,
    end: CancellationToken,
    renewing: JoinHandle<()>,
}

/// The answer to a request for the lease.
pub enum Claim {
    /// This process holds the lease.
    Acquired(Lease),
    /// A live coordinator holds it.
    Held(Holder),
}

/// Acquires the lease of `run`. Waits while a live coordinator holds it, or with `wait` false
/// returns that holder as soon as its record is seen to change. Calls `on_wait` once, when it first
/// meets another holder.
///
/// # Errors
/// Cancelled when `stop` was cancelled while this waited.
pub async fn acquire(
    store: &Arc<dyn ObjectStore>,
    run: &str,
    wait: bool,
    stop: &CancellationToken,
    mut on_wait: impl FnMut(&Holder),
) -> Result<Claim> {
    let mut seen: Option<(u64, Record, Instant)> = None;
    let mut reported = false;
    loop {
        let last = last(store.as_ref(), run).await?;
        let free = match &last {
            None => true,
            Some((_, record)) if record.released || record.holder.is_dead() => true,
            Some((number, record)) => match &seen {
                Some((n, r, since)) if n == number && r == record => since.elapsed() > EXPIRY,
                Some((n, _, _)) if n == number && !wait => return Ok(Claim::Held(record.holder.clone())),
                _ => {
                    seen = Some((*number, record.clone(), Instant::now()));
                    false
                }
            },
        };
        if free {
            let number = last.map_or(0, |(number, _)| number) + 1;
            if let Some(lease) = Lease::create(store, run, number).await? {
                return Ok(Claim::Acquired(lease));
            }
            continue;
        }
        if let (false, Some((_, record))) = (reported, &last) {
            on_wait(&record.holder);
            reported = true;
        }
        tokio::select! {
            () = stop.cancelled() => {
                return Err(Error::cancelled("stop requested while another coordinator drives the run"));
            }
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
    }
}

/// Returns the live holder of the run's lease by its record; None when nobody holds it.
pub async fn holder(store: &dyn ObjectStore, run: &str) -> Result<Option<Holder>> {
    let last = last(store, run).await?;
    Ok(last.filter(|(_, record)| !record.released && !record.holder.is_dead()).map(|(_, record)| record.holder))
}

fn key(run: &str, number: u64) -> String {
    run_key(run, &format!("lead/{number:010}.json"))
}

async fn last(store: &dyn ObjectStore, run: &str) -> Result<Option<(u64, Record)>> {
    let keys: Vec<String> = store.list(&run_key(run, "lead/")).map_ok(|o| o.key).try_collect().await?;
    for key in keys.iter().rev() {
        let number = key.rsplit('/').next().and_then(|n| n.strip_suffix(".json")).and_then(|n| n.parse().ok());
        let Some(number) = number else { continue };
        if let Some(record) = run::get_json(store, key).await? {
            return Ok(Some((number, record)));
        }
    }
    Ok(None)
}

impl Lease {
    /// Returns None when another coordinator took this number first.
    async fn create(store: &Arc<dyn ObjectStore>, run: &str, number: u64) -> Result<Option<Lease>> {
        let record = Record { version: RUN_VERSION, holder: Holder::this_process(), renewals: 0, released: false };
        let own = key(run, number);
        if !run::put_json_once(store.as_ref(), &own, &record).await? {
            return Ok(None);
        }
        if number > 1 {
            // The former holder looks for the next number, not for its own.
            store.delete(&key(run, number - 1)).await?;
        }
        let (superseded, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let end = CancellationToken::new();
        let renewing = Renewing {
            store: store.clone(),
            run: run.to_string(),
            number,
            key: own.clone(),
            superseded: superseded.clone(),
            cancelled: cancelled.clone(),
            end: end.clone(),
        };
        let renewing = tokio::spawn(renewing.run(record).in_current_span());
        Ok(Some(Lease {
            superseded,
            cancelled,
            is_successor: number > 1,
            key: own,
            store: store.clone(),
            end,
            renewing,
        }))
    }

    /// Releases the lease, so that the next coordinator can start at once.
    pub async fn release(mut self) {
        let record =
            Record { version: RUN_VERSION, holder: Holder::this_process(), renewals: u64::MAX, released: true };
        let released = async {
            // A renewal in flight must not overwrite the released record.
            self.end.cancel();
            // The task ends by returning.
            let _ = (&mut self.renewing).await;
            if !self.superseded.is_cancelled() {
                run::put_json(self.store.as_ref(), &self.key, &record).await?;
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(RENEW_INTERVAL * 2, released).await {
            Ok(Ok(())) => {}
            // The next coordinator waits for the lease to expire.
            Ok(Err(error)) => tracing::debug!(error = %error.chain(), "lease not released"),
            Err(_) => tracing::debug!("lease not released in time"),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

/// The task that renews a lease.
struct Renewing {
    store: Arc<dyn ObjectStore>,
    run: String,
    number: u64,
    key: String,
    superseded: CancellationToken,
    cancelled: CancellationToken,
    end: CancellationToken,
}

/// The result of a renewal.
struct Renewal {
    superseded: bool,
    cancelled: bool,
}

impl Renewing {
    async fn run(self, mut record: Record) {
        loop {
            tokio::select! { () = self.end.cancelled() => return, () = tokio::time::sleep(RENEW_INTERVAL) => {} }
            record.renewals += 1;
            match self.renew(&record).await {
                Ok(Renewal { superseded: true, .. }) => {
                    tracing::warn!(run = self.run, "another coordinator has taken over the run");
                    return self.superseded.cancel();
                }
                Ok(Renewal { cancelled: true, .. }) => self.cancelled.cancel(),
                Ok(_) => {}
                Err(error) => tracing::warn!(run = self.run, error = %error.chain(), "cannot renew the lease"),
            }
        }
    }

    async fn renew(&self, record: &Record) -> Result<Renewal> {
        let store = self.store.as_ref();
        // A successor's successor deletes the successor's record, and the successor deleted this
        // one.
        let has_successor = store::exists(store, &key(&self.run, self.number + 1)).await?;
        if has_successor || !store::exists(store, &self.key).await? {
            return Ok(Renewal { superseded: true, cancelled: false });
        }
        run::put_json(store, &self.key, record).await?;
        Ok(Renewal { superseded: false, cancelled: run::is_cancelled(store, &self.run).await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::store::local::LocalStore;

    async fn acquired(store: &Arc<dyn ObjectStore>) -> Lease {
        match acquire(store, "films", true, &CancellationToken::new(), |_| {})
            .await
            .expect("a folder that can be written")
        {
            Claim::Acquired(lease) => lease,
            Claim::Held(holder) => panic!("{holder} holds the lease"),
        }
    }

    #[tokio::test]
    async fn a_released_lease_can_be_acquired_at_once_and_a_held_one_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let first = acquired(&store).await;
        let claim = acquire(&store, "films", false, &CancellationToken::new(), |_| {}).await.expect("readable");
        assert!(matches!(claim, Claim::Held(holder) if holder == Holder::this_process()));
        first.release().await;
        let second = acquired(&store).await;
        second.release().await;
    }

    #[tokio::test]
    async fn the_lease_of_a_dead_process_of_this_machine_is_taken_over_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let this = Holder::this_process();
        let boot = this.born.split('/').next().unwrap_or_default();
        let holder = Holder { born: format!("{boot}/1"), ..this.clone() };
        let record = Record { version: RUN_VERSION, holder, renewals: 7, released: false };
        run::put_json(store.as_ref(), &key("films", 4), &record).await.expect("room on disk");
        let began = Instant::now();
        let lease = acquired(&store).await;
        assert!(began.elapsed() < EXPIRY / 2);
        assert!(lease.key.ends_with("0000000005.json"), "{}", lease.key);
    }

    #[tokio::test]
    async fn the_holder_is_notified_of_cancellation_and_of_takeover() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let lease = acquired(&store).await;
        let record = run::Cancellation { version: RUN_VERSION, at: jiff::Timestamp::now() };
        run::put_json(store.as_ref(), &run_key("films", run::CANCELLED), &record).await.expect("room on disk");
        lease.cancelled.cancelled().await;
        let next = Record { version: RUN_VERSION, holder: Holder::this_process(), renewals: 0, released: false };
        run::put_json(store.as_ref(), &key("films", 2), &next).await.expect("room on disk");
        lease.superseded.cancelled().await;
    }

    #[tokio::test]
    async fn a_holder_that_was_away_while_two_others_took_the_lease_finds_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let first = acquired(&store).await;
        let record = Record { version: RUN_VERSION, holder: Holder::this_process(), renewals: 0, released: false };
        run::put_json(store.as_ref(), &key("films", 3), &record).await.expect("room on disk");
        store.delete(&first.key).await.expect("a folder that can be written");
        first.superseded.cancelled().await;
    }

    #[tokio::test]
    async fn the_stored_record_keeps_its_field_names() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let lease = acquired(&store).await;
        let stored: serde_json::Value = run::get_json(store.as_ref(), "runs/films/lead/0000000001.json")
            .await
            .expect("a record that can be read")
            .expect("a record");
        let fields: Vec<&str> = stored.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(fields, ["beat", "holder", "released", "version"]);
        lease.release().await;
    }
}
