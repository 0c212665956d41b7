//! Sends mutated messages to live workers: none ends a worker, opens a forbidden folder, or changes
//! a committed byte.

use std::time::Duration;

use jhalak_common::artifact::Subject;
use jhalak_common::hash;
use jhalak_common::queue::{Channel, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome, ProbeTask, Task};
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, TIMEOUT};
use jhalak_tests::mutated_messages::Mutator;
use jhalak_tests::programs::files;
use jhalak_tests::s3_server;
use serde_json::Value;

/// Messages in `make test`; JHALAK_MUTATIONS sets another number, JHALAK_MUTATION_SEED another
/// seed.
const MESSAGES: u64 = 400;
const SEED: u64 = 13;

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mutated_messages_end_no_worker_and_change_nothing() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("mutated", Broker::shared(), server).await;
    let victim = cluster.folder().join("victim");
    std::fs::create_dir_all(victim.join(".tmp")).expect("the folder is ours");
    std::fs::write(victim.join("private.mp4"), "private").expect("room on disk");
    std::fs::write(victim.join(".tmp/old"), "of another program").expect("room on disk");
    let private = files(&victim);

    // A real run, with its own messages.
    let queue = cluster.queue().await;
    let mut submit = cluster.submit();
    let mut jobs = queue.consume(&Channel::Work(WorkKind::Extract), 1).await.expect("consumes");
    let delivery = jobs.next().await.expect("delivers").expect("is open");
    let job: Value = serde_json::from_slice(&delivery.body).expect("a job is JSON");
    delivery.requeue().await.expect("handed back");
    drop(jobs);
    let mut workers = [cluster.worker(), cluster.worker()];
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let committed = cluster.objects("artifacts/").await;

    let run = job["run"].as_str().expect("a run").to_string();
    let seed = from_environment("JHALAK_MUTATION_SEED", SEED);
    let mut mutator = Mutator::new(seed, &run, &cluster.store_url, vec![job], &victim);
    for n in 0..from_environment("JHALAK_MUTATIONS", MESSAGES) {
        let kind = if n % 2 == 0 { WorkKind::Extract } else { WorkKind::Train };
        queue.publish(&Channel::Work(kind), mutator.draw()).await.expect("the broker runs");
    }
    // The workers still work: a job behind all of them is done.
    let probes = "probes-1";
    let mut done = queue.consume(&Channel::Results(probes.into()), 1).await.expect("consumes");
    let subject = Subject { id: "one".into(), content: hash::of_bytes(b"one") };
    for kind in WorkKind::ALL {
        let last = Task::Probe(ProbeTask { workers: kind, subject: subject.clone(), recipe: None });
        let body = Job::new(kind.name(), probes, &cluster.store_url, last).encode().expect("JSON");
        queue.publish(&Channel::Work(kind), body).await.expect("the broker runs");
        let limit = TIMEOUT + Duration::from_millis(100 * from_environment("JHALAK_MUTATIONS", MESSAGES));
        let delivery = tokio::time::timeout(limit, done.next()).await.expect("a worker answers");
        let delivery = delivery.expect("delivers").expect("is open");
        let result = JobResult::decode(&delivery.body).expect("a result");
        assert!(result.job == kind.name() && matches!(result.outcome, Outcome::Committed { .. }), "{result:?}");
        delivery.ack().await.expect("the broker runs");
    }
    for worker in &mut workers {
        assert!(worker.runs(), "seed {seed}: a worker ended: {}", worker.stderr());
        assert!(!worker.stderr().contains("panicked"), "seed {seed}: {}", worker.stderr());
    }
    let now = cluster.objects("artifacts/").await;
    for (key, bytes) in &committed {
        assert!(now.get(key) == Some(bytes), "seed {seed}: {key} was changed");
    }
    assert_eq!(files(&victim), private, "seed {seed}: a file outside of the store was touched");
}
