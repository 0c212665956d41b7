//! Kills workers, and stops them by a signal.

use std::time::{Duration, Instant};

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, Process, TIMEOUT};
use jhalak_tests::s3_server;

const STEPS: [&str; 7] = [
    "after-download",
    "after-decode",
    "after-embedding",
    "after-first-put",
    "after-commit",
    "after-result",
    "before-ack",
];

/// Waits until the process has reached the fault point that creates `file`.
pub fn until_held(process: &mut Process, file: &std::path::Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(process.runs(), "it ended before it came to {}:\n{}", file.display(), process.stderr());
        assert!(began.elapsed() < TIMEOUT, "it never came to {}:\n{}", file.display(), process.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_killed_in_each_step_loses_and_repeats_nothing() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("steps", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    for step in STEPS {
        let file = cluster.folder().join(step);
        let mut worker = cluster
            .worker_with(&[("JHALAK_FAULT_POINT", step), ("JHALAK_FAULT_FILE", file.to_str().expect("a plain path"))]);
        until_held(&mut worker, &file);
        worker.kill();
    }
    let _worker = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
    let left: Vec<_> = std::fs::read_dir(cluster.folder().join("scratch")).expect("it exists").collect();
    assert_eq!(left.len(), 1, "scratch folders of killed workers stay: {left:?}");
}

/// With one attempt, a single counted one would quarantine its job.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn worker_stopped_under_load_uses_no_attempt() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("term", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    let environment = |grace: &'static str| {
        [("JHALAK__WORKER__ATTEMPTS", "1"), ("JHALAK__WORKER__GRACE_MS", grace), ("JHALAK__WORKER__SLOTS", "3")]
    };
    for (stop, grace_ms) in [20_000, 1, 100, 1, 20_000].into_iter().enumerate() {
        let grace = if grace_ms == 1 {
            "1"
        } else if grace_ms == 100 {
            "100"
        } else {
            "20000"
        };
        let mut worker = cluster.worker_with(&environment(grace));
        worker.wait_for_log("job started");
        std::thread::sleep(Duration::from_millis(130 * stop as u64));
        let began = Instant::now();
        worker.terminate();
        let ended = worker.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        // Handing back takes a moment beyond the grace period.
        assert!(
            began.elapsed() < Duration::from_millis(grace_ms) + Duration::from_secs(15),
            "it took {:?}",
            began.elapsed()
        );
    }
    let _worker = cluster.worker_with(&environment("1000"));
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}
