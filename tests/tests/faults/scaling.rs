//! Scales workers as `k8s/components/keda` does: a controller counts messages over RabbitMQ's
//! management API and starts real workers by KEDA's formula, and idle workers stop.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jhalak_common::queue::WorkKind;
use jhalak_tests::broker::{Broker, QueueCounts};
use jhalak_tests::cluster::{Cluster, Process, TIMEOUT};
use jhalak_tests::programs::Ended;
use jhalak_tests::s3_server;

/// How often the controller looks. The management API counts a quorum queue every five seconds.
const POLL: Duration = Duration::from_millis(250);

/// Most workers of a kind.
const MAX_WORKERS: usize = 3;

/// Slots of each worker, and messages for each worker (`value` of the trigger).
const SLOTS: usize = 1;

/// The workers of one kind, as a ScaledJob has them.
struct ScaledJob<'a> {
    cluster: &'a Cluster,
    broker: &'a Broker,
    kind: WorkKind,
    /// Messages for each worker.
    value: usize,
    running: Vec<Process>,
    ended: Vec<Ended>,
    peak: usize,
}

impl<'a> ScaledJob<'a> {
    fn new(cluster: &'a Cluster, broker: &'a Broker, kind: WorkKind, value: usize) -> Self {
        ScaledJob { cluster, broker, kind, value, running: Vec::new(), ended: Vec::new(), peak: 0 }
    }

    /// The management API's record of the queue; None before it is declared.
    fn counts(&self) -> Option<QueueCounts> {
        self.broker.queue_counts(&format!("{}.work.{}", self.cluster.prefix(), self.kind.name()))
    }

    /// Notes the workers that have ended.
    fn reap(&mut self) {
        for mut worker in std::mem::take(&mut self.running) {
            match worker.runs() {
                true => self.running.push(worker),
                false => self.ended.push(worker.wait()),
            }
        }
    }

    fn start(&mut self, count: usize) {
        for _ in 0..count {
            let mut command = self.cluster.command("jhalak-worker");
            command.args(["--kinds", self.kind.name(), "--until-idle", "3", "--slots", &SLOTS.to_string()]);
            self.running.push(self.cluster.start(command, "scaled"));
        }
        self.peak = self.peak.max(self.running.len());
    }

    /// Starts what is missing, by KEDA's formula for its strategy `default`: messages that wait or
    /// are in hand, divided by the value, less the workers that run. Stops nothing.
    fn poll(&mut self) {
        self.reap();
        let Some(counts) = self.counts() else { return };
        let wanted = (counts.ready + counts.unacknowledged).div_ceil(self.value).min(MAX_WORKERS);
        self.start(wanted.saturating_sub(self.running.len()));
    }

    /// Counts waiting messages only, and kills the workers that are too many: a Deployment behind a
    /// trigger over AMQP.
    fn poll_ready_only(&mut self) {
        self.reap();
        let Some(counts) = self.counts() else { return };
        let wanted = counts.ready.div_ceil(self.value).min(MAX_WORKERS);
        self.start(wanted.saturating_sub(self.running.len()));
        while self.running.len() > wanted {
            self.running.remove(0).kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_by_the_length_of_their_queue_lose_no_work_and_end_by_themselves() {
    let Some(server) = s3_server::from_environment() else { return };
    let broker = Broker::shared();
    let cluster = Cluster::new("scaled", broker, server).await;
    let mut submit = cluster.submit();
    let mut kinds = WorkKind::ALL.map(|kind| ScaledJob::new(&cluster, broker, kind, SLOTS));
    let began = Instant::now();
    while submit.runs() || kinds.iter().any(|kind| !kind.running.is_empty()) {
        assert!(began.elapsed() < TIMEOUT, "the run or its workers do not end:\n{}", submit.stderr());
        kinds.iter_mut().for_each(ScaledJob::poll);
        std::thread::sleep(POLL);
    }
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for kind in &kinds {
        let name = kind.kind.name();
        assert!((2..=MAX_WORKERS).contains(&kind.peak), "{} workers of {name} at most", kind.peak);
        for worker in &kind.ended {
            assert_eq!(worker.code, Some(0), "{}", worker.err);
            assert!(worker.err.contains("--until-idle"), "it ended for another reason:\n{}", worker.err);
            assert!(!worker.err.contains("handing running jobs back"), "{}", worker.err);
        }
        // Counted some seconds late. What was delivered twice stays counted.
        let mut counts = kind.counts().expect("the queue stays");
        while counts.ready + counts.unacknowledged > 0 {
            assert!(began.elapsed() < TIMEOUT, "messages of {name} stay: {counts:?}");
            std::thread::sleep(POLL);
            counts = kind.counts().expect("the queue stays");
        }
        assert_eq!(counts.redelivered, 0, "messages of {name} were delivered twice");
    }
    cluster.assert_whole().await;
}

#[ignore = "a demonstration: whether a busy worker is killed depends on the machine's speed"]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counting_waiting_messages_only_kills_busy_workers() {
    let Some(server) = s3_server::from_environment() else { return };
    let broker = Broker::shared();
    let cluster = Cluster::new("killed", broker, server).await;
    let mut submit = cluster.submit();
    let mut kinds: BTreeMap<&str, ScaledJob> =
        WorkKind::ALL.map(|kind| (kind.name(), ScaledJob::new(&cluster, broker, kind, SLOTS))).into();
    let began = Instant::now();
    let lost = |kind: &ScaledJob| kind.counts().is_some_and(|counts| counts.redelivered > 0);
    while !kinds.values().any(lost) {
        assert!(began.elapsed() < TIMEOUT && submit.runs(), "no work was lost:\n{}", submit.stderr());
        kinds.values_mut().for_each(ScaledJob::poll_ready_only);
        std::thread::sleep(POLL);
    }
}

#[ignore = "a demonstration: whether messages wait while counted depends on the machine's speed"]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn more_messages_per_worker_than_slots_never_start_a_second_worker() {
    let Some(server) = s3_server::from_environment() else { return };
    let broker = Broker::shared();
    let cluster = Cluster::new("small", broker, server).await;
    let mut submit = cluster.submit();
    // A run keeps four messages on the queue for its first worker.
    let mut extract = ScaledJob::new(&cluster, broker, WorkKind::Extract, 4 * SLOTS);
    let mut train = ScaledJob::new(&cluster, broker, WorkKind::Train, 4 * SLOTS);
    let began = Instant::now();
    // Until both kinds had a worker at work with messages waiting behind it, and some counts more.
    let is_crowded = |kind: &ScaledJob| kind.counts().is_some_and(|c| c.unacknowledged >= 1 && c.ready >= 2);
    let mut crowded = [0, 0];
    while crowded.iter().any(|&polls| polls < 8) {
        assert!(began.elapsed() < TIMEOUT && submit.runs(), "the run does not go on:\n{}", submit.stderr());
        for (kind, polls) in [&mut extract, &mut train].into_iter().zip(&mut crowded) {
            kind.poll();
            *polls += usize::from(is_crowded(kind));
        }
        std::thread::sleep(POLL);
    }
    assert_eq!((extract.peak, train.peak), (1, 1));
}
