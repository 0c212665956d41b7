//! A cluster as an operator runs it: the built programs over a private RabbitMQ and an S3 server
//! behind a proxy that breaks requests on demand, and the promises that hold after every fault.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::queue::{self, Channel, Queue, WorkKind};
use jhalak_common::settings::QueueSettings;
use jhalak_common::store::ObjectStore;
use serde_json::Value;

use crate::broker::Broker;
use crate::dataset::Made;
use crate::fault_proxy::{Fault, Proxy, Request};
use crate::programs::{Ended, command, files, run};
use crate::s3_server::{self, Server};

/// No step takes longer, even on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(240);

/// Delays of the retry tiers in these tests.
const RETRY_DELAYS_MS: [u64; 2] = [200, 1_000];

/// Crashes that a job survives in these tests: more than they make.
const ATTEMPTS: u32 = 15;

type Plan = Arc<Mutex<Box<dyn FnMut(&Request) -> Fault + Send>>>;

/// One store, one set of queues and one dataset on shared servers.
pub struct Cluster {
    /// The dataset.
    pub dataset: PathBuf,
    /// The store's URL.
    pub store_url: String,
    /// The proxy before the S3 server.
    pub proxy: Proxy,
    broker_url: String,
    prefix: String,
    server: Server,
    folder: tempfile::TempDir,
    plan: Plan,
}

/// A process that is killed when the test ends or fails.
pub struct Process {
    child: Child,
    log: PathBuf,
}

/// The dataset that these tests share, and the artifacts of a quiet embedded run over it, by key.
pub fn quiet() -> &'static (PathBuf, BTreeMap<String, Vec<u8>>) {
    static QUIET: OnceLock<(PathBuf, BTreeMap<String, Vec<u8>>)> = OnceLock::new();
    QUIET.get_or_init(|| {
        remove_leftovers();
        let folder = std::env::temp_dir().join(format!("{LEFT}{}", std::process::id()));
        let (dataset, store) = (folder.join("films"), folder.join("store"));
        Made::new(&dataset, true);
        let ended = run(settled(command("jhalak", &store)).args(["run", "--quiet", "--dataset"]).arg(&dataset));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let artifacts = files(&store).into_iter().filter(|(name, _)| name.starts_with("artifacts/")).collect();
        (dataset, artifacts)
    })
}

/// The start of the name of the folder of a quiet run; its process's id follows.
const LEFT: &str = "jhalak-quiet-";

/// A static is never dropped: what a process of these tests left is removed by the next.
fn remove_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let gone = name.strip_prefix(LEFT).is_some_and(|id| !Path::new("/proc").join(id).exists());
        if gone {
            // Another process of these tests may be faster.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Settings that decide what an artifact holds: the same in every process of these tests.
fn settled(mut command: Command) -> Command {
    command.env("JHALAK__EVALUATE__FOLDS", "2").env("JHALAK__EVALUATE__EPOCHS", "1");
    command
}

impl Cluster {
    /// A cluster of its own on `broker` and `server`, over the dataset of [`quiet`].
    pub async fn new(name: &str, broker: &Broker, server: Server) -> Cluster {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let own = format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let plan: Plan = Arc::new(Mutex::new(Box::new(|_| Fault::None)));
        let chosen = plan.clone();
        let decide = move |request: &Request| (chosen.lock().unwrap_or_else(PoisonError::into_inner))(request);
        let proxy = Proxy::start(&server.endpoint, decide).await.expect("a port is free");
        let dataset = tokio::task::spawn_blocking(|| quiet().0.clone()).await.expect("the quiet run ends well");
        Cluster {
            dataset,
            store_url: format!("s3://{}/{own}", server.bucket),
            proxy,
            broker_url: broker.url(),
            prefix: own,
            server,
            folder: tempfile::tempdir().expect("a temporary folder"),
            plan,
        }
    }

    /// From now on requests to the store meet the faults of `plan`.
    pub fn break_requests(&self, plan: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(plan);
    }

    /// From now on the store works again.
    pub fn mend(&self) {
        self.break_requests(|_| Fault::None);
    }

    /// Waits for a request to the store with `part` in "METHOD target".
    pub fn until_requested(&self, part: &str) {
        let began = Instant::now();
        while self.proxy.count(part) == 0 {
            assert!(began.elapsed() < TIMEOUT, "no request has {part}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A folder of this cluster's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The start of the names of this cluster's queues.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A command of `program` on this cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = settled(command(program, Path::new(&self.store_url)));
        let delays = RETRY_DELAYS_MS.map(|ms| ms.to_string()).join(",");
        command
            .env("JHALAK__QUEUE", &self.broker_url)
            .env("JHALAK__RABBITMQ__PREFIX", &self.prefix)
            .env("JHALAK__RABBITMQ__RETRY_DELAYS_MS", delays)
            .env("JHALAK__S3__ENDPOINT", &self.proxy.url)
            .env("JHALAK__S3__STALL_TIMEOUT_MS", "3000")
            .env("JHALAK__WORKER__SCRATCH", self.folder.path().join("scratch"))
            .env("JHALAK__WORKER__ATTEMPTS", ATTEMPTS.to_string())
            .env("JHALAK__WORKER__REDELIVERIES", ATTEMPTS.to_string())
            .env("JHALAK__WORKER__GRACE_MS", "20000");
        command
    }

    /// A worker with one slot.
    pub fn worker(&self) -> Process {
        self.worker_with(&[])
    }

    /// A worker with one slot and these variables in its environment.
    pub fn worker_with(&self, environment: &[(&str, &str)]) -> Process {
        let mut command = self.command("jhalak-worker");
        command.args(["--slots", "1"]).envs(environment.iter().copied());
        self.start(command, "worker")
    }

    /// `jhalak submit` over the dataset, with these further arguments and variables.
    pub fn submit_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut command = self.command("jhalak");
        command.args(["submit", "--json", "--dataset"]).arg(&self.dataset).args(arguments);
        command.envs(environment.iter().copied());
        self.start(command, "submit")
    }

    /// `jhalak submit` over the dataset.
    pub fn submit(&self) -> Process {
        self.submit_with(&[], &[])
    }

    /// Starts a command whose output goes to files in this cluster's folder.
    pub fn start(&self, mut command: Command, name: &str) -> Process {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let log = self.folder.path().join(format!("{name}-{}.log", NEXT.fetch_add(1, Ordering::SeqCst)));
        let file = |suffix: &str| std::fs::File::create(log.with_extension(suffix)).expect("room on disk");
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("log"));
        Process { child: command.spawn().expect("the program can be started"), log }
    }

    /// `jhalak` with these arguments, to its end.
    pub fn jhalak(&self, arguments: &[&str]) -> Ended {
        run(self.command("jhalak").args(arguments))
    }

    /// Returns the state of the only run by `jhalak status --json`; None before the run exists.
    pub fn state(&self) -> Option<(String, Value)> {
        self.states().into_iter().next()
    }

    /// Returns the state of each run by `jhalak status --json`.
    pub fn states(&self) -> Vec<(String, Value)> {
        let ended = self.jhalak(&["status", "--json"]);
        let answer: Value = serde_json::from_str(&ended.out).unwrap_or_default();
        let runs = answer.as_array().into_iter().flatten();
        runs.filter_map(|run| Some((run["run"].as_str()?.to_string(), run["state"].clone()))).collect()
    }

    /// Waits until `holds` is true for the state of the only run, and returns the run's id.
    pub fn until(&self, what: &str, holds: impl Fn(&Value) -> bool) -> String {
        let began = Instant::now();
        loop {
            if let Some((run, state)) = self.state() {
                if holds(&state) {
                    return run;
                }
                assert!(began.elapsed() < TIMEOUT, "{what} did not happen: {state}");
            }
            assert!(began.elapsed() < TIMEOUT, "{what} did not happen: the store has no run");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The store, reached past the proxy.
    pub async fn store(&self) -> Arc<dyn ObjectStore> {
        self.server.store_at(&self.store_url).await
    }

    /// Another connection to the queues.
    pub async fn queue(&self) -> Arc<dyn Queue> {
        let settings = QueueSettings {
            prefix: self.prefix.clone(),
            retry_delays_ms: RETRY_DELAYS_MS.to_vec(),
            ..QueueSettings::default()
        };
        queue::open(&self.broker_url, &settings).await.expect("the broker runs")
    }

    /// Every object below `prefix`.
    pub async fn objects(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        s3_server::objects(self.store().await.as_ref(), prefix).await
    }

    /// Asserts the promises of an ended run, whatever happened on the way: every artifact exists
    /// once, byte for byte that of a quiet run; no job is quarantined, waits, or runs on.
    pub async fn assert_whole(&self) {
        let states = self.states();
        assert!(!states.is_empty(), "the store has no run");
        for (run, state) in states {
            assert_eq!(state["stage"], "done", "{run}: {state}");
            assert!(self.objects(&format!("runs/{run}/quarantine/")).await.is_empty(), "{run} has quarantined jobs");
        }
        let (expected, found) = (&quiet().1, self.objects("artifacts/").await);
        let (expected_keys, found_keys): (Vec<_>, Vec<_>) = (expected.keys().collect(), found.keys().collect());
        assert_eq!(expected_keys, found_keys, "other artifacts than those of a quiet run");
        for (key, bytes) in expected {
            assert!(found[key] == *bytes, "{key} differs from that of a quiet run");
        }
        self.assert_committed_once();
        self.assert_drained().await;
    }

    /// No commit record was created twice, by what the store answered.
    pub fn assert_committed_once(&self) {
        let mut created: BTreeMap<String, usize> = BTreeMap::new();
        for (request, _) in self.proxy.log() {
            let once = request.head.to_lowercase().contains("\r\nif-none-match:");
            if request.method == "PUT"
                && once
                && request.target.contains("/artifacts/")
                && request.status() == Some(200)
            {
                *created.entry(request.target.clone()).or_default() += 1;
            }
        }
        let twice: Vec<_> = created.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "committed more than once: {twice:?}");
    }

    /// No job waits on the queue. Copies that were sent twice may still be on their way through the
    /// workers.
    pub async fn assert_drained(&self) {
        let queue = self.queue().await;
        let began = Instant::now();
        loop {
            let mut waiting = 0;
            for kind in WorkKind::ALL {
                waiting += queue.depth(&Channel::Work(kind)).await.expect("the broker runs");
            }
            if waiting == 0 {
                break;
            }
            assert!(began.elapsed() < TIMEOUT, "{waiting} messages stay on the queue");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        queue.close().await;
    }
}

impl Process {
    /// kill -9, and gone.
    pub fn kill(mut self) {
        // Ended already: then it is gone as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// The signal `which`, as `kill` names it.
    pub fn signal(&self, which: &str) {
        let sent = Command::new("kill").args([which, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process is gone");
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Ended {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let read = |suffix: &str| std::fs::read_to_string(self.log.with_extension(suffix)).unwrap_or_default();
                return Ended { code: status.code(), out: read("out"), err: read("log") };
            }
            assert!(began.elapsed() < TIMEOUT, "it does not end:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.log.with_extension("log")).unwrap_or_default()
    }

    /// Waits until its log contains `text`.
    pub fn wait_for_log(&mut self, text: &str) {
        let began = Instant::now();
        while !self.stderr().contains(text) {
            assert!(self.runs(), "it ended before it logged `{text}`:\n{}", self.stderr());
            assert!(began.elapsed() < TIMEOUT, "it never logged `{text}`:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
