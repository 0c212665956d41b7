//! A worker with prescribed jobs on an in-memory queue that reports what the job loop does.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jhalak_common::artifact::Subject;
use jhalak_common::queue::memory::MemoryQueue;
use jhalak_common::queue::{Backlog, Channel, Deliveries, Delivery, Queue, Receipt, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome, ProbeTask, QuarantineRecord, Task};
use jhalak_common::run::{SPECIFICATION, get_json, quarantine_folder, quarantine_key, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::local::LocalStore;
use jhalak_common::store::{ObjectMeta, ObjectStore, PutOutcome};
use jhalak_common::{Error, ErrorKind, Result, hash};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blocking;
use crate::job_loop::Worker;
use crate::jobs::JobProgress;
use crate::jobs::RunJob;

/// The run of the jobs.
pub(super) const RUN: &str = "films-0123";
/// How often the worker tries a job.
pub(super) const ATTEMPTS: u32 = 3;

/// The actions of the job loop, in order.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    Started,
    Result(Outcome),
    Retry(u32),
    Quarantined(Bytes),
    Acknowledged,
    HandedBack,
}

/// The in-memory queue, which reports what the job loop does on it. A publication on `broken`
/// channels fails.
#[derive(Debug)]
pub(super) struct RecordedQueue {
    pub(super) inner: MemoryQueue,
    pub(super) events: UnboundedSender<Event>,
    pub(super) broken: Mutex<HashSet<Channel>>,
}

#[async_trait]
impl Queue for RecordedQueue {
    fn url(&self) -> String {
        self.inner.url()
    }

    async fn publish(&self, channel: &Channel, body: Bytes) -> Result<()> {
        if self.broken.lock().expect("not poisoned").contains(channel) {
            return Err(Error::transient("the broker is unreachable"));
        }
        self.inner.publish(channel, body.clone()).await?;
        let event = match channel {
            Channel::Results(_) => Event::Result(without_seconds(JobResult::decode(&body)?.outcome)),
            Channel::Quarantine => Event::Quarantined(body),
            Channel::Work(_) => return Ok(()),
        };
        self.events.send(event).map_err(|_| Error::bug("the test has ended"))
    }

    async fn publish_later(&self, kind: WorkKind, tier: usize, body: Bytes) -> Result<()> {
        let _ = self.events.send(Event::Retry(Job::decode(&body).map_or(0, |job| job.attempt)));
        self.inner.publish_later(kind, tier, body).await
    }

    async fn consume(&self, channel: &Channel, prefetch: u16) -> Result<Box<dyn Deliveries>> {
        let inner = self.inner.consume(channel, prefetch).await?;
        Ok(Box::new(RecordedDeliveries { inner, events: self.events.clone() }))
    }

    async fn depth(&self, channel: &Channel) -> Result<u64> {
        self.inner.depth(channel).await
    }

    async fn backlog(&self, kind: WorkKind) -> Result<Backlog> {
        self.inner.backlog(kind).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// Seconds differ from run to run.
fn without_seconds(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Committed { made, .. } => Outcome::Committed { made, seconds: Default::default() },
        other => other,
    }
}

struct RecordedDeliveries {
    inner: Box<dyn Deliveries>,
    events: UnboundedSender<Event>,
}

#[async_trait]
impl Deliveries for RecordedDeliveries {
    async fn next(&mut self) -> Result<Option<Delivery>> {
        Ok(self.inner.next().await?.map(|inner| {
            let (body, redeliveries) = (inner.body.clone(), inner.redeliveries);
            Delivery::new(body, redeliveries, Box::new(RecordedReceipt { inner, events: self.events.clone() }))
        }))
    }
}

struct RecordedReceipt {
    inner: Delivery,
    events: UnboundedSender<Event>,
}

#[async_trait]
impl Receipt for RecordedReceipt {
    async fn ack(self: Box<Self>) -> Result<bool> {
        let _ = self.events.send(Event::Acknowledged);
        self.inner.ack().await
    }

    async fn requeue(self: Box<Self>) -> Result<()> {
        let _ = self.events.send(Event::HandedBack);
        self.inner.requeue().await
    }
}

/// A store that does not answer.
#[derive(Debug)]
pub(super) struct UnreachableStore;

fn unreachable<T>() -> Result<T> {
    Err(Error::transient("the store is unreachable"))
}

#[async_trait]
impl ObjectStore for UnreachableStore {
    fn url(&self) -> String {
        "s3://unreachable".into()
    }
    async fn get(&self, _key: &str) -> Result<Bytes> {
        unreachable()
    }
    async fn download(&self, _key: &str, _to: &Path, _tag: Option<&str>) -> Result<ObjectMeta> {
        unreachable()
    }
    async fn head(&self, _key: &str) -> Result<ObjectMeta> {
        unreachable()
    }
    async fn put(&self, _key: &str, _bytes: Bytes) -> Result<()> {
        unreachable()
    }
    async fn put_if_absent(&self, _key: &str, _bytes: Bytes) -> Result<PutOutcome> {
        unreachable()
    }
    async fn upload(&self, _key: &str, _from: &Path) -> Result<()> {
        unreachable()
    }
    fn list(&self, _prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        Box::pin(futures::stream::once(async { unreachable() }))
    }
    async fn delete(&self, _key: &str) -> Result<()> {
        unreachable()
    }
}

/// A job that ends in a prescribed way.
pub(super) enum Fake {
    Commits(usize),
    Fails(ErrorKind),
    /// Runs until it is stopped; then reports itself as cancelled.
    RunsUntilStopped(UnboundedSender<Event>),
    /// Fails, on a machine that does not work.
    Sick,
    /// Saves a state, then runs until it is stopped.
    SavesAndRuns,
    /// Logs a line on an async thread and one on a blocking thread.
    Logs,
}

#[async_trait]
impl RunJob for Fake {
    async fn check(&self) -> Result<()> {
        match self {
            Fake::Sick => Err(Error::unable("the scratch folder is gone")),
            _ => Ok(()),
        }
    }

    async fn run_job(&self, _job: &Job, progress: &Arc<JobProgress>, stop: CancellationToken) -> Result<usize> {
        match self {
            Fake::Commits(committed) => Ok(*committed),
            Fake::Fails(kind) => Err(Error::new(*kind, "the reason")),
            Fake::RunsUntilStopped(events) => {
                let _ = events.send(Event::Started);
                stop.cancelled().await;
                Err(Error::cancelled("stopped"))
            }
            Fake::Sick => Err(Error::invalid("no such file")),
            Fake::SavesAndRuns => {
                progress.note_saved();
                stop.cancelled().await;
                Err(Error::cancelled("stopped"))
            }
            Fake::Logs => {
                tracing::info!("line of an async thread");
                let log = || -> Result<()> {
                    tracing::warn!("line of a blocking thread");
                    Ok(())
                };
                blocking::compute(log).await?;
                Ok(0)
            }
        }
    }
}

/// A worker on a queue and a store of its own.
pub(super) struct Fixture {
    pub(super) queue: Arc<RecordedQueue>,
    pub(super) store: Arc<dyn ObjectStore>,
    events: UnboundedReceiver<Event>,
    stop: CancellationToken,
    worker: Option<JoinHandle<Result<()>>>,
    pub(super) slots: usize,
    pub(super) limit_ms: u64,
    pub(super) folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = Arc::new(LocalStore::open(folder.path()).expect("a folder"));
        let mut settings = Settings::default();
        settings.rabbitmq.retry_delays_ms = vec![1];
        let (sender, events) = unbounded_channel();
        let inner = MemoryQueue::new(&settings.rabbitmq);
        let queue = Arc::new(RecordedQueue { inner, events: sender, broken: Mutex::default() });
        Fixture {
            queue,
            store,
            events,
            stop: CancellationToken::new(),
            worker: None,
            slots: 1,
            limit_ms: 60_000,
            folder,
        }
    }

    /// Starts a worker whose jobs end as `fake` prescribes.
    pub(super) fn start(&mut self, fake: Fake) {
        let mut settings = Settings::default();
        settings.worker.slots = self.slots;
        settings.worker.job_limit_ms = self.limit_ms;
        settings.worker.attempts = ATTEMPTS;
        settings.worker.redeliveries = ATTEMPTS;
        settings.worker.grace_ms = 10;
        let worker = Worker::with_jobs(self.queue.clone(), self.store.clone(), Box::new(fake), &settings)
            .expect("no key is needed");
        let stop = self.stop.clone();
        self.worker = Some(tokio::spawn(async move { Arc::new(worker).run(&[WorkKind::Train], stop).await }));
    }

    pub(super) async fn send(&self, body: Bytes) {
        self.queue.publish(&Channel::Work(WorkKind::Train), body).await.expect("published");
    }

    pub(super) async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(Duration::from_secs(30), self.events.recv()).await;
        next.expect("the job loop did nothing for 30 s").expect("the queue is open")
    }

    /// Stops the worker and waits for its end.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        if let Some(worker) = self.worker.take() {
            worker.await.expect("no panic").expect("the queue was open");
        }
    }

    /// Waits until the worker ends by itself.
    pub(super) async fn ended(&mut self) -> Result<()> {
        let worker = self.worker.take().expect("it was started");
        tokio::time::timeout(Duration::from_secs(30), worker).await.expect("it does not end").expect("no panic")
    }

    /// Plans the run of the jobs.
    pub(super) async fn plan(&self) {
        let specification = run_key(RUN, SPECIFICATION);
        self.store.put(&specification, Bytes::from_static(b"{}")).await.expect("room on disk");
    }

    pub(super) async fn depth(&self) -> u64 {
        self.queue.depth(&Channel::Work(WorkKind::Train)).await.expect("the queue is open")
    }

    pub(super) async fn quarantine_record(&self, job: &str) -> Option<QuarantineRecord> {
        get_json(self.store.as_ref(), &quarantine_key(RUN, job)).await.expect("readable")
    }
}

/// The quarantine records of a run.
pub(super) async fn records_of(store: &dyn ObjectStore, run: &str) -> Vec<QuarantineRecord> {
    use futures::TryStreamExt;
    let keys: Vec<_> = store.list(&quarantine_folder(run)).try_collect().await.expect("readable");
    let mut records = Vec::new();
    for object in keys {
        records.extend(get_json(store, &object.key).await.expect("readable"));
    }
    records
}

pub(super) fn subject() -> Subject {
    Subject { id: "tt0001".into(), content: hash::of_bytes(b"a trailer") }
}

pub(super) fn job(attempt: u32) -> Job {
    let task = Task::Probe(ProbeTask { workers: WorkKind::Train, subject: subject(), recipe: None });
    Job { attempt, ..Job::new("a-job", RUN, "here", task) }
}

pub(super) fn encoded(attempt: u32) -> Bytes {
    job(attempt).encode().expect("JSON")
}
