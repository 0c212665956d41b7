//! Observes the workers of a run and the queue beside the dispatch of its jobs: a broker that answers
//! late must not keep results waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jhalak_common::queue::{Backlog, Channel, Queue, WorkKind};
use jhalak_common::run::{AT_WORK_INTERVAL_S, AtWork};
use jhalak_common::store::ObjectStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// How often workers are looked at.
const INTERVAL: Duration = Duration::from_secs(AT_WORK_INTERVAL_S);

/// At the start of a stage they are looked at more often, to learn how many slots they have.
const FIRST_LOOKS: Duration = Duration::from_secs(10);
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// How often the queues are declared again, should an operator have deleted one.
const HEAL_INTERVAL: Duration = Duration::from_secs(10);

/// How long store and broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A record that is older than this is of a worker that ended without removing it.
const STALE_S: i64 = 120;

/// What the workers of a run hold, and what waits for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Observation {
    /// The records of live workers; None when the store did not answer.
    pub(super) workers: Option<Vec<AtWork>>,
    /// The backlog of the queue; None when the broker did not answer.
    pub(super) backlog: Option<Backlog>,
}

impl Observation {
    /// Looks once.
    pub(super) async fn look(store: &dyn ObjectStore, queue: &dyn Queue, run: &str, kind: WorkKind) -> Observation {
        let workers = tokio::time::timeout(TIMEOUT, AtWork::of_run(store, run));
        let backlog = tokio::time::timeout(TIMEOUT, queue.backlog(kind));
        let (workers, backlog) = tokio::join!(workers, backlog);
        let workers = workers.ok().and_then(|found| found.ok()).map(|mut records| {
            records.retain(|record| !record.process.is_dead() && record.age_s() < STALE_S);
            records
        });
        Observation { workers, backlog: backlog.ok().and_then(|found| found.ok()) }
    }

    /// Returns the slots of each worker that is known.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.workers.iter().flatten().map(|record| record.slots).collect()
    }

    /// Returns the number of jobs that workers hold.
    pub(super) fn held(&self) -> usize {
        self.workers.iter().flatten().map(|record| record.jobs.len()).sum()
    }

    /// Whether a worker holds the job.
    pub(super) fn holds(&self, job: &str) -> bool {
        self.workers.iter().flatten().any(|record| record.jobs.contains_key(job))
    }
}

/// A task that looks at intervals, until dropped.
pub(super) struct Observer {
    latest: watch::Receiver<Observation>,
    task: JoinHandle<()>,
}

impl Observer {
    /// Looks once, then starts to look at intervals.
    pub(super) async fn start(
        store: Arc<dyn ObjectStore>,
        queue: Arc<dyn Queue>,
        run: String,
        kind: WorkKind,
    ) -> Observer {
        let first = Observation::look(store.as_ref(), queue.as_ref(), &run, kind).await;
        let (publish, mut latest) = watch::channel(first);
        latest.mark_changed();
        let began = Instant::now();
        let results = Channel::Results(run.clone());
        let looking = async move {
            let mut healed = Instant::now();
            loop {
                let interval = if began.elapsed() < FIRST_LOOKS { FIRST_INTERVAL } else { INTERVAL };
                tokio::time::sleep(interval).await;
                if healed.elapsed() > HEAL_INTERVAL {
                    // Results that nobody is bound for are found in the store, slowly.
                    if let Ok(Err(error)) = tokio::time::timeout(TIMEOUT, queue.heal(&results)).await {
                        tracing::debug!(error = %error.chain(), "cannot declare the queues again now");
                    }
                    healed = Instant::now();
                }
                let observation = Observation::look(store.as_ref(), queue.as_ref(), &run, kind).await;
                publish.send_replace(observation);
            }
        };
        Observer { latest, task: tokio::spawn(looking.in_current_span()) }
    }

    /// Returns the latest observation if it has not been returned before.
    pub(super) fn news(&mut self) -> Option<Observation> {
        // The sender lives as long as the task.
        self.latest.has_changed().unwrap_or(false).then(|| self.latest.borrow_and_update().clone())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
