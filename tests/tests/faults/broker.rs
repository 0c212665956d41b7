//! Restarts and kills the broker during a run.

use std::time::{Duration, Instant};

use jhalak_common::queue::{Channel, WorkKind};
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, Process, TIMEOUT};
use jhalak_tests::s3_server;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_restarted_and_killed_in_mid_run_loses_nothing() {
    let Some(server) = s3_server::from_environment() else { return };
    let _turn = crate::MORTAL.lock().await;
    let broker = tokio::task::spawn_blocking(Broker::mortal).await.expect("it starts");
    let cluster = Cluster::new("broker", broker, server).await;
    let mut submit = cluster.submit();
    let _workers = [cluster.worker(), cluster.worker()];
    let some = |stage: &'static str, jobs: u64| {
        move |state: &serde_json::Value| {
            state["stage"] == stage && state["committed"].as_u64() >= Some(jobs) || state["stage"] == "done"
        }
    };
    cluster.until("an extraction", some("extracting", 1));
    tokio::task::block_in_place(|| broker.again(false));
    cluster.until("some training", some("training", 4));
    tokio::task::block_in_place(|| broker.again(true));
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}

/// The disk is lost with the broker: what was sent is sent again at once, and not after the half
/// hour that a job may be silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn broker_that_restarts_empty_receives_every_message_again() {
    let Some(server) = s3_server::from_environment() else { return };
    let _turn = crate::MORTAL.lock().await;
    let broker = tokio::task::spawn_blocking(Broker::mortal).await.expect("it starts");
    let cluster = Cluster::new("forgetful", broker, server).await;
    let mut submit = cluster.submit();
    until_jobs_are_sent(&cluster, &mut submit).await;
    tokio::task::block_in_place(|| broker.again_empty());
    let _worker = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("lost its data"), "{}", ended.err);
    cluster.assert_whole().await;
}

/// A kill within seconds of the declaration of a run's own queue: RabbitMQ 3.10 would bring it back
/// without a leader, were it a quorum queue, and every result would wait until its sender gave up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn broker_killed_after_dispatch_still_delivers_results() {
    let Some(server) = s3_server::from_environment() else { return };
    let _turn = crate::MORTAL.lock().await;
    let broker = tokio::task::spawn_blocking(Broker::mortal).await.expect("it starts");
    let cluster = Cluster::new("hasty", broker, server).await;
    // The work queues are declared before, and a stop in good order writes them down.
    let mut worker = cluster.worker();
    worker.wait_for_log("worker started");
    tokio::task::block_in_place(|| broker.again(false));
    let mut submit = cluster.submit();
    until_jobs_are_sent(&cluster, &mut submit).await;
    tokio::task::block_in_place(|| broker.again(true));
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}

async fn until_jobs_are_sent(cluster: &Cluster, submit: &mut Process) {
    let queue = cluster.queue().await;
    let began = Instant::now();
    while queue.depth(&Channel::Work(WorkKind::Extract)).await.expect("the broker runs") == 0 {
        assert!(submit.runs() && began.elapsed() < TIMEOUT, "no job was sent: {}", submit.stderr());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    queue.close().await;
}
