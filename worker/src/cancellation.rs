//! Looks up whether runs exist, what they plan, and whether they are cancelled: before a job
//! starts, and at intervals while jobs of the run are running.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, run};
use tokio_util::sync::CancellationToken;

use crate::planned_work::Planned;

/// How long a lookup stays valid, and the interval between lookups of runs with jobs.
const MAX_AGE: Duration = Duration::from_secs(2);

/// How long a run without jobs is remembered.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// The runs that this worker has jobs of: whether they exist, and whether they are cancelled.
pub struct RunWatch {
    store: Arc<dyn ObjectStore>,
    runs: Mutex<BTreeMap<String, Run>>,
}

struct Run {
    cancelled: CancellationToken,
    /// None while it is not known.
    planned: Option<Planned>,
    checked: Option<Instant>,
    jobs: usize,
}

/// One job's interest in its run. Drop it when the job has ended.
pub struct WatchedRun {
    /// Cancelled when the run is.
    pub cancelled: CancellationToken,
    /// What the store says about its plan; None while the store does not answer.
    pub planned: Option<Planned>,
    watch: Arc<RunWatch>,
    run: String,
}

impl RunWatch {
    /// Watches runs whose records are in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(RunWatch { store, runs: Mutex::default() })
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<String, Run>> {
        // No code that holds the lock can panic halfway through a change.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches `run` for a job that is about to start. Looks the run up unless the last lookup is
    /// still valid.
    pub async fn watch(self: &Arc<Self>, run: &str) -> WatchedRun {
        let valid = {
            let mut runs = self.runs();
            let known = runs.entry(run.to_string()).or_insert_with(Run::new);
            known.jobs += 1;
            // A cancelled run is always looked up again: it may have been resumed.
            !known.cancelled.is_cancelled() && known.checked.is_some_and(|at| at.elapsed() < MAX_AGE)
        };
        let cancelled = CancellationToken::new();
        let mut watched = WatchedRun { cancelled, planned: None, watch: self.clone(), run: run.to_string() };
        if !valid {
            self.check(run).await;
        }
        if let Some(known) = self.runs().get(run) {
            watched.cancelled = known.cancelled.clone();
            watched.planned = known.planned.clone();
        }
        watched
    }

    /// Looks up runs with running jobs at intervals, until dropped.
    pub async fn poll(self: Arc<Self>) {
        loop {
            tokio::time::sleep(MAX_AGE).await;
            let busy: Vec<String> = {
                let mut runs = self.runs();
                runs.retain(|_, r| r.jobs > 0 || r.checked.is_some_and(|at| at.elapsed() < FORGET_AFTER));
                runs.iter().filter(|(_, r)| r.jobs > 0).map(|(run, _)| run.clone()).collect()
            };
            for run in busy {
                self.check(&run).await;
            }
        }
    }

    async fn check(&self, run: &str) {
        // A specification is never removed: one look is enough.
        let planned = self.runs().get(run).and_then(|known| known.planned.clone());
        let store = self.store.as_ref();
        let found = async {
            let planned = match planned {
                Some(Planned::Yes(work)) => Planned::Yes(work),
                _ => Planned::read(store, run).await?,
            };
            Ok::<_, Error>((planned, run::is_cancelled(store, run).await?))
        };
        let (planned, cancelled) = match found.await {
            Ok(found) => found,
            Err(error) => {
                // An unreachable store fails the job itself, which reports it.
                tracing::debug!(run, error = %error.chain(), "cannot look the run up now");
                return;
            }
        };
        if let Some(known) = self.runs().get_mut(run) {
            known.planned = Some(planned);
            known.checked = Some(Instant::now());
            match (cancelled, known.cancelled.is_cancelled()) {
                (true, false) => {
                    tracing::info!(run, "the run was cancelled: dropping its jobs");
                    known.cancelled.cancel();
                }
                // The run was resumed.
                (false, true) => known.cancelled = CancellationToken::new(),
                _ => {}
            }
        }
    }
}

impl Run {
    fn new() -> Self {
        Run { cancelled: CancellationToken::new(), planned: None, checked: None, jobs: 0 }
    }
}

impl Drop for WatchedRun {
    fn drop(&mut self) {
        if let Some(known) = self.watch.runs().get_mut(&self.run) {
            known.jobs -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use jhalak_common::run::{CANCELLED, SPECIFICATION, run_key};
    use jhalak_common::store::local::LocalStore;

    fn watch() -> (tempfile::TempDir, Arc<LocalStore>, Arc<RunWatch>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let watch = RunWatch::new(store.clone());
        (folder, store, watch)
    }

    #[tokio::test]
    async fn a_job_of_a_cancelled_run_is_cancelled_before_it_starts_and_runs_once_the_run_is_resumed() {
        let (_folder, store, watch) = watch();
        let record = run_key("one", CANCELLED);
        store.put(&record, Bytes::from_static(b"{}")).await.expect("written");
        assert!(watch.watch("one").await.cancelled.is_cancelled());
        assert!(!watch.watch("other").await.cancelled.is_cancelled());
        store.delete(&record).await.expect("deleted");
        assert!(!watch.watch("one").await.cancelled.is_cancelled(), "a cancelled run is looked up each time");
    }

    #[tokio::test]
    async fn a_run_is_not_planned_until_its_specification_is_in_the_store() {
        let (_folder, store, watch) = watch();
        assert!(matches!(watch.watch("one").await.planned, Some(Planned::No)));
        store.put(&run_key("one", SPECIFICATION), Bytes::from_static(b"{}")).await.expect("written");
        watch.runs().clear();
        assert!(matches!(watch.watch("one").await.planned, Some(Planned::Yes(_))));
    }

    #[tokio::test]
    async fn running_jobs_notice_that_their_run_is_cancelled() {
        let (_folder, store, watch) = watch();
        let polling = tokio::spawn(watch.clone().poll());
        let running = watch.watch("one").await;
        assert!(!running.cancelled.is_cancelled());
        store.put(&run_key("one", CANCELLED), Bytes::from_static(b"{}")).await.expect("written");
        let noticed = tokio::time::timeout(10 * MAX_AGE, running.cancelled.cancelled()).await;
        assert!(noticed.is_ok(), "the poll did not notice");
        polling.abort();
    }

    #[tokio::test]
    async fn a_run_counts_its_jobs_until_they_end() {
        let (_folder, _store, watch) = watch();
        let jobs = |watch: &RunWatch| watch.runs().get("one").map(|r| r.jobs);
        let (first, second) = (watch.watch("one").await, watch.watch("one").await);
        assert_eq!(jobs(&watch), Some(2));
        drop((first, second));
        assert_eq!(jobs(&watch), Some(0));
    }
}
