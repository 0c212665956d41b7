//! Stored artifacts are reused, made again on request, and repaired when damaged.

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::dataset::id;
use jhalak_tests::s3_server;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dry_run_states_reasons_and_only_named_kinds_are_reprocessed() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("again", Broker::shared(), server).await;
    let explain = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut all = vec!["--dry-run"];
        all.extend(arguments);
        let ended = cluster.submit_with(&all, environment).wait();
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.json()
    };
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    let plan = explain(&[], &[]);
    let kinds = count(&plan["extract"][0]["makes"]);
    assert!(count(&plan["extract"]) == 4 && kinds >= 3, "{plan}");
    assert!(cluster.objects("").await.is_empty(), "a dry run writes nothing");

    let _worker = cluster.worker();
    let first = cluster.submit().wait().json();
    assert!(first["made"].as_u64() > Some(4 * kinds as u64), "{first}");
    cluster.assert_whole().await;

    // Nothing is missing; another setting misses what follows from it, and says so; none of the
    // trailers is new by that.
    let plan = explain(&[], &[]);
    assert_eq!((count(&plan["extract"]), count(&plan["train"])), (0, 0), "{plan}");
    let other = [("JHALAK__INFERENCE__THREADS", "2")];
    let plan = explain(&[], &other);
    let changed = count(&plan["extract"][0]["makes"]);
    assert!(count(&plan["extract"]) == 4 && (2..kinds).contains(&changed), "{plan}");
    assert!(plan["extract"][0]["makes"][0]["why"].as_str().is_some_and(|why| why.contains("another recipe")), "{plan}");
    let ended = cluster.submit_with(&["--only-new"], &other).wait();
    assert!(ended.code == Some(0) && ended.json()["new"] == 0, "{}{}", ended.out, ended.err);

    let plan = explain(&["--reprocess", "video-embedding"], &[]);
    assert_eq!((count(&plan["extract"]), count(&plan["extract"][0]["makes"])), (4, 1), "{plan}");
    assert_eq!(count(&plan["retracted"]), 5, "4 embeddings and their table: {plan}");
    let before = cluster.objects("artifacts/").await;
    let again = cluster.submit_with(&["--reprocess", "video-embedding"], &[]).wait().json();
    assert_eq!(again["made"], 4, "{again}");
    assert!(cluster.objects("artifacts/").await == before, "made again, an artifact has other bytes");
    let (run, state) = cluster.state().expect("a run");
    assert_eq!(state["stage"], "done", "{run}");
    let refused = cluster.submit_with(&["--reprocess", "cutlery"], &[]).wait();
    assert!(refused.code == Some(2) && refused.err.contains("keyframes"), "{}", refused.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn damage_in_the_store_is_found_and_repaired() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("damage", Broker::shared(), server).await;
    let _worker = cluster.worker();
    let ended = cluster.submit().wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(cluster.jhalak(&["doctor", "--store"]).code, Some(0));
    let store = cluster.store().await;
    let objects = cluster.objects("artifacts/").await;
    let of = |kind: &str, movie: usize, name: &str| {
        let found = objects
            .keys()
            .find(|k| k.starts_with(&format!("artifacts/{kind}/")) && k.contains(&id(movie)) && k.ends_with(name));
        found.expect("it was committed").clone()
    };
    let (missing, changed, short) = (
        of("video-embedding", 0, "embedding.safetensors"),
        of("audio-embedding", 1, "embedding.safetensors"),
        of("keyframes", 3, "keyframes.tar"),
    );
    store.delete(&missing).await.expect("the server runs");
    let mut bytes = objects[&changed].clone();
    bytes[40] ^= 1;
    store.put(&changed, bytes.into()).await.expect("the server runs");
    store.put(&short, objects[&short][..1_000].to_vec().into()).await.expect("the server runs");

    let found = cluster.jhalak(&["doctor", "--store", "--json"]);
    assert_eq!(found.code, Some(3), "{}{}", found.out, found.err);
    let answer = found.json();
    let damaged = answer["found"]["damaged"].as_array().expect("a list");
    let shown = |key: &str, word: &str| {
        let commit = format!("{}/commit.json", key.rsplit_once('/').expect("a folder").0);
        damaged
            .iter()
            .any(|d| d["commit"] == commit.as_str() && d["why"].as_str().is_some_and(|why| why.contains(word)))
    };
    assert!(shown(&missing, "missing") && shown(&changed, "other bytes") && shown(&short, "1000 bytes"), "{answer}");
    assert_eq!(damaged.len(), 3);
    assert_eq!(
        cluster.jhalak(&["doctor", "--store", "--quick", "--json"]).json()["found"]["damaged"].as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(cluster.jhalak(&["doctor", "--store", "--repair"]).code, Some(0));
    let again = cluster.submit().wait();
    assert_eq!((again.code, &again.json()["made"]), (Some(0), &Value::from(3)), "{}", again.err);
    let mended = cluster.objects("artifacts/").await;
    for (key, bytes) in &objects {
        assert!(mended[key] == *bytes, "{key} is not what it was");
    }
}

/// A trailer that is not a video is quarantined at once, and tried again after `jhalak retry`.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quarantined_job_is_requeued_or_dropped() {
    let Some(server) = s3_server::from_environment() else { return };
    let cluster = Cluster::new("requeue", Broker::shared(), server).await;
    let dataset = cluster.folder().join("films");
    let made = jhalak_tests::dataset::Made::new(&dataset, false);
    made.write(&format!("trailers/{}.mp4", id(0)), "<html>not found</html>");
    let submit = || {
        let mut command = cluster.command("jhalak");
        command.args(["submit", "--json", "--dataset"]).arg(&dataset);
        cluster.start(command, "submit")
    };
    let mut worker = cluster.worker();
    let ended = submit().wait();
    assert_eq!(ended.code, Some(4), "{}", ended.err);
    let run = ended.json()["run"].as_str().expect("a run").to_string();
    let records = || {
        let mut records = cluster.jhalak(&["quarantine", "ls", &run, "--json"]).json();
        for record in records.as_array_mut().into_iter().flatten() {
            // These differ from attempt to attempt.
            assert!(record["at"].take().is_string() && record["seconds"].take().is_object());
        }
        records
    };
    let first = records();
    assert_eq!((&first[0]["run"], &first[0]["attempts"]), (&Value::from(run.as_str()), &Value::from(1)), "{first}");
    assert!(first[0]["reason"].as_str().is_some_and(|reason| reason.len() > 20), "{first}");
    // Sent again it fails again, at once and for the same reason.
    let sent = cluster.jhalak(&["quarantine", "requeue", &run, "--json"]);
    assert_eq!((sent.code, &sent.json()["dead_letters"]), (Some(0), &Value::from(1)), "{}", sent.err);
    let began = std::time::Instant::now();
    while records() != first {
        assert!(began.elapsed() < jhalak_tests::cluster::TIMEOUT, "{}", records());
        assert!(worker.runs());
    }
    let dropped = cluster.jhalak(&["quarantine", "drop", &run, "--json"]);
    assert_eq!((dropped.code, &dropped.json()["dead_letters"]), (Some(0), &Value::from(1)), "{}", dropped.err);
    assert_eq!(records(), Value::Array(Vec::new()));
    assert_eq!(cluster.jhalak(&["quarantine", "drop", &run, "no-such-job"]).code, Some(3));
}
