//! Forges messages, changes stored bytes and blinds a worker: none of it changes what a run makes.

use bytes::Bytes;
use jhalak_common::queue::{Channel, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome};
use jhalak_common::run::{self, RunSpec, SPECIFICATION, UNREADABLE_RUN, dataset_key, run_key};
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::fault_proxy::{Fault, Proxy};
use jhalak_tests::s3_server;
use serde_json::Value;

use crate::trust::until_quarantined;

const EXTRACT: Channel = Channel::Work(WorkKind::Extract);
const SLOT: &str = "2026-11-29";
const RUN: &str = "films-2026-11-29";

const NO_SUCH_KEY: &str =
    "<?xml version=\"1.0\"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forged_messages_and_changed_bytes_change_no_run() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("forged", Broker::shared(), server).await;
    let (store, queue) = (cluster.store().await, cluster.queue().await);
    // What a submit leaves that is killed before it writes the specification, here of another
    // dataset.
    let list = run_key(RUN, "trailers.json");
    store.put(&list, Bytes::from_static(b"{\"trailers\":[],\"version\":1}")).await.expect("the store takes writes");
    let submit_slot = || cluster.submit_with(&["--slot", SLOT], &[]);
    let mut submit = submit_slot();

    // Two results of one job, twice: together they exceed what a counter holds.
    let mut jobs = queue.consume(&EXTRACT, 16).await.expect("consumes");
    let mut held = Vec::new();
    for _ in 0..2 {
        let delivery = jobs.next().await.expect("delivers").expect("is open");
        let job = Job::decode(&delivery.body).expect("a job");
        let lie = JobResult::new(&job.id, &job.run, Outcome::Committed { made: usize::MAX, seconds: [].into() });
        let body = lie.encode().expect("JSON");
        for _ in 0..2 {
            queue.publish(&Channel::Results(job.run.clone()), body.clone()).await.expect("the broker runs");
        }
        held.push(delivery);
    }
    // Jobs of the run, of a contract that no worker has, before any other.
    while let Ok(next) = tokio::time::timeout(std::time::Duration::from_secs(2), jobs.next()).await {
        held.push(next.expect("delivers").expect("is open"));
    }
    let mut forged: Value = serde_json::from_slice(&held[0].body).expect("a job is JSON");
    assert_eq!(forged["run"], RUN);
    forged["task"]["wanted"][0]["contract"] = 999.into();
    for n in 0..4 {
        forged["id"] = format!("forged-{n}").into();
        queue.publish(&EXTRACT, Bytes::from(forged.to_string())).await.expect("published");
    }
    drop(jobs);
    let mut fresh = cluster.worker();
    for n in 0..4 {
        let record = until_quarantined(&cluster, UNREADABLE_RUN, &format!("forged-{n}"));
        assert!(
            record["reason"].as_str().is_some_and(|reason| reason.contains("does not contain this job")),
            "{record}"
        );
    }
    assert!(fresh.runs(), "a fresh worker ended: {}", fresh.stderr());
    for delivery in held {
        delivery.requeue().await.expect("handed back");
    }
    queue.close().await;
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let answer: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(answer["made"], u64::MAX, "the results were read: {answer}");
    cluster.assert_whole().await;

    // The dataset is named by its hash.
    let spec: RunSpec =
        run::get_json(store.as_ref(), &run_key(RUN, SPECIFICATION)).await.expect("JSON").expect("a run");
    let key = dataset_key(&spec.dataset.content);
    let mut changed = store.get(&key).await.expect("a dataset").to_vec();
    changed.push(b' ');
    store.put(&key, changed.into()).await.expect("the store takes writes");
    let doctor = cluster.jhalak(&["doctor", "--store"]);
    assert_eq!(doctor.code, Some(3), "{}{}", doctor.out, doctor.err);
    assert!(doctor.out.contains(&key), "{}", doctor.out);
    let ended = submit_slot().wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("storing it again"), "{}", ended.err);
    let doctor = cluster.jhalak(&["doctor", "--store"]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.out, doctor.err);
    cluster.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_finds_no_trailers_quarantines_none() {
    let Some(server) = s3_server::from_environment() else { return };
    let is_trailer = |target: &str| target.contains("/trailers/");
    let blind =
        Proxy::start(&server.endpoint, move |request| match request.method == "GET" && is_trailer(&request.target) {
            true => Fault::Answer(404, NO_SUCH_KEY),
            false => Fault::None,
        });
    let blind = blind.await.expect("a port is free");
    let cluster = Cluster::new("blind", Broker::shared(), server).await;
    let mut workers = [cluster.worker_with(&[("JHALAK__S3__ENDPOINT", &blind.url)]), cluster.worker()];
    for worker in &mut workers {
        worker.wait_for_log("worker started");
    }
    let ended = cluster.submit().wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(workers.iter_mut().all(|worker| worker.runs()), "a worker ended");
    let words = workers[0].stderr();
    assert!(words.contains("no such object") && words.contains("will be tried again"), "{words}");
    cluster.assert_whole().await;
}
