//! Drives a run as an operator does: watch, cancel, retry, detach, requeue.

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::s3_server;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cancelled_run_stops_its_jobs_and_resumes_when_started_again() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("cancel", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    // One attempt: a job that is dropped must not burn it.
    let mut worker = cluster.worker_with(&[("JHALAK__WORKER__ATTEMPTS", "1")]);
    let run =
        cluster.until("some training", |state| state["stage"] == "training" && state["committed"].as_u64() >= Some(2));
    let cancelled = cluster.jhalak(&["cancel", &run, "--json"]);
    assert_eq!(cancelled.code, Some(0), "{}", cancelled.err);
    let answer: Value = serde_json::from_str(&cancelled.out).expect("JSON");
    let state = &answer["state"];
    assert_eq!((&answer["cancelled"], &state["stage"]), (&Value::from(true), &Value::from("cancelled")), "{answer}");
    let count = |name: &str| state[name].as_u64().unwrap_or(0);
    assert!(count("cancelled") > 0 && count("quarantined") == 0, "{answer}");
    assert_eq!(count("committed") + count("cancelled"), count("jobs"), "every job has one end state: {answer}");
    assert_eq!(submit.wait().code, Some(130), "{}", submit.stderr());
    cluster.assert_drained().await;
    worker.wait_for_log("its run was cancelled");
    let cells = |objects: &std::collections::BTreeMap<String, Vec<u8>>| {
        objects.keys().filter(|k| k.ends_with("commit.json")).count()
    };
    let before = cells(&cluster.objects("artifacts/cell/").await);
    let watched = cluster.jhalak(&["watch", &run]);
    assert_eq!(watched.code, Some(130), "{}", watched.err);

    assert_eq!(cluster.jhalak(&["retry", &run]).code, Some(0));
    assert_eq!(cluster.state().expect("a run").1["stage"], "planned");
    let ended = cluster.submit().wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let made: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert!(
        before > 0 && made["made"].as_u64() > Some(0),
        "{before} cells were committed before, then {}",
        made["made"]
    );
    cluster.assert_whole().await;
    let late = cluster.jhalak(&["cancel", &run, "--json"]);
    assert!(late.code == Some(0) && late.out.contains("\"cancelled\": false"), "{}", late.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn detached_run_can_be_watched_from_another_process() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("watch", Broker::shared(), server).await;
    let left = cluster.submit_with(&["--detach"], &[]).wait();
    assert_eq!(left.code, Some(0), "{}", left.err);
    let answer: Value = serde_json::from_str(&left.out).expect("JSON");
    let run = answer["run"].as_str().expect("a run").to_string();
    let mut lines = cluster.command("jhalak");
    lines.args(["watch", "--json", &run]);
    let mut lines = cluster.start(lines, "watch");
    let mut words = cluster.command("jhalak");
    words.args(["watch", &run]);
    let mut words = cluster.start(words, "watch");
    let _worker = cluster.worker();
    let (lines, words) = (lines.wait(), words.wait());
    assert_eq!((lines.code, words.code), (Some(0), Some(0)), "{}{}", lines.err, words.err);
    let states: Vec<Value> =
        lines.out.lines().map(|line| serde_json::from_str(line).expect("a JSON object a line")).collect();
    assert_eq!(states.last().expect("a state")["state"]["stage"], "done");
    assert!(states.iter().any(|s| s["state"]["stage"] == "training" && s["rate"].is_f64()), "{}", lines.out);
    for word in ["training: ", " of ", "left", "done"] {
        assert!(
            words.err.contains(word) || words.out.contains(word),
            "{word} is missing in:\n{}{}",
            words.err,
            words.out
        );
    }
    // The coordinator in the background has its last words still to say.
    let log = answer["log"].as_str().expect("a path");
    let began = std::time::Instant::now();
    while !std::fs::read_to_string(log).unwrap_or_default().contains("\"report\"") {
        assert!(began.elapsed() < jhalak_tests::cluster::TIMEOUT, "the coordinator never ended");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::fs::remove_file(log).expect("it exists");
    cluster.assert_whole().await;
    assert_eq!(cluster.jhalak(&["watch", "no-such-run"]).code, Some(3));
}
