//! The broker goes away in mid-run: in good order, and killed.

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
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
