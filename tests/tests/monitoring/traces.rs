//! Traces of a run, as a collector receives them; and runs with collectors that do not answer.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::process::exit;
use jhalak_common::run::job::Job;
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::collector::{CONSUMER, Collector, Manner, PRODUCER, Span};
use jhalak_tests::prometheus::http;
use jhalak_tests::s3_server;

use crate::scrape::address;

#[tokio::test(flavor = "multi_thread")]
async fn a_trailer_is_one_trace_from_send_to_commit() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("traces", Broker::shared(), server).await;
    let collector = Collector::start(Manner::Takes);
    let exported = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.as_str()), ("JHALAK__TELEMETRY__LISTEN", "off")];
    let mut worker = cluster.worker_with(&exported);
    let mut submit = cluster.submit_with(&[], &exported);
    let ended = submit.wait();
    assert_eq!(ended.code, Some(i32::from(exit::DONE)), "{}", ended.err);
    worker.terminate();
    let ended = worker.wait();
    assert_eq!(ended.code, Some(i32::from(exit::DONE)), "{}", ended.err);

    let spans = collector.spans();
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "no span comes twice");
    let run = spans.iter().find(|span| span.name == "run").expect("the run has a span");
    let queue = format!("{}.work.extract", cluster.prefix());
    let sends: Vec<&Span> = spans.iter().filter(|span| span.name == format!("send {queue}")).collect();
    let trailers: BTreeSet<&str> = sends.iter().filter_map(|span| span.attribute("jhalak.trailer")).collect();
    let extracted = cluster.objects("artifacts/keyframes/").await;
    let extracted = extracted.keys().filter(|key| key.ends_with("/commit.json")).count();
    assert!(extracted > 0);
    assert_eq!((sends.len(), trailers.len()), (extracted, extracted), "one trace for each trailer");
    for send in sends {
        let of_trace: Vec<&Span> = spans.iter().filter(|span| span.trace == send.trace).collect();
        let named = |name: &str| -> Vec<&Span> { of_trace.iter().copied().filter(|span| span.name == name).collect() };
        let one = |name: &str| match named(name).as_slice() {
            [span] => *span,
            other => panic!("{} spans `{name}` in the trace of {:?}", other.len(), send.attributes),
        };
        assert_eq!((send.kind, send.service.as_str(), send.parent.as_str()), (PRODUCER, "jhalak", ""));
        assert_eq!(send.links, std::slice::from_ref(&run.trace), "it refers to its run");
        assert_eq!(send.attribute("messaging.system"), Some("rabbitmq"));
        assert_eq!(send.attribute("messaging.destination.name"), Some(queue.as_str()));
        let process = one(&format!("process {queue}"));
        assert_eq!((process.kind, process.service.as_str(), &process.parent), (CONSUMER, "jhalak-worker", &send.id));
        assert_eq!(process.attribute("jhalak.outcome"), Some("committed"));
        assert_eq!(process.attribute("messaging.message.id"), send.attribute("messaging.message.id"));
        for step in ["fetch", "decode"] {
            assert_eq!(one(step).parent, process.id, "{step}");
        }
        let (embeds, commits) = (named("embed"), named("commit"));
        assert!(!embeds.is_empty() && commits.len() >= 3, "{} embeds, {} commits", embeds.len(), commits.len());
        assert!(embeds.iter().chain(&commits).all(|span| span.parent == process.id));
        let of_commit: BTreeSet<&str> = commits.iter().map(|span| span.id.as_str()).collect();
        let puts = named("put");
        assert!(!puts.is_empty() && puts.iter().all(|span| of_commit.contains(span.parent.as_str())));
        let records = puts.iter().filter(|span| span.attribute("jhalak.operation") == Some("create"));
        assert!(records.count() >= commits.len(), "a commit record each");
        // Each span lies within its parent.
        let by_id: BTreeMap<&str, &&Span> = of_trace.iter().map(|span| (span.id.as_str(), span)).collect();
        for span in of_trace.iter().filter(|span| !span.parent.is_empty() && span.name != process.name) {
            let parent = by_id.get(span.parent.as_str()).expect("its parent came too");
            assert!(parent.start <= span.start && span.end <= parent.end, "{} outlasts {}", span.name, parent.name);
        }
        let log = worker_line(&ended.err, &send.trace);
        assert!(log.contains("job committed") && log.contains("seconds"), "{log}");
    }
}

/// The line of a job's end in the log of its worker, by its trace.
fn worker_line<'a>(log: &'a str, trace: &str) -> &'a str {
    log.lines().find(|line| line.contains(trace) && line.contains("job committed")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_that_do_not_answer_or_are_absent_cost_a_run_nothing_and_drops_are_counted() {
    let Some(server) = s3_server::from_environment() else { return };
    let silent = Collector::start(Manner::Silent);
    for endpoint in [silent.endpoint.as_str(), "http://127.0.0.1:9"] {
        let cluster = Cluster::new("collector", Broker::shared(), server.clone()).await;
        let exported = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
            ("JHALAK__TELEMETRY__LISTEN", "127.0.0.1:0"),
        ];
        let mut worker = cluster.worker_with(&exported);
        let address = address(&mut worker);
        let ended = cluster.submit_with(&[], &exported).wait();
        assert_eq!(ended.code, Some(i32::from(exit::DONE)), "{}", ended.err);
        cluster.assert_whole().await;
        let dropped = || {
            let (_, text) = http(&address, "/metrics").expect("it runs");
            let line = text.lines().find_map(|line| line.strip_prefix("jhalak_telemetry_spans_dropped_total "));
            line.and_then(|value| value.parse::<f64>().ok()).expect("a counter")
        };
        let began = std::time::Instant::now();
        while dropped() == 0.0 {
            assert!(began.elapsed() < jhalak_tests::cluster::TIMEOUT, "{endpoint}: drops are not counted");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let stopping = std::time::Instant::now();
        worker.terminate();
        assert_eq!(worker.wait().code, Some(i32::from(exit::DONE)));
        assert!(stopping.elapsed().as_secs() < 15, "{endpoint}: the worker stops in {:?}", stopping.elapsed());
    }
}

#[test]
fn variables_that_cannot_be_followed_are_refused_without_their_values() {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2-secret@collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = jhalak_tests::programs::command("jhalak-worker", &folder.path().join("store"));
        command.env("JHALAK__QUEUE", "amqp://127.0.0.1:9").env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let ended = jhalak_tests::programs::run(command.env(variable, value));
        assert_eq!(ended.code, Some(i32::from(exit::INVALID)), "{}", ended.err);
        assert!(ended.err.contains(variable) && !ended.err.contains("hunter2"), "{}", ended.err);
    }
}

#[test]
fn a_job_of_a_program_without_traces_is_read() {
    let golden = jhalak_tests::repository().join("common/src/run/golden/job-probe-v1.json");
    let job = Job::decode(&std::fs::read(golden).expect("a golden file")).expect("a job");
    assert_eq!(job.traceparent, None);
}
