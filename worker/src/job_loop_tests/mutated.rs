//! Mutated messages against a worker with real jobs: none ends it, reads a file outside of its store,
//! or changes a committed byte.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jhalak_common::artifact::{self, ArtifactKind, Body, Recipe, Subject};
use jhalak_common::hash;
use jhalak_common::queue::memory::MemoryQueue;
use jhalak_common::queue::{Channel, Queue, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome, ProbeTask, Task};
use jhalak_common::run::{SPECIFICATION, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use jhalak_nn::{Random, seeded};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::job_loop::Worker;
use crate::jobs::Context;

/// Messages in `make test`; JHALAK_MUTATIONS sets another number.
const MESSAGES: usize = 600;

const GOLDEN: [&str; 4] = [
    include_str!("../../../common/src/run/golden/job-extract-v1.json"),
    include_str!("../../../common/src/run/golden/job-cell-v1.json"),
    include_str!("../../../common/src/run/golden/job-fit-v1.json"),
    include_str!("../../../common/src/run/golden/job-probe-v1.json"),
];

/// Changes one value of the message. The store and the contracts stay: a job that this worker cannot
/// do is handed back, and the test of sick workers covers it.
fn mutate(value: &mut Value, random: &mut Random, victim: &Path) {
    let hostile = [
        json!(null),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("../../etc/passwd"),
        json!("/etc/passwd"),
        json!(format!("file://{}", victim.display())),
        json!("s3://other-tenant/secret"),
        json!("\u{202e}\u{0}\n"),
        json!("x".repeat(10_000)),
        json!([]),
        json!({}),
        json!([[[[[[1]]]]]]),
        json!(true),
    ];
    match value {
        Value::Object(fields) if !fields.is_empty() && random.below(10) > 0 => {
            let names: Vec<String> =
                fields.keys().filter(|name| !["contract"].contains(&name.as_str())).cloned().collect();
            let Some(name) = names.get(random.below(names.len().max(1))) else { return };
            match random.below(12) {
                0 => drop(fields.remove(name)),
                _ => fields.get_mut(name).into_iter().for_each(|field| mutate(field, random, victim)),
            }
        }
        Value::Array(items) if !items.is_empty() && random.below(4) > 0 => {
            let index = random.below(items.len());
            mutate(&mut items[index], random, victim);
        }
        other => *other = hostile[random.below(hostile.len())].clone(),
    }
}

fn message(random: &mut Random, store: &str, victim: &Path) -> Bytes {
    let mut value: Value = serde_json::from_str(GOLDEN[random.below(GOLDEN.len())]).expect("JSON");
    let task = &mut value["task"];
    let wanted = task["wanted"].as_array_mut().into_iter().flatten().map(|recipe| &mut recipe["contract"]);
    for contract in wanted {
        *contract = ArtifactKind::Keyframes.contract().into();
    }
    if task["recipe"].is_object() {
        let kind = ArtifactKind::parse(task["recipe"]["kind"].as_str().expect("a kind")).expect("a kind");
        task["recipe"]["contract"] = kind.contract().into();
    }
    if value["task"]["trailer"].is_object() {
        value["task"]["trailer"]["store"] = store.into();
    }
    for _ in 0..1 + random.below(3) {
        mutate(&mut value, random, victim);
    }
    if value.is_object() {
        value["store"] = store.into();
    }
    let mut bytes = value.to_string().into_bytes();
    // Some are no JSON any more.
    match random.below(8) {
        0 => bytes.truncate(random.below(bytes.len().max(1))),
        1 => {
            let index = random.below(bytes.len());
            bytes[index] ^= 1 << random.below(8);
        }
        _ => {}
    }
    bytes.into()
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("readable").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.display().to_string(), std::fs::read(&path).expect("readable"))),
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_messages_end_no_worker_and_change_nothing() {
    let messages = std::env::var("JHALAK_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(MESSAGES);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let victim = folder.path().join("victim");
    std::fs::create_dir_all(victim.join(".tmp")).expect("a folder");
    std::fs::write(victim.join("private.mp4"), "private").expect("room on disk");
    std::fs::write(victim.join(".tmp/old"), "of another program").expect("room on disk");
    let store = Arc::new(LocalStore::open(folder.path().join("store")).expect("a folder"));
    let subject = Subject { id: "one".into(), content: hash::of_bytes(b"one") };
    let scenes = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
    let body = Body::Bytes(Bytes::from_static(b"committed"));
    artifact::commit(store.as_ref(), &scenes, &subject, vec![("scenes.csv", body)], json!({})).await.expect("room");
    for golden in GOLDEN {
        let golden: Value = serde_json::from_str(golden).expect("JSON");
        let specification = run_key(golden["run"].as_str().expect("a run"), SPECIFICATION);
        store.put(&specification, Bytes::from_static(b"{}")).await.expect("room on disk");
    }
    let artifacts = folder.path().join("store/artifacts");
    let (before, private) = (files(&artifacts), files(&victim));

    let mut settings = Settings::default();
    settings.worker.scratch = folder.path().join("scratch");
    settings.worker.slots = 2;
    settings.worker.attempts = 1;
    settings.rabbitmq.retry_delays_ms = vec![1];
    let queue = MemoryQueue::new(&settings.rabbitmq);
    let results = queue.another();
    let context = Arc::new(Context::new(store.clone(), settings.clone(), None).expect("a context"));
    let worker = Worker::new(Arc::new(queue.another()), context, &settings).expect("no key is needed");
    let stop = CancellationToken::new();
    let working = tokio::spawn({
        let stop = stop.clone();
        async move { Arc::new(worker).run(&WorkKind::ALL, stop).await }
    });
    let mut random = seeded(13, 0);
    for n in 0..messages {
        let kind = WorkKind::ALL[n % 2];
        let body = message(&mut random, &store.url(), &victim);
        queue.publish(&Channel::Work(kind), body).await.expect("an open queue");
    }
    // The worker still works: a job behind all of them is done.
    let mut done = results.consume(&Channel::Results("last-1".into()), 1).await.expect("an open queue");
    for kind in WorkKind::ALL {
        let id = format!("last-{}", kind.name());
        let last = Task::Probe(ProbeTask { workers: kind, subject: subject.clone(), recipe: None });
        let body = Job::new(&id, "last-1", store.url(), last).encode().expect("JSON");
        queue.publish(&Channel::Work(kind), body).await.expect("an open queue");
        let delivery = tokio::time::timeout(Duration::from_secs(300), done.next()).await;
        let delivery = delivery.expect("the worker answers").expect("open").expect("a result");
        let result = JobResult::decode(&delivery.body).expect("a result");
        assert!(result.job == id && matches!(result.outcome, Outcome::Committed { .. }), "{result:?}");
        delivery.ack().await.expect("an open queue");
    }
    stop.cancel();
    working.await.expect("no panic").expect("the worker is sound");
    let committed: BTreeMap<_, _> =
        files(&artifacts).into_iter().filter(|(path, _)| !path.contains("/probe/")).collect();
    assert_eq!(committed, before, "artifacts differ");
    assert_eq!(files(&victim), private, "a file outside of the store was touched");
}
