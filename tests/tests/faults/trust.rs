//! Checks that only the store decides the end of a job: forged results, unhealthy workers, refused
//! writes, deleted queues, and messages that request forbidden files.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jhalak_common::queue::{Channel, WorkKind};
use jhalak_common::run::job::{Job, JobResult, Outcome};
use jhalak_common::run::{SPECIFICATION, run_key};
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::fault_proxy::Fault;
use jhalak_tests::s3_server;
use serde_json::{Value, json};

const EXTRACT: Channel = Channel::Work(WorkKind::Extract);

pub const ACCESS_DENIED: &str =
    "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>";

const NO_SUCH_BUCKET: &str =
    "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>The bucket does not exist.</Message></Error>";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unhealthy_worker_hands_jobs_back_and_exits_6() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("sick", Broker::shared(), server).await;
    let scratch = cluster.folder().join("swept");
    let mut sick = cluster.worker_with(&[("JHALAK__WORKER__SCRATCH", scratch.to_str().expect("a plain path"))]);
    sick.wait_for_log("worker started");
    // A cleaner of /tmp removes files like this.
    std::fs::remove_dir_all(&scratch).expect("the worker made it");
    let mut submit = cluster.submit();
    let ended = sick.wait();
    assert_eq!(ended.code, Some(6), "{}", ended.err);
    assert!(ended.err.contains("worker.scratch"), "{}", ended.err);
    let _sound = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_store_that_refuses_or_lacks_its_bucket_for_a_while_costs_nothing() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("refused", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    let mut workers = [cluster.worker(), cluster.worker()];
    cluster.until("the extraction", |state| state["stage"] == "extracting");
    cluster.break_requests(|_| Fault::Answer(403, ACCESS_DENIED));
    tokio::time::sleep(Duration::from_secs(12)).await;
    // The bucket is away, as before it is restored or mounted.
    cluster.break_requests(|_| Fault::Answer(404, NO_SUCH_BUCKET));
    tokio::time::sleep(Duration::from_secs(8)).await;
    cluster.mend();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(workers.iter_mut().all(|worker| worker.runs()), "a worker ended");
    cluster.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forged_results_are_checked_against_the_store() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("lies", Broker::shared(), server).await;
    let queue = cluster.queue().await;
    let mut submit = cluster.submit();
    let mut jobs = queue.consume(&EXTRACT, 16).await.expect("consumes");
    for _ in 0..4 {
        let delivery = jobs.next().await.expect("delivers").expect("is open");
        let job = Job::decode(&delivery.body).expect("a job");
        delivery.ack().await.expect("the broker runs");
        let lie = JobResult::new(&job.id, &job.run, Outcome::Committed { made: 3, seconds: Default::default() });
        let body = lie.encode().expect("JSON");
        queue.publish(&Channel::Results(job.run), body).await.expect("the broker runs");
    }
    drop(jobs);
    queue.close().await;
    let _worker = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("are not in the store"), "{}", ended.err);
    cluster.assert_whole().await;
    let doctor = cluster.jhalak(&["doctor", "--store"]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.out, doctor.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_deleted_queue_or_exchange_is_noticed_in_seconds_and_healed() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("deleted", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    let mut worker = cluster.worker();
    worker.wait_for_log("job started");
    let began = Instant::now();
    Broker::shared().delete_queue(&format!("{}.work.extract", cluster.prefix()));
    submit.wait_for_log("neither on the queue nor with a worker");
    assert!(began.elapsed() < Duration::from_secs(40), "it took {:?}", began.elapsed());
    Broker::shared().delete_exchange(&format!("{}.results", cluster.prefix()));
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(worker.runs(), "{}", worker.stderr());
    cluster.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_takes_no_messages_is_reported_with_its_reason() {
    let Some(server) = s3_server::from_environment() else { return };
    let broker =
        tokio::task::spawn_blocking(|| Broker::with(|_| "vm_memory_high_watermark.absolute = 1MB\n".to_string()));
    let broker = broker.await.expect("it starts");
    let cluster = Cluster::new("alarm", &broker, server).await;
    let began = Instant::now();
    let mut submit = cluster.submit();
    submit.wait_for_log("takes no messages");
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    let words = submit.stderr();
    assert!(words.to_lowercase().contains("memory"), "{words}");
    submit.kill();
    let began = Instant::now();
    let doctor = cluster.jhalak(&["doctor"]);
    assert_eq!(doctor.code, Some(5), "{}{}", doctor.out, doctor.err);
    let line = doctor.out.lines().find(|line| line.starts_with("FAIL queue")).unwrap_or_default();
    assert!(line.contains("takes no messages") && line.to_lowercase().contains("memory"), "{}", doctor.out);
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_reads_no_file_of_the_worker_and_cleans_in_no_folder() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("doors", Broker::shared(), server).await;
    let queue = cluster.queue().await;
    let mut submit = cluster.submit();
    let mut jobs = queue.consume(&EXTRACT, 1).await.expect("consumes");
    let delivery = jobs.next().await.expect("delivers").expect("is open");
    let mut forged: Value = serde_json::from_slice(&delivery.body).expect("a job is JSON");
    delivery.requeue().await.expect("handed back");
    drop(jobs);

    let victim = cluster.folder().join("victim");
    std::fs::create_dir_all(victim.join(".tmp")).expect("the folder is ours");
    let film = std::fs::read_dir(cluster.dataset.join("trailers")).expect("it exists").next().expect("a trailer");
    std::fs::copy(film.expect("readable").path(), victim.join("private.mp4")).expect("room on disk");
    let old = victim.join(".tmp/old");
    std::fs::write(&old, "of another program").expect("room on disk");
    let days_ago = std::time::SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    std::fs::File::options().append(true).open(&old).and_then(|file| file.set_modified(days_ago)).expect("ours");

    // A run of that name exists: jobs of unknown runs are not even looked at.
    let planned = run_key("forged-1", SPECIFICATION);
    cluster.store().await.put(&planned, Bytes::from_static(b"{}")).await.expect("the store takes writes");
    forged["run"] = "forged-1".into();
    let id = "extract-forged";
    forged["id"] = id.into();
    forged["task"]["trailer"]["store"] = format!("file://{}", victim.display()).into();
    forged["task"]["trailer"]["key"] = "private.mp4".into();
    forged["task"]["trailer"]["id"] = "tt6666666".into();
    queue.publish(&EXTRACT, Bytes::from(forged.to_string())).await.expect("published");
    // A job that no worker can run stops no worker.
    for n in 0..4 {
        forged["id"] = format!("misfit-{n}").into();
        forged["store"] = "s3://other-tenant/store".into();
        queue.publish(&EXTRACT, Bytes::from(forged.to_string())).await.expect("published");
    }
    queue.close().await;
    let mut workers = [cluster.worker(), cluster.worker()];
    let _worker = cluster.worker_with(&[("JHALAK__WORKER__ATTEMPTS", "2")]);
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let record = until_quarantined(&cluster, "forged-1", id);
    assert!(record["reason"].as_str().is_some_and(|reason| reason.contains("worker.sources")), "{record}");
    assert!(record["worker"].is_string() && record["at"].is_string(), "{record}");
    assert!(workers.iter_mut().all(|worker| worker.runs()), "{}", workers[0].stderr());
    assert!(old.exists(), "a file of another program was removed");
    assert!(cluster.objects("artifacts/").await.keys().all(|key| !key.contains("tt6666666")));
}

/// The broker delivers a job again while its worker is at it (consumer_timeout): one copy runs, and
/// is committed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_beyond_consumer_timeout_runs_once() {
    let Some(server) = s3_server::from_environment() else { return };
    let lines = |folder: &Path| {
        let tick = "[{rabbit, [{channel_tick_interval, 2000}]}].\n";
        std::fs::write(folder.join("advanced.config"), tick).expect("the folder is ours");
        "consumer_timeout = 8000\n".to_string()
    };
    let broker = tokio::task::spawn_blocking(move || Broker::with(lines)).await.expect("it starts");
    let cluster = Cluster::new("patience", &broker, server).await;
    let mut waited = false;
    cluster.break_requests(move |request| {
        match request.method == "GET" && request.target.contains("/trailers/") && !std::mem::replace(&mut waited, true)
        {
            true => Fault::Wait(Duration::from_secs(25)),
            false => Fault::None,
        }
    });
    let patient = [("JHALAK__WORKER__SLOTS", "3"), ("JHALAK__S3__STALL_TIMEOUT_MS", "60000")];
    let worker = cluster.worker_with(&patient);
    let mut submit = cluster.submit();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let words = worker.stderr();
    assert!(words.contains("holding its copy"), "{words}");
    // Each job was started once.
    let mut started: Vec<&str> = words.lines().filter(|line| line.contains("job started")).collect();
    let all = started.len();
    let id = |line: &&str| {
        line.split("job=").nth(1).map(|rest| rest.split_whitespace().next().unwrap_or_default().to_string())
    };
    started.sort_by_key(id);
    started.dedup_by_key(|line| id(&&**line));
    assert_eq!(started.len(), all, "{words}");
    cluster.assert_whole().await;
}

pub fn until_quarantined(cluster: &Cluster, run: &str, job: &str) -> Value {
    let began = Instant::now();
    loop {
        let shown = cluster.jhalak(&["quarantine", "show", run, job, "--json"]);
        if shown.code == Some(0) {
            return serde_json::from_str(&shown.out).unwrap_or(json!({}));
        }
        assert!(began.elapsed() < jhalak_tests::cluster::TIMEOUT, "{job} was not quarantined: {}", shown.err);
        std::thread::sleep(Duration::from_millis(200));
    }
}
