//! The job loop over the in-memory queue and a local store: how each delivery is settled, and in
//! which order.

mod fixture;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jhalak_common::ErrorKind;
use jhalak_common::artifact::{ArtifactKind, Recipe};
use jhalak_common::process::Identity;
use jhalak_common::process::logging::{self, LogFormat};
use jhalak_common::queue::{Channel, Queue, WorkKind};
use jhalak_common::run::job::{ExtractTask, Job, MAX_MESSAGE_BYTES, MESSAGE_VERSION, Outcome, Task, Trailer};
use jhalak_common::run::{AtWork, CANCELLED, UNREADABLE_RUN, put_json, run_key};
use serde_json::{Value, json};

use fixture::{ATTEMPTS, Event, Fake, Fixture, RUN, UnreachableStore, encoded, job, records_of, subject};

fn quarantined(error: ErrorKind, reason: &str) -> Event {
    Event::Result(Outcome::Quarantined { error, reason: reason.into() })
}

#[tokio::test]
async fn a_delivery_is_acknowledged_after_its_result_is_published() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Commits(2));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Result(Outcome::Committed { made: 2, seconds: Default::default() }));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
    assert_eq!(fixture.depth().await, 0);
}

#[tokio::test]
async fn a_delivery_whose_result_cannot_be_published_is_handed_back_uncounted() {
    let mut fixture = Fixture::new();
    fixture.queue.broken.lock().expect("not poisoned").insert(Channel::Results(RUN.into()));
    fixture.start(Fake::Commits(1));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::HandedBack);
    fixture.queue.broken.lock().expect("not poisoned").clear();
    // It may be handed back a few times more before the repair shows.
    loop {
        match fixture.next().await {
            Event::HandedBack => {}
            event => {
                assert!(matches!(event, Event::Result(Outcome::Committed { .. })), "{event:?}");
                break;
            }
        }
    }
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
}

#[tokio::test]
async fn a_permanent_error_quarantines_the_job_at_once_with_its_reason() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Fails(ErrorKind::InvalidInput));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Quarantined(encoded(0)));
    let record = fixture.quarantine_record("a-job").await.expect("the record is written before the message");
    assert_eq!((record.error, record.reason.as_str(), record.attempts), (ErrorKind::InvalidInput, "the reason", 1));
    assert_eq!(record.message, serde_json::to_value(job(0)).expect("JSON"));
    assert_eq!(fixture.next().await, quarantined(ErrorKind::InvalidInput, "the reason"));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
}

#[tokio::test]
async fn a_transient_error_is_retried_until_the_last_attempt_and_then_quarantined() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Fails(ErrorKind::Transient));
    fixture.send(encoded(0)).await;
    for attempt in 1..ATTEMPTS {
        assert_eq!(fixture.next().await, Event::Retry(attempt));
        assert_eq!(fixture.next().await, Event::Acknowledged);
    }
    let failed_on = [Identity::this_process().id()].into();
    let last = Job { failed_on, ..job(ATTEMPTS - 1) }.encode().expect("JSON");
    assert_eq!(fixture.next().await, Event::Quarantined(last));
    assert_eq!(fixture.next().await, quarantined(ErrorKind::Transient, "the reason"));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    assert_eq!(fixture.quarantine_record("a-job").await.expect("a record").attempts, ATTEMPTS);
    fixture.stop().await;
}

#[tokio::test]
async fn what_one_of_several_workers_does_not_find_another_looks_for() {
    let mut fixture = Fixture::new();
    let _other = fixture.queue.inner.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
    fixture.start(Fake::Fails(ErrorKind::NotFound));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Retry(1));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
    assert!(fixture.quarantine_record("a-job").await.is_none());

    // Another has not found it either: it is not there.
    let mut fixture = Fixture::new();
    let _other = fixture.queue.inner.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
    fixture.start(Fake::Fails(ErrorKind::NotFound));
    let failed = Job { failed_on: ["host-1-1".to_owned()].into(), ..job(1) }.encode().expect("JSON");
    fixture.send(failed.clone()).await;
    assert_eq!(fixture.next().await, Event::Quarantined(failed));
    fixture.stop().await;
    assert_eq!(fixture.quarantine_record("a-job").await.expect("a record").error, ErrorKind::NotFound);

    // Nobody else can look.
    let mut fixture = Fixture::new();
    fixture.start(Fake::Fails(ErrorKind::NotFound));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Quarantined(encoded(0)));
    fixture.stop().await;
}

#[tokio::test]
async fn a_job_whose_workers_crashed_too_often_is_quarantined() {
    let mut fixture = Fixture::new();
    // A connection that is closed without settling its delivery, as that of a worker that crashes.
    for _ in 0..ATTEMPTS {
        let connection = fixture.queue.inner.another();
        let mut deliveries = connection.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
        if fixture.depth().await == 0 {
            fixture.send(encoded(0)).await;
        }
        let _delivery = deliveries.next().await.expect("open").expect("the message");
        connection.close().await;
    }
    fixture.start(Fake::Commits(1));
    assert_eq!(fixture.next().await, Event::Quarantined(encoded(0)));
    let record = fixture.quarantine_record("a-job").await.expect("a record");
    assert_eq!(record.attempts, ATTEMPTS);
    assert!(record.reason.contains("crashed"), "{}", record.reason);
    fixture.stop().await;
}

#[tokio::test]
async fn a_job_is_handed_back_uncounted_while_the_store_is_unreachable() {
    let mut fixture = Fixture::new();
    fixture.store = Arc::new(UnreachableStore);
    fixture.start(Fake::Fails(ErrorKind::Transient));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::HandedBack);
    fixture.stop().await;
    assert_eq!(fixture.depth().await, 1);
    let mut deliveries = fixture.queue.inner.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
    let delivery = deliveries.next().await.expect("open").expect("the job");
    assert_eq!((delivery.redeliveries, &delivery.body), (0, &encoded(0)));
}

#[tokio::test]
async fn a_job_of_a_cancelled_run_is_dropped() {
    let mut fixture = Fixture::new();
    put_json(fixture.store.as_ref(), &run_key(RUN, CANCELLED), &json!({})).await.expect("written");
    fixture.start(Fake::Commits(1));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Result(Outcome::Cancelled));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
}

#[tokio::test]
async fn a_running_job_is_stopped_when_its_run_is_cancelled() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::RunsUntilStopped(fixture.queue.events.clone()));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Started);
    put_json(fixture.store.as_ref(), &run_key(RUN, CANCELLED), &json!({})).await.expect("written");
    assert_eq!(fixture.next().await, Event::Result(Outcome::Cancelled));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
}

#[tokio::test]
async fn a_stopping_worker_hands_back_running_jobs_uncounted() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::RunsUntilStopped(fixture.queue.events.clone()));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Started);
    fixture.stop().await;
    assert_eq!(fixture.next().await, Event::HandedBack);
    let mut deliveries = fixture.queue.inner.consume(&Channel::Work(WorkKind::Train), 1).await.expect("open");
    let delivery = deliveries.next().await.expect("open").expect("the job");
    assert_eq!((delivery.redeliveries, &delivery.body), (0, &encoded(0)));
}

fn newer_job(store: &str) -> Value {
    let version = MESSAGE_VERSION + 1;
    json!({ "version": version, "id": "newer", "run": RUN, "store": store, "task": { "kind": "unknown" } })
}

#[tokio::test]
async fn a_job_of_a_newer_version_waits_for_newer_workers_unchanged_and_its_run_can_say_so() {
    let mut fixture = Fixture::new();
    fixture.plan().await;
    fixture.start(Fake::Commits(1));
    let newer = newer_job(&fixture.store.url()).to_string();
    fixture.send(newer.clone().into()).await;
    assert_eq!(fixture.next().await, Event::Retry(0));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    // It comes back, and goes back.
    assert_eq!(fixture.next().await, Event::Retry(0));
    assert!(fixture.quarantine_record("newer").await.is_none());
    let unable = async || AtWork::of_run(fixture.store.as_ref(), RUN).await.expect("readable").pop()?.unable;
    let reason = loop {
        if let Some(reason) = unable().await {
            break reason;
        }
        tokio::task::yield_now().await;
    };
    assert!(reason.contains("workers of the coordinator's version"), "{reason}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_job_of_an_unplanned_run_is_quarantined_and_not_run() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Commits(1));
    let forged = |store: String| {
        let trailer = Trailer { subject: subject(), store: store.clone(), key: "a.mp4".into(), size: 1, tag: None };
        let task = Task::Extract(ExtractTask { trailer, wanted: Vec::new() });
        Job::new("forged", RUN, store, task).encode().expect("JSON")
    };
    let body = forged(fixture.store.url());
    fixture.send(body.clone()).await;
    assert_eq!(fixture.next().await, Event::Quarantined(body.clone()));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    let records = records_of(fixture.store.as_ref(), UNREADABLE_RUN).await;
    assert!(records[0].reason.contains("not planned"), "{}", records[0].reason);
    fixture.stop().await;
    // The same job of a planned run is done.
    let mut fixture = Fixture::new();
    fixture.plan().await;
    fixture.start(Fake::Commits(1));
    fixture.send(forged(fixture.store.url())).await;
    assert!(matches!(fixture.next().await, Event::Result(Outcome::Committed { made: 1, .. })));
    fixture.stop().await;
}

#[tokio::test]
async fn a_job_of_a_newer_version_and_of_an_unknown_run_is_quarantined_unchanged_with_advice() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Commits(1));
    let newer = newer_job(&fixture.store.url());
    fixture.send(newer.to_string().into()).await;
    assert_eq!(fixture.next().await, Event::Quarantined(newer.to_string().into()));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    let records = records_of(fixture.store.as_ref(), UNREADABLE_RUN).await;
    assert_eq!(records[0].message, newer);
    assert!(records[0].reason.contains("upgrade"), "{}", records[0].reason);
    assert!(fixture.quarantine_record("newer").await.is_none(), "the run that it names is left alone");
    fixture.stop().await;
}

#[tokio::test]
async fn a_message_that_is_not_a_job_is_quarantined_unchanged_and_writes_no_key_of_its_choice() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Commits(1));
    let hostile = Job { run: "../elsewhere".into(), ..job(0) }.encode().expect("JSON");
    for body in [Bytes::from_static(b"\x00not JSON"), hostile] {
        fixture.send(body.clone()).await;
        assert_eq!(fixture.next().await, Event::Quarantined(body));
        assert_eq!(fixture.next().await, Event::Acknowledged);
    }
    fixture.stop().await;
    let runs = fixture.folder.path().join("runs");
    let names: Vec<_> =
        std::fs::read_dir(&runs).expect("readable").map(|entry| entry.expect("readable").file_name()).collect();
    assert_eq!(names, [UNREADABLE_RUN]);
    assert_eq!(std::fs::read_dir(fixture.folder.path()).expect("readable").count(), 2, "runs and .tmp");
    assert_eq!(std::fs::read_dir(runs.join(UNREADABLE_RUN).join("quarantine")).expect("readable").count(), 2);
}

#[tokio::test]
async fn a_message_that_is_too_long_for_a_job_is_quarantined_unread() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Commits(1));
    let body = Job { run: "x".repeat(MAX_MESSAGE_BYTES), ..job(0) }.encode().expect("JSON");
    fixture.send(body).await;
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
    let record = records_of(fixture.store.as_ref(), UNREADABLE_RUN).await.remove(0);
    assert!(record.reason.contains("is longer than"), "{}", record.reason);
    assert!(record.message.to_string().len() < 2_000);
}

#[tokio::test]
async fn a_second_copy_of_a_running_job_waits_for_the_first_and_is_settled_with_it() {
    let mut fixture = Fixture::new();
    fixture.slots = 2;
    fixture.start(Fake::RunsUntilStopped(fixture.queue.events.clone()));
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::Started);
    fixture.send(encoded(0)).await;
    while fixture.depth().await > 0 {
        tokio::task::yield_now().await;
    }
    put_json(fixture.store.as_ref(), &run_key(RUN, CANCELLED), &json!({})).await.expect("written");
    // Only one of them ran: there is no second start.
    assert_eq!(fixture.next().await, Event::Result(Outcome::Cancelled));
    assert_eq!(fixture.next().await, Event::Acknowledged);
    assert_eq!(fixture.next().await, Event::Acknowledged);
    fixture.stop().await;
    assert_eq!(fixture.depth().await, 0);
}

#[tokio::test]
async fn a_worker_that_cannot_do_three_jobs_in_a_row_hands_them_back_uncounted_and_stops() {
    let mut fixture = Fixture::new();
    fixture.start(Fake::Sick);
    for n in 0..5 {
        fixture.send(Job { id: format!("job-{n}"), ..job(0) }.encode().expect("JSON")).await;
    }
    for _ in 0..3 {
        assert_eq!(fixture.next().await, Event::HandedBack);
    }
    let error = fixture.ended().await.expect_err("it is sick");
    assert_eq!(error.kind(), ErrorKind::Unable);
    assert!(error.chain().contains("the scratch folder is gone"), "{}", error.chain());
    assert_eq!(fixture.depth().await, 5, "every job is left for other workers");
    assert!(fixture.quarantine_record("job-0").await.is_none());
}

#[tokio::test]
async fn a_training_at_its_time_limit_is_handed_back_once_it_has_saved_its_state() {
    let mut fixture = Fixture::new();
    fixture.limit_ms = 100;
    fixture.start(Fake::SavesAndRuns);
    fixture.send(encoded(0)).await;
    assert_eq!(fixture.next().await, Event::HandedBack);
    fixture.stop().await;
    assert_eq!(fixture.depth().await, 1);
}

/// Log lines of this process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct LogWriter;

impl std::io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_log_line_of_a_job_carries_its_run_job_kind_attempt_and_trailer() {
    logging::start(1, LogFormat::Json, || LogWriter);
    let mut fixture = Fixture::new();
    fixture.start(Fake::Logs);
    let recipe = Recipe::new(ArtifactKind::Scenes, json!({})).expect("JSON");
    let trailer = Trailer { subject: subject(), store: "there".into(), key: "a.mp4".into(), size: 1, tag: None };
    let task = Task::Extract(ExtractTask { trailer, wanted: vec![recipe] });
    let extract = Job { id: "a-logged-job".into(), task, ..job(1) };
    fixture.send(extract.encode().expect("JSON")).await;
    assert!(matches!(fixture.next().await, Event::Result(Outcome::Committed { .. })));
    fixture.stop().await;
    let log = String::from_utf8(LOG.lock().expect("not poisoned").clone()).expect("UTF-8");
    let expected = json!({
        "name": "job", "run": RUN, "job": "a-logged-job", "kind": "extract", "attempt": 1, "trailer": "tt0001",
        "worker": Identity::this_process().id(),
    });
    for message in ["job started", "line of an async thread", "line of a blocking thread", "job committed"] {
        let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let found = lines.iter().any(|line| {
            line["message"] == message && line["spans"].as_array().is_some_and(|spans| spans.contains(&expected))
        });
        assert!(found, "`{message}` does not carry {expected}:\n{log}");
    }
}
