//! Observes the workers of a run and the queue, apart from the dispatch of its jobs: a broker that
//! answers late must not keep results waiting.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jhalak_common::queue::{Backlog, Channel, Queue, WorkKind};
use jhalak_common::run::{AT_WORK_INTERVAL_S, AtWork};
use jhalak_common::store::ObjectStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::run::gauges;

/// How often workers are looked at.
const INTERVAL: Duration = Duration::from_secs(AT_WORK_INTERVAL_S);

/// At the start of a stage they are looked at more often, to learn how many slots they have.
const FIRST_LOOKS: Duration = Duration::from_secs(10);
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// How often the queues are declared again, should an operator have deleted one.
const HEAL_INTERVAL: Duration = Duration::from_secs(10);

/// How long store and broker may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A broker that does not answer for this long is lost: the number of its consumers is not known.
const BROKER_LOST: Duration = Duration::from_secs(60);

/// A record that has not changed for this long is of a worker that ended without removing it.
const STALE: Duration = Duration::from_secs(120);

/// When each worker's record was seen to change. Its clock may differ from this one by any amount,
/// so that times are compared only for a record that was seen once.
#[derive(Default)]
struct Known(BTreeMap<String, Seen>);

struct Seen {
    updated: jiff::Timestamp,
    at: Instant,
    has_changed: bool,
}

impl Known {
    /// Notes a record. Returns whether its worker lives.
    fn is_live(&mut self, record: &AtWork) -> bool {
        let first = || Seen { updated: record.updated, at: Instant::now(), has_changed: false };
        let seen = self.0.entry(record.worker.clone()).or_insert_with(first);
        if seen.updated != record.updated {
            *seen = Seen { has_changed: true, ..first() };
        }
        seen.at.elapsed() < STALE && (seen.has_changed || record.age_s() < STALE.as_secs() as i64)
    }
}

/// The jobs that the workers of a run hold, and those that wait for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Observation {
    /// The records of live workers; None when the store did not answer.
    pub(super) workers: Option<Vec<AtWork>>,
    /// The backlog of the queue; None when the broker did not answer.
    pub(super) backlog: Option<Backlog>,
}

impl Observation {
    /// Looks once.
    async fn look(
        store: &dyn ObjectStore,
        queue: &dyn Queue,
        (run, kind): (&str, WorkKind),
        known: &mut Known,
    ) -> Observation {
        let workers = tokio::time::timeout(TIMEOUT, AtWork::of_run(store, run));
        let backlog = tokio::time::timeout(TIMEOUT, queue.backlog(kind));
        let (workers, backlog) = tokio::join!(workers, backlog);
        let workers = workers.ok().and_then(|found| found.ok()).map(|mut records| {
            records.retain(|record| !record.process.is_dead() && known.is_live(record));
            records
        });
        Observation { workers, backlog: backlog.ok().and_then(|found| found.ok()) }
    }

    /// Returns the slots of each worker that is known.
    pub(super) fn slots(&self) -> Vec<usize> {
        self.workers.iter().flatten().map(|record| record.slots).collect()
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
        let mut known = Known::default();
        let first = Observation::look(store.as_ref(), queue.as_ref(), (&run, kind), &mut known).await;
        let (publish, mut latest) = watch::channel(first);
        latest.mark_changed();
        let began = Instant::now();
        let results = Channel::Results(run.clone());
        let looking = async move {
            let (mut healed, mut answered) = (Instant::now(), Instant::now());
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
                let observation = Observation::look(store.as_ref(), queue.as_ref(), (&run, kind), &mut known).await;
                if observation.backlog.is_some() {
                    answered = Instant::now();
                } else if answered.elapsed() > BROKER_LOST {
                    // Here, because the dispatch may be waiting for this broker.
                    gauges::forget_workers();
                }
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

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::process::Identity;

    #[test]
    fn a_worker_whose_clock_is_wrong_lives_while_its_record_changes() {
        let hour = jiff::SignedDuration::from_hours(1);
        for wrong in [-hour, hour] {
            let mut known = Known::default();
            let mut record = AtWork::new(Identity::this_process(), 1);
            record.updated = jiff::Timestamp::now() + wrong;
            assert_eq!(known.is_live(&record), wrong > jiff::SignedDuration::ZERO, "seen once: by its time");
            record.updated += jiff::SignedDuration::from_secs(3);
            assert!(known.is_live(&record), "it has changed");
            known.0.values_mut().for_each(|seen| seen.at = Instant::now().checked_sub(STALE).expect("longer"));
            assert!(!known.is_live(&record), "it has not changed for long");
        }
    }
}
