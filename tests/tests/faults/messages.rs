//! Sends messages that are not jobs, jobs of a newer version, and jobs twice.

use bytes::Bytes;
use jhalak_common::queue::{Channel, WorkKind};
use jhalak_common::run::UNREADABLE_RUN;
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::s3_server;
use serde_json::{Value, json};

const EXTRACT: Channel = Channel::Work(WorkKind::Extract);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn poison_is_quarantined_newer_versions_are_kept_and_duplicates_run_once() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("messages", Broker::shared(), server).await;
    let queue = cluster.queue().await;
    let mut submit = cluster.submit();
    while queue.depth(&EXTRACT).await.expect("the broker runs") < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // A copy of a real job, for another worker to find at the same time.
    let mut jobs = queue.consume(&EXTRACT, 1).await.expect("consumes");
    let job = jobs.next().await.expect("delivers").expect("is open");
    let copy = job.body.clone();
    queue.publish(&EXTRACT, copy.clone()).await.expect("published");
    job.requeue().await.expect("handed back");
    drop(jobs);

    let newer = json!({ "version": 9, "id": "of-tomorrow", "run": "elsewhere", "task": { "kind": "unheard-of" } });
    let mut hostile: Value = serde_json::from_slice(&copy).expect("a job is JSON");
    hostile["run"] = "../../etc".into();
    let poison = ["", "\u{0}\u{1}\u{2}", "{\"version\": 1}", "[1, 2", &newer.to_string(), &hostile.to_string()];
    for text in poison {
        queue.publish(&EXTRACT, Bytes::copy_from_slice(text.as_bytes())).await.expect("published");
    }
    let _workers = [cluster.worker(), cluster.worker()];
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
    while queue.depth(&Channel::Quarantine).await.expect("the broker runs") < poison.len() as u64 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(queue.depth(&Channel::Quarantine).await.expect("the broker runs"), poison.len() as u64);
    queue.close().await;

    // A message that is not believed stays out of the run that it names.
    assert_eq!(cluster.jhalak(&["quarantine", "ls", "elsewhere", "--json"]).code, Some(3));
    let kept = cluster.jhalak(&["quarantine", "show", UNREADABLE_RUN, "of-tomorrow", "--json"]);
    let record: Value = serde_json::from_str(&kept.out).expect("JSON");
    assert_eq!(record["message"], newer, "the message is kept as it was");
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("upgrade")), "{record}");
    // This version cannot send it: it stays until it is dropped.
    assert_eq!(cluster.jhalak(&["quarantine", "requeue", UNREADABLE_RUN]).code, Some(4));
    let dropped = cluster.jhalak(&["quarantine", "drop", UNREADABLE_RUN, "--json"]);
    assert_eq!(dropped.code, Some(0), "{} {}", dropped.out, dropped.err);
    let left = cluster.jhalak(&["quarantine", "ls", UNREADABLE_RUN, "--json"]);
    assert!(!left.out.contains("of-tomorrow"), "{}", left.out);
}
