//! Which of several coordinators drives a run: the one that holds its lead, a record in the store.
//!
//! `runs/RUN/lead/NUMBER.json` is created with If-None-Match, so that each number has one holder; the highest number leads. The holder writes its
//! record again and again. Who sees it unchanged for [`PATIENCE`], released, or held by a dead process of this machine, takes the next number; the
//! former holder finds that number and stops. No clocks are compared: each watches the record by its own.
//!
//! For a moment two may lead, after a pause of the one or a cut network. That costs work and harms nobody: jobs are idempotent, artifacts are
//! committed once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use jhalak_common::run::{self, RUN_VERSION, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the holder writes its record, and looks whether it was followed or the run cancelled.
const BEAT: Duration = Duration::from_secs(2);

/// A record that stays unchanged for so long belongs to a coordinator that is gone.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// How often a record of another holder is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The machine or pod.
    pub host: String,
    /// Its process id there.
    pub process: u32,
    /// What tells this process from every other of that machine: the boot, and the moment when it was started.
    pub born: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    holder: Holder,
    beat: u64,
    released: bool,
}

/// The lead of a run, kept by a task of its own until [`Lead::release`].
pub struct Lead {
    /// Cancelled when another coordinator has taken over.
    pub lost: CancellationToken,
    /// Cancelled when the run was cancelled.
    pub cancelled: CancellationToken,
    key: String,
    store: Arc<dyn ObjectStore>,
    end: CancellationToken,
    keeping: JoinHandle<()>,
}

/// What came of asking for the lead.
pub enum Claim {
    /// This process leads.
    Ours(Lead),
    /// Another one does, and it lives.
    Theirs(Holder),
}

/// Takes the lead of `run`. Another coordinator that lives is waited for, or with `wait` false reported as soon as it is seen to live.
/// `meet` is told of it once.
///
/// # Errors
/// Cancelled where `stop` was, while this waited.
pub async fn take(
    store: &Arc<dyn ObjectStore>,
    run: &str,
    wait: bool,
    stop: &CancellationToken,
    mut meet: impl FnMut(&Holder),
) -> Result<Claim> {
    let mut seen: Option<(u64, Record, Instant)> = None;
    let mut met = false;
    loop {
        let last = last(store.as_ref(), run).await?;
        let free = match &last {
            None => true,
            Some((_, record)) if record.released || record.holder.is_dead() => true,
            Some((number, record)) => match &seen {
                Some((n, r, since)) if n == number && r == record => since.elapsed() > PATIENCE,
                Some((n, _, _)) if n == number && !wait => return Ok(Claim::Theirs(record.holder.clone())),
                _ => {
                    seen = Some((*number, record.clone(), Instant::now()));
                    false
                }
            },
        };
        if free {
            let number = last.map_or(0, |(number, _)| number) + 1;
            if let Some(lead) = Lead::create(store, run, number).await? {
                return Ok(Claim::Ours(lead));
            }
            continue;
        }
        if let (false, Some((_, record))) = (met, &last) {
            meet(&record.holder);
            met = true;
        }
        tokio::select! {
            () = stop.cancelled() => return Err(Error::cancelled("asked to stop while another coordinator drives the run")),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Who leads the run, by its record; None where nobody does or it was released.
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

impl Lead {
    /// None where another coordinator got this number.
    async fn create(store: &Arc<dyn ObjectStore>, run: &str, number: u64) -> Result<Option<Lead>> {
        let record = Record { version: RUN_VERSION, holder: Holder::this_process(), beat: 0, released: false };
        let own = key(run, number);
        if !run::put_json_once(store.as_ref(), &own, &record).await? {
            return Ok(None);
        }
        if number > 1 {
            // Who still holds it finds ours by its number, not by the absence of its own.
            store.delete(&key(run, number - 1)).await?;
        }
        let (lost, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let end = CancellationToken::new();
        let keeping = tokio::spawn({
            let (store, run, own) = (store.clone(), run.to_string(), own.clone());
            let (lost, cancelled, end) = (lost.clone(), cancelled.clone(), end.clone());
            async move {
                let mut record = record;
                loop {
                    tokio::select! { () = end.cancelled() => return, () = tokio::time::sleep(BEAT) => {} }
                    record.beat += 1;
                    match keep(store.as_ref(), &run, number, &own, &record).await {
                        Ok(Kept { followed: true, .. }) => {
                            tracing::warn!(run, "another coordinator has taken over the run");
                            return lost.cancel();
                        }
                        Ok(Kept { cancelled: true, .. }) => cancelled.cancel(),
                        Ok(_) => {}
                        Err(error) => {
                            tracing::warn!(run, error = %error.chain(), "the lead of the run cannot be kept up for now")
                        }
                    }
                }
            }
        });
        Ok(Some(Lead { lost, cancelled, key: own, store: store.clone(), end, keeping }))
    }

    /// Lets the next coordinator begin at once.
    pub async fn release(mut self) {
        let record = Record { version: RUN_VERSION, holder: Holder::this_process(), beat: u64::MAX, released: true };
        let released = async {
            // A beat that is on its way must not come after.
            self.end.cancel();
            // It ends by returning.
            let _ = (&mut self.keeping).await;
            if !self.lost.is_cancelled() {
                run::put_json(self.store.as_ref(), &self.key, &record).await?;
            }
            Ok::<_, Error>(())
        };
        match tokio::time::timeout(BEAT * 2, released).await {
            Ok(Ok(())) => {}
            // The next coordinator waits until the record has been silent for long enough.
            Ok(Err(error)) => tracing::debug!(error = %error.chain(), "the lead of the run was not released"),
            Err(_) => tracing::debug!("the lead of the run was not released in time"),
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

struct Kept {
    followed: bool,
    cancelled: bool,
}

async fn keep(store: &dyn ObjectStore, run: &str, number: u64, own: &str, record: &Record) -> Result<Kept> {
    match store.head(&key(run, number + 1)).await {
        Ok(_) => return Ok(Kept { followed: true, cancelled: false }),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    run::put_json(store, own, record).await?;
    Ok(Kept { followed: false, cancelled: run::is_cancelled(store, run).await? })
}

impl Holder {
    /// This process.
    pub fn this_process() -> Holder {
        let process = std::process::id();
        let born = format!("{}/{}", boot(), start_of(process).unwrap_or_default());
        Holder { host: host(), process, born }
    }

    /// Whether it was a process of this machine that is gone. A process that cannot be seen from here (another machine, another container of the
    /// same name) may be taken for dead only where it shares this machine's name and boot; then two lead, which harms nobody.
    fn is_dead(&self) -> bool {
        let same_machine = self.host == host() && self.born.split('/').next() == Some(boot().as_str());
        let seen = start_of(self.process).unwrap_or_default();
        same_machine && self.born.rsplit('/').next() != Some(seen.as_str())
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

fn host() -> String {
    read("/proc/sys/kernel/hostname").unwrap_or_else(|| "an unknown host".into())
}

fn boot() -> String {
    read("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// The start time of a living process in clock ticks since the boot; None where there is none, or only a zombie.
fn start_of(process: u32) -> Option<String> {
    let stat = read(&format!("/proc/{process}/stat"))?;
    // The program's name stands in parentheses and may hold anything.
    let mut fields = stat.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?;
    fields.nth(18).filter(|_| state != "Z" && state != "X").map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::store::local::LocalStore;

    async fn ours(store: &Arc<dyn ObjectStore>) -> Lead {
        match take(store, "films", true, &CancellationToken::new(), |_| {}).await.expect("a folder that can be written")
        {
            Claim::Ours(lead) => lead,
            Claim::Theirs(holder) => panic!("{holder} leads"),
        }
    }

    #[tokio::test]
    async fn one_leads_and_the_next_follows_when_it_lets_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let first = ours(&store).await;
        let claim = take(&store, "films", false, &CancellationToken::new(), |_| {}).await.expect("readable");
        assert!(matches!(claim, Claim::Theirs(holder) if holder == Holder::this_process()));
        first.release().await;
        let second = ours(&store).await;
        second.release().await;
    }

    #[tokio::test]
    async fn a_dead_process_of_this_machine_is_followed_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let holder = Holder { born: format!("{}/1", boot()), ..Holder::this_process() };
        let record = Record { version: RUN_VERSION, holder, beat: 7, released: false };
        run::put_json(store.as_ref(), &key("films", 4), &record).await.expect("room on disk");
        let began = Instant::now();
        let lead = ours(&store).await;
        assert!(began.elapsed() < PATIENCE / 2);
        assert!(lead.key.ends_with("0000000005.json"), "{}", lead.key);
    }

    #[tokio::test]
    async fn who_is_followed_and_whose_run_is_cancelled_learns_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let lead = ours(&store).await;
        let record = run::Cancellation { version: RUN_VERSION, at: jiff::Timestamp::now() };
        run::put_json(store.as_ref(), &run_key("films", run::CANCELLED), &record).await.expect("room on disk");
        lead.cancelled.cancelled().await;
        let next = Record { version: RUN_VERSION, holder: Holder::this_process(), beat: 0, released: false };
        run::put_json(store.as_ref(), &key("films", 2), &next).await.expect("room on disk");
        lead.lost.cancelled().await;
    }
}
