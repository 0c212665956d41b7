//! Kills a coordinator in each stage, and starts two for one run.

use std::time::Duration;

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::fault_proxy::{Fault, SLOW_DOWN};
use jhalak_tests::s3_server;
use serde_json::Value;

use crate::worker::until_held;

const STAGES: [&str; 6] = [
    "coordinator-planned",
    "coordinator-published",
    "coordinator-extracted",
    "coordinator-gathered",
    "coordinator-trained",
    "coordinator-reported",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn coordinator_killed_in_each_stage_is_replaced_by_the_next() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("stages", Broker::shared(), server).await;
    let _worker = cluster.worker();
    for stage in STAGES {
        let file = cluster.folder().join(stage);
        let mut submit = cluster.submit_with(
            &[],
            &[("JHALAK_FAULT_POINT", stage), ("JHALAK_FAULT_FILE", file.to_str().expect("a plain path"))],
        );
        until_held(&mut submit, &file);
        submit.kill();
    }
    let ended = cluster.submit().wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_coordinators_one_holds_the_lease_and_both_exit_0() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("two", Broker::shared(), server).await;
    let mut first = cluster.submit();
    let mut second = cluster.submit();
    let _workers = [cluster.worker(), cluster.worker()];
    let answers: Vec<Value> = [first.wait(), second.wait()]
        .into_iter()
        .map(|ended| {
            assert_eq!(ended.code, Some(0), "{}", ended.err);
            serde_json::from_str(&ended.out).expect("JSON on standard output")
        })
        .collect();
    // One of them drove the run to its end, the other found everything committed.
    assert_eq!(answers.iter().filter(|answer| answer["made"] == 0).count(), 1, "{answers:?}");
    assert!(first.stderr().contains("is held by") || second.stderr().contains("is held by"));
    cluster.assert_whole().await;
}

/// It wakes up to a lease that another holds and to a store that takes no request: neither is its
/// end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_coordinator_that_lost_its_lease_outlasts_a_store_that_throttles() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("asleep", Broker::shared(), server).await;
    let mut first = cluster.submit();
    let _worker = cluster.worker();
    cluster.until("the extraction", |state| state["stage"] == "extracting");
    first.signal("-STOP");
    let mut second = cluster.submit();
    cluster.until_requested("lead/0000000002.json");
    cluster.break_requests(|_| Fault::Answer(503, SLOW_DOWN));
    first.signal("-CONT");
    // Longer than a renewal of the lease and its repetitions.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert!(first.runs() && second.runs(), "{}{}", first.stderr(), second.stderr());
    cluster.mend();
    for submit in [&mut first, &mut second] {
        let ended = submit.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
    }
    cluster.assert_whole().await;
}

/// A second submit of one slot finds the first: while that is at work, and when it has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slot_has_one_run() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("slot", Broker::shared(), server).await;
    let mut first = cluster.submit_with(&["--slot", "2026-11-22"], &[]);
    let run = cluster.until("the extraction", |state| state["stage"] == "extracting");
    assert_eq!(run, "films-2026-11-22");
    let again = cluster.submit_with(&["--slot", "2026-11-22"], &[]).wait();
    assert_eq!(again.code, Some(0), "{}", again.err);
    let answer: Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!((&answer["run"], &answer["found"]), (&Value::from(run.as_str()), &Value::from(true)), "{answer}");
    assert!(first.runs(), "the first drives on");

    let _worker = cluster.worker();
    assert_eq!(first.wait().code, Some(0), "{}", first.stderr());
    cluster.assert_whole().await;
    let again = cluster.submit_with(&[], &[("JHALAK_SLOT", "2026-11-22")]).wait();
    let answer: Value = serde_json::from_str(&again.out).expect("JSON");
    assert_eq!((again.code, &answer["state"]), (Some(0), &Value::from("done")), "{}", again.err);
}
