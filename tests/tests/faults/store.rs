//! Stops the object store, throttles requests and cuts connections during a run.

use std::time::Duration;

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::fault_proxy::{Fault, SLOW_DOWN};
use jhalak_tests::s3_server::{self, OwnServer};
use serde_json::Value;

/// How long the server stays away: the retries of one request are over long before.
const AWAY: Duration = Duration::from_secs(20);

fn at(stage: &'static str) -> impl Fn(&Value) -> bool {
    move |state| state["stage"] == stage || state["stage"] == "done"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_that_stops_throttles_and_disconnects_loses_nothing() {
    if s3_server::from_environment().is_none() {
        return;
    }
    let own = tokio::task::spawn_blocking(OwnServer::start).await.expect("it starts");
    let cluster = Cluster::new("store", Broker::shared(), own.server.clone()).await;
    // Connections are cut in the middle of trailers and records from the start.
    let mut n = 0;
    cluster.break_requests(move |request| {
        n += usize::from(request.method == "GET");
        if request.method == "GET" && n % 3 == 0 { Fault::CutAfter(500) } else { Fault::None }
    });
    let mut submit = cluster.submit();
    let _workers = [cluster.worker(), cluster.worker()];
    cluster.until("the extraction", at("extracting"));
    own.run(&["stop"]);
    tokio::time::sleep(AWAY).await;
    own.run(&["start"]);
    cluster.until("the training", at("training"));
    for fault in [Fault::Answer(503, SLOW_DOWN), Fault::Answer(500, ""), Fault::LoseAnswer] {
        // First every request, then every other one.
        let all = fault.clone();
        cluster.break_requests(move |_| all.clone());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut n = 0;
        cluster.break_requests(move |_| {
            n += 1;
            if n % 2 == 0 { fault.clone() } else { Fault::None }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    cluster.mend();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
    drop(cluster);
    tokio::task::spawn_blocking(move || drop(own)).await.expect("it stops");
}
