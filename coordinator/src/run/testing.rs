//! A store in a temporary folder and an in-memory queue, with workers that commit fixed bytes, for
//! unit tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use jhalak_common::ErrorKind;
use jhalak_common::artifact::{self, ArtifactKey, Recipe};
use jhalak_common::queue::memory::MemoryQueue;
use jhalak_common::queue::{Channel, Queue, WorkKind};
use jhalak_common::run::job::{Job, JobResult, MESSAGE_VERSION, Outcome, QuarantineRecord, Task, Trailer};
use jhalak_common::run::{self, RunState, quarantine_key, run_key};
use jhalak_common::settings::QueueSettings;
use jhalak_common::store::ObjectStore;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::console::progress::Progress;
use crate::plan::normal_form::NormalForm;
use crate::plan::testing::empty_reading;
pub(crate) use crate::plan::testing::{commit_one, empty_store, plan};
use crate::plan::{Draft, Plan};
use crate::run::context::{Ended, RunContext, StopSignals};
use crate::run::stages::{self, Summary};

/// A store, a queue, and what was sent through it.
pub(crate) struct Bench {
    pub store: Arc<dyn ObjectStore>,
    pub queue: MemoryQueue,
    pub signals: StopSignals,
    /// Jobs about these subjects are quarantined by the workers.
    pub poisoned: Arc<Mutex<BTreeSet<String>>>,
    /// The workers report jobs as committed without doing them.
    pub lying: Arc<AtomicBool>,
    sent: Arc<Mutex<BTreeSet<String>>>,
    /// The number of jobs that were sent.
    count: Arc<watch::Sender<usize>>,
    workers: Vec<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// An empty store and an empty queue without workers.
    pub fn new() -> Bench {
        let (folder, store) = empty_store();
        Bench {
            store,
            queue: MemoryQueue::new(&QueueSettings::default()),
            signals: StopSignals::default(),
            poisoned: Arc::default(),
            lying: Arc::default(),
            sent: Arc::default(),
            count: Arc::default(),
            workers: Vec::new(),
            _folder: folder,
        }
    }

    /// The same with a worker of each kind.
    pub fn with_workers() -> Bench {
        let mut bench = Bench::new();
        for kind in WorkKind::ALL {
            let (queue, store) = (bench.queue.another(), bench.store.clone());
            let (sent, poisoned) = (bench.sent.clone(), bench.poisoned.clone());
            let (count, lying) = (bench.count.clone(), bench.lying.clone());
            bench.workers.push(tokio::spawn(async move {
                let mut deliveries = queue.consume(&Channel::Work(kind), 4).await.expect("an open queue");
                while let Ok(Some(delivery)) = deliveries.next().await {
                    let job = Job::decode(&delivery.body).expect("a job");
                    sent.lock().expect("no panic").insert(job.id.clone());
                    let is_poisoned = poisoned.lock().expect("no panic").iter().any(|id| about(&job) == *id);
                    count.send_modify(|count| *count += 1);
                    let outcome = match is_poisoned {
                        _ if lying.load(Ordering::SeqCst) => Outcome::Committed { made: 3, seconds: [].into() },
                        true => quarantine(store.as_ref(), &job).await,
                        false => Outcome::Committed { made: commit(store.as_ref(), &job).await, seconds: [].into() },
                    };
                    publish_result(&queue, &job, outcome).await;
                    delivery.ack().await.expect("an open queue");
                }
            }));
        }
        bench
    }

    /// A context of this store and queue.
    pub fn context(&self, window: usize) -> RunContext {
        RunContext {
            store: self.store.clone(),
            queue: Arc::new(self.queue.another()),
            progress: Progress::new(true),
            signals: self.signals.clone(),
            window,
            priority: Default::default(),
            longest_retry: std::time::Duration::from_secs(300),
            is_successor: false,
            timings: Default::default(),
            signing_key: None,
            trace: Default::default(),
        }
    }

    /// Drives the run to its end. Returns its summary and the ids of the jobs that were sent.
    pub async fn drive(&self, plan: &Plan) -> (Summary, BTreeSet<String>) {
        self.sent.lock().expect("no panic").clear();
        match stages::drive(&self.context(16), plan).await.expect("a run without errors") {
            Ended::Completed(summary) => (summary, self.sent.lock().expect("no panic").clone()),
            other => panic!("{other:?}"),
        }
    }

    /// Freezes the run, drives it to its end and writes its report.
    pub async fn finish(&self, plan: &Plan) {
        let dataset = NormalForm::of(&empty_reading().dataset).expect("a dataset");
        let draft = Draft {
            plan: Plan { spec: plan.spec.clone(), trailers: plan.trailers.clone() },
            dataset,
            folds: None,
            given: Vec::new(),
        };
        crate::plan::freeze(self.store.as_ref(), draft).await.expect("room on disk");
        let (summary, _) = self.drive(plan).await;
        let settings = jhalak_common::settings::Settings::default();
        crate::run::finish::finish(&self.context(16), plan, &empty_reading(), summary, &settings)
            .await
            .expect("room on disk");
    }

    /// Waits until the workers have received this many jobs.
    pub async fn until_sent(&self, jobs: usize) {
        self.count.subscribe().wait_for(|count| *count >= jobs).await.expect("the bench lives");
    }

    /// The state record of the run.
    pub async fn state(&self, plan: &Plan) -> RunState {
        let state = run::get_json(self.store.as_ref(), &run_key(&plan.spec.id, "state.json")).await;
        state.expect("a readable record").expect("a state")
    }

    /// The keys of all commit records.
    pub async fn commits(&self) -> BTreeSet<String> {
        use futures::TryStreamExt;
        let keys = self.store.list("artifacts/").map_ok(|object| object.key).try_collect::<Vec<_>>().await;
        keys.expect("a readable folder").into_iter().filter(|key| key.ends_with("/commit.json")).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.workers.iter().for_each(JoinHandle::abort);
    }
}

/// Commits what the job makes. Returns the number of artifacts that this call committed.
pub(crate) async fn commit(store: &dyn ObjectStore, job: &Job) -> usize {
    let subject = match &job.task {
        Task::Extract(task) => &task.trailer.subject,
        Task::Cell(task) => &task.dataset,
        Task::Fit(task) => &task.dataset,
        Task::Probe(task) => &task.subject,
    };
    let mut made = 0;
    for recipe in job.task.recipes() {
        made += usize::from(commit_one(store, recipe, subject).await);
    }
    made
}

/// Writes the quarantine record of a job.
pub(crate) async fn quarantine(store: &dyn ObjectStore, job: &Job) -> Outcome {
    let record = record(job);
    run::put_json(store, &quarantine_key(&job.run, &job.id), &record).await.expect("room on disk");
    Outcome::Quarantined { error: record.error, reason: record.reason }
}

/// The quarantine record of a job.
pub(crate) fn record(job: &Job) -> QuarantineRecord {
    QuarantineRecord {
        version: MESSAGE_VERSION,
        job: job.id.clone(),
        run: job.run.clone(),
        about: about(job),
        error: ErrorKind::InvalidInput,
        reason: "no video".to_string(),
        attempts: 1,
        at: None,
        worker: None,
        program: None,
        seconds: BTreeMap::new(),
        message: serde_json::to_value(job).expect("it serialises"),
    }
}

/// Publishes the result of a job.
pub(crate) async fn publish_result(queue: &MemoryQueue, job: &Job, outcome: Outcome) {
    let result = JobResult::new(&job.id, &job.run, outcome);
    let body = result.encode().expect("it serialises");
    queue.publish(&Channel::Results(job.run.clone()), body).await.expect("an open queue");
}

/// Whether the artifact of this recipe and trailer is committed.
pub(crate) async fn is_committed(store: &dyn ObjectStore, recipe: &Recipe, trailer: &Trailer) -> bool {
    let key = ArtifactKey::new(recipe, &trailer.subject);
    artifact::committed(store, &key).await.expect("a readable record").is_some()
}

fn about(job: &Job) -> String {
    match &job.task {
        Task::Extract(task) => task.trailer.subject.id.clone(),
        _ => job.id.clone(),
    }
}
