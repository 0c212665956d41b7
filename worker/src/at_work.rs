//! The deliveries that a worker holds: recognises a second copy of a job that it holds already, and
//! writes the records that show others what it is at work on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::Result;
use jhalak_common::process::Identity;
use jhalak_common::queue::WorkKind;
use jhalak_common::run::job::{Job, Task};
use jhalak_common::run::{AT_WORK_INTERVAL_S, AtWork, JobAtWork, at_work_key, put_json};
use jhalak_common::store::ObjectStore;
use jhalak_common::telemetry::list::{OLDEST_JOB, QUEUE_OLDEST, SLOTS_BUSY};
use tokio::sync::{Notify, watch};

use crate::jobs::JobProgress;
use crate::settlement::Settlement;

const INTERVAL: Duration = Duration::from_secs(AT_WORK_INTERVAL_S);

/// How long the record of a run without jobs stays before it is removed.
const KEEP_IDLE: Duration = Duration::from_secs(30);

/// Run id and job id.
type Key = (String, String);

/// The deliveries that this worker holds.
pub(crate) struct HeldJobs {
    store: Arc<dyn ObjectStore>,
    /// This worker.
    pub(crate) identity: Identity,
    slots: usize,
    held: Mutex<BTreeMap<Key, Held>>,
    /// The runs whose record exists.
    recorded: Mutex<BTreeMap<String, Recorded>>,
    /// Notified at the first job of a run: its coordinator waits for the slots of its workers.
    new_run: Notify,
    /// Jobs that hold a slot, by kind.
    busy: [AtomicUsize; 2],
}

struct Recorded {
    /// When the run last had a delivery.
    last: Instant,
    /// Why this worker cannot do a job of the run.
    unable: Option<String>,
}

struct Held {
    about: String,
    is_extraction: bool,
    kind: WorkKind,
    since: jiff::Timestamp,
    taken: Instant,
    progress: Arc<JobProgress>,
    settled: watch::Receiver<Option<Settlement>>,
}

/// A delivery as seen by [`HeldJobs::hold`].
pub(crate) enum Holding {
    /// The only copy here: run it.
    First(HeldJob),
    /// This worker holds the job already; reports how the first copy was settled, or closes when
    /// that is unknown.
    Copy(watch::Receiver<Option<Settlement>>),
}

/// A job that this worker holds until this is dropped.
pub(crate) struct HeldJob {
    jobs: Arc<HeldJobs>,
    key: Key,
    settled: watch::Sender<Option<Settlement>>,
    /// The progress of the job.
    pub(crate) progress: Arc<JobProgress>,
}

impl HeldJob {
    /// Lets copies of the job be settled the same way.
    pub(crate) fn settled(&self, settlement: Settlement) {
        self.settled.send_replace(Some(settlement));
    }
}

/// A job that holds a slot, until this is dropped.
pub(crate) struct Busy {
    jobs: Arc<HeldJobs>,
    kind: WorkKind,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.jobs.busy[index(self.kind)].fetch_sub(1, Ordering::SeqCst);
    }
}

fn index(kind: WorkKind) -> usize {
    match kind {
        WorkKind::Extract => 0,
        WorkKind::Train => 1,
    }
}

impl Drop for HeldJob {
    fn drop(&mut self) {
        self.jobs.held().remove(&self.key);
    }
}

impl HeldJobs {
    /// Writes records to `store` for a worker that runs `slots` jobs at once.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, slots: usize) -> Arc<Self> {
        let identity = Identity::this_process();
        Arc::new(HeldJobs {
            store,
            identity,
            slots,
            held: Mutex::default(),
            recorded: Mutex::default(),
            new_run: Notify::new(),
            busy: Default::default(),
        })
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Key, Held>> {
        // No code that holds the lock can panic halfway through a change.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded(&self) -> MutexGuard<'_, BTreeMap<String, Recorded>> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has held an extraction for longer than this.
    pub(crate) fn has_extraction_older_than(&self, age: Duration) -> bool {
        self.held().values().any(|held| held.is_extraction && held.taken.elapsed() > age)
    }

    /// Notes in the record of a run why this worker cannot do its jobs.
    pub(crate) fn note_unable(&self, run: &str, reason: &str) {
        /// Runs that are remembered: a message may name any.
        const MAX_RUNS: usize = 100;
        let mut recorded = self.recorded();
        let refused = recorded.values().filter(|recorded| recorded.unable.is_some()).count();
        if refused < MAX_RUNS || recorded.get(run).is_some_and(|recorded| recorded.unable.is_some()) {
            let unable = Some(reason.to_string());
            recorded.insert(run.to_string(), Recorded { last: Instant::now(), unable });
        }
    }

    /// Notes that a job of `kind` holds a slot, until the returned value is dropped.
    pub(crate) fn begin(self: &Arc<Self>, kind: WorkKind) -> Busy {
        self.busy[index(kind)].fetch_add(1, Ordering::SeqCst);
        Busy { jobs: self.clone(), kind }
    }

    /// Sets the gauges of jobs in hand.
    pub(crate) fn observe(&self) {
        for kind in WorkKind::ALL {
            let held = self.held();
            let ages = held.values().filter(|held| held.kind == kind).map(|held| held.taken.elapsed());
            let oldest = ages.max();
            if oldest.is_none() {
                QUEUE_OLDEST.set(&[kind.name()], 0.0);
            }
            OLDEST_JOB.set(&[kind.name()], oldest.unwrap_or_default().as_secs_f64());
            SLOTS_BUSY.set(&[kind.name()], self.busy[index(kind)].load(Ordering::SeqCst) as f64);
        }
    }

    /// Asks every job to save its state: this worker is stopping.
    pub(crate) fn ask_to_save(&self) {
        self.held().values().for_each(|held| held.progress.ask_to_save());
    }

    /// Whether this worker holds no job.
    pub(crate) fn is_empty(&self) -> bool {
        self.held().is_empty()
    }

    /// Takes hold of a delivered job.
    pub(crate) fn hold(self: &Arc<Self>, job: &Job) -> Holding {
        let key = (job.run.clone(), job.id.clone());
        let mut held = self.held();
        if let Some(first) = held.get(&key) {
            return Holding::Copy(first.settled.clone());
        }
        let (sender, settled) = watch::channel(None);
        let progress = Arc::new(JobProgress::new());
        let entry = Held {
            about: job.task.about(),
            is_extraction: matches!(job.task, Task::Extract(_)),
            kind: job.task.work_kind(),
            since: jiff::Timestamp::now(),
            taken: Instant::now(),
            progress: progress.clone(),
            settled,
        };
        held.insert(key.clone(), entry);
        if !self.recorded().contains_key(&job.run) {
            self.new_run.notify_one();
        }
        Holding::First(HeldJob { jobs: self.clone(), key, settled: sender, progress })
    }

    /// Whether another live worker is at work on the job. Called for a delivery that comes again:
    /// the broker gave up waiting for a worker that may still be at it. Takes a few seconds where a
    /// worker of another machine has a record.
    pub(crate) async fn is_at_work_elsewhere(&self, job: &Job) -> Result<bool> {
        let worker = self.identity.id();
        let others = async || -> Result<BTreeMap<String, AtWork>> {
            let records = AtWork::of_run(self.store.as_ref(), &job.run).await?;
            let has_job = |record: &AtWork| record.worker != worker && record.jobs.contains_key(&job.id);
            let alive = records.into_iter().filter(|record| has_job(record) && !record.process.is_dead());
            Ok(alive.map(|record| (record.worker.clone(), record)).collect())
        };
        let before = others().await?;
        if before.is_empty() {
            return Ok(false);
        }
        // No clocks are compared: a living worker writes its record again.
        tokio::time::sleep(2 * INTERVAL + Duration::from_secs(1)).await;
        let after = others().await?;
        Ok(after.iter().any(|(id, record)| before.get(id).is_none_or(|last| last.updated != record.updated)))
    }

    /// Writes the record of a run now. Doubles as a check that the store takes writes.
    pub(crate) async fn write_record(&self, run: &str) -> Result<()> {
        let mut record = AtWork::new(self.identity.clone(), self.slots);
        record.unable = self.recorded().get(run).and_then(|recorded| recorded.unable.clone());
        for ((of_run, id), held) in self.held().iter() {
            if of_run == run {
                let (step, step_since) = held.progress.step();
                let job = JobAtWork { about: held.about.clone(), since: held.since, step, step_since };
                record.jobs.insert(id.clone(), job);
            }
        }
        put_json(self.store.as_ref(), &at_work_key(run, &record.worker), &record).await
    }

    /// Keeps the records up to date, until dropped.
    pub(crate) async fn report(self: Arc<Self>) {
        loop {
            tokio::select! { () = tokio::time::sleep(INTERVAL) => {}, () = self.new_run.notified() => {} }
            let busy: BTreeSet<String> = self.held().keys().map(|(run, _)| run.clone()).collect();
            let recorded: Vec<(String, Instant)> = {
                let mut recorded = self.recorded();
                for run in busy {
                    let now = Instant::now();
                    recorded.entry(run).or_insert(Recorded { last: now, unable: None }).last = now;
                }
                recorded.iter().map(|(run, recorded)| (run.clone(), recorded.last)).collect()
            };
            for (run, last) in recorded {
                if last.elapsed() < KEEP_IDLE {
                    if let Err(error) = self.write_record(&run).await {
                        tracing::debug!(run, error = %error.chain(), "cannot write what this worker is at work on");
                    }
                } else {
                    self.remove_record(&run).await;
                }
            }
        }
    }

    /// Removes the records, at the end of the worker.
    pub(crate) async fn remove_records(&self) {
        let runs: Vec<String> = self.recorded().keys().cloned().collect();
        for run in runs {
            self.remove_record(&run).await;
        }
    }

    async fn remove_record(&self, run: &str) {
        match self.store.delete(&at_work_key(run, &self.identity.id())).await {
            Ok(()) => drop(self.recorded().remove(run)),
            // Tried again at the next interval; a record without a living worker is ignored.
            Err(error) => tracing::debug!(run, error = %error.chain(), "cannot remove the record of an idle run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::artifact::Subject;
    use jhalak_common::hash;
    use jhalak_common::run::job::ProbeTask;
    use jhalak_common::store::local::LocalStore;

    fn job(id: &str) -> Job {
        let subject = Subject { id: id.into(), content: hash::of_bytes(id.as_bytes()) };
        Job::new(id, "films-1", "here", Task::Probe(ProbeTask { workers: WorkKind::Train, subject, recipe: None }))
    }

    fn jobs() -> (tempfile::TempDir, Arc<HeldJobs>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        (folder, HeldJobs::new(store, 2))
    }

    #[tokio::test]
    async fn a_copy_is_settled_as_the_first_delivery_and_a_later_delivery_is_first_again() {
        let (_folder, jobs) = jobs();
        let Holding::First(first) = jobs.hold(&job("a")) else { panic!("nothing is held") };
        let Holding::Copy(mut copy) = jobs.hold(&job("a")) else { panic!("the job is held") };
        assert!(matches!(jobs.hold(&job("b")), Holding::First(_)));
        first.settled(Settlement::Acknowledge);
        drop(first);
        let settled = copy.wait_for(Option::is_some).await.expect("it was settled");
        assert_eq!(*settled, Some(Settlement::Acknowledge));
        assert!(matches!(jobs.hold(&job("a")), Holding::First(_)));
    }

    #[tokio::test]
    async fn the_record_shows_the_held_jobs_of_its_run_with_their_steps() {
        let (_folder, jobs) = jobs();
        let Holding::First(held) = jobs.hold(&job("a")) else { panic!("nothing is held") };
        held.progress.begin("decode");
        jobs.write_record("films-1").await.expect("room on disk");
        let records = AtWork::of_run(jobs.store.as_ref(), "films-1").await.expect("readable");
        assert_eq!((records.len(), records[0].slots, &records[0].worker), (1, 2, &jobs.identity.id()));
        assert_eq!(records[0].jobs["a"].step, "decode");
        assert!(AtWork::of_run(jobs.store.as_ref(), "films-2").await.expect("readable").is_empty());
    }

    #[tokio::test]
    async fn a_job_in_the_record_of_a_dead_worker_is_not_at_work_elsewhere() {
        let (_folder, jobs) = jobs();
        let this = Identity::this_process();
        let boot = this.born.split('/').next().expect("a boot id").to_string();
        let dead = Identity { born: format!("{boot}/1"), ..this };
        let at_work = JobAtWork {
            about: "probe".into(),
            since: jiff::Timestamp::now(),
            step: "decode".into(),
            step_since: jiff::Timestamp::now(),
        };
        let record = AtWork { jobs: BTreeMap::from([("a".into(), at_work)]), ..AtWork::new(dead, 1) };
        put_json(jobs.store.as_ref(), &at_work_key("films-1", &record.worker), &record).await.expect("room on disk");
        assert!(!jobs.is_at_work_elsewhere(&job("a")).await.expect("readable"));
    }
}
