//! Five planted secrets are in nothing that the programs write, say or show: whatever the
//! verbosity, in errors too.

use std::collections::BTreeSet;
use std::process::Command;

use jhalak_common::process::exit;
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::TIMEOUT;
use jhalak_tests::collector::{Collector, Manner};
use jhalak_tests::dataset::{Made, id};
use jhalak_tests::programs::{Ended, command, run};
use jhalak_tests::prometheus::http;
use jhalak_tests::s3_server;

const SESSION_TOKEN: &str = "planted-session-token-77aa88bb";
const OTLP_HEADER: &str = "planted-otlp-token-99cc";
const WRONG_PASSWORD: &str = "planted-wrong-password-13";

/// Holds `text` to contain no secret; `place` is for the message.
fn assert_clean(place: &str, text: &str, secrets: &[String]) {
    for secret in secrets {
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for form in [secret.as_str(), encoded.as_str()] {
            if let Some(at) = text.find(form) {
                let from = text[..at].char_indices().rev().nth(120).map_or(0, |(i, _)| i);
                panic!("{place} holds {form}: ...{}", &text[from..(at + form.len())]);
            }
        }
    }
}

/// The command lines of a process and its children.
fn command_lines(id: u32, seen: &mut BTreeSet<String>) {
    let of = |id: &str| std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    seen.insert(String::from_utf8_lossy(&of(&id.to_string())).into_owned());
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    for child in children.split_whitespace() {
        seen.insert(String::from_utf8_lossy(&of(child)).into_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_nowhere() {
    let Some(server) = s3_server::from_environment() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Random, as scripts/servers/seaweedfs.sh made them.
    let [access_key, secret_key] =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| std::env::var(name).expect("with S3_ENDPOINT"));
    let broker = Broker::shared();
    let password = url::Url::parse(&broker.url()).ok().and_then(|url| url.password().map(str::to_string));
    let password = password.expect("the broker's URL has a password");
    let secrets: Vec<String> =
        [&password, &access_key, &secret_key, SESSION_TOKEN, OTLP_HEADER, WRONG_PASSWORD].map(String::from).to_vec();
    let collector = Collector::start(Manner::Takes);
    let dataset = folder.path().join("films");
    let made = Made::new(&dataset, true);
    made.write(&format!("trailers/{}.mp4", id(4)), "no video");

    let store = format!("s3://{}/secrets-{}", server.bucket, std::process::id());
    let planted = |program: &str| -> Command {
        let mut command = command(program, std::path::Path::new(&store));
        command
            .env("JHALAK__QUEUE", broker.url())
            .env("JHALAK__RABBITMQ__PREFIX", format!("secrets-{}", std::process::id()))
            .env("JHALAK__S3__ENDPOINT", &server.endpoint)
            .env("JHALAK__WORKER__SCRATCH", folder.path())
            .env("JHALAK__TELEMETRY__LISTEN", "127.0.0.1:0")
            .env("JHALAK__EVALUATE__FOLDS", "2")
            .env("JHALAK__EVALUATE__EPOCHS", "1")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
            .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{OTLP_HEADER}"));
        command
    };
    let log = folder.path().join("worker.log");
    let mut worker = planted("jhalak-worker");
    worker.args(["-vv", "--slots", "1"]).stdout(std::process::Stdio::null());
    worker.stderr(std::fs::File::create(&log).expect("room on disk"));
    let mut worker = worker.spawn().expect("the program can be started");
    let words = || std::fs::read_to_string(&log).unwrap_or_default();
    let id = worker.id();
    let submit = {
        let mut command = planted("jhalak");
        command.args(["submit", "-vv", "--json", "--dataset"]).arg(&dataset);
        tokio::task::spawn_blocking(move || run(&mut command))
    };
    let mut lines = BTreeSet::new();
    let mut metrics = String::new();
    let began = std::time::Instant::now();
    while !submit.is_finished() {
        assert!(began.elapsed() < TIMEOUT, "{}", words());
        command_lines(id, &mut lines);
        if let Some(address) = words().split("metrics at http://").nth(1).and_then(|rest| rest.split('/').next()) {
            metrics = http(address, "/metrics").map_or(metrics, |(_, text)| text);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let ended = submit.await.expect("no panic");
    // One trailer is not a video.
    assert_eq!(ended.code, Some(i32::from(exit::QUARANTINED)), "{}\n{}", ended.err, words());
    let sent = Command::new("kill").arg(id.to_string()).status();
    assert!(sent.is_ok_and(|status| status.success()));
    assert!(worker.wait().expect("a child").success(), "{}", words());

    // The places hold what they should, and no secret.
    let (heads, bodies) = collector.heads_and_bodies();
    assert!(heads.contains(OTLP_HEADER), "the collector gets its header");
    assert!(bodies.contains("jhalak.trailer") && metrics.contains("jhalak_worker_slots"));
    assert!(lines.iter().any(|line| line.contains("jhalak-worker")), "{lines:?}");
    assert_clean("the spans", &bodies, &secrets);
    assert_clean("/metrics", &metrics, &secrets);
    assert_clean("the worker's log at -vv", &words(), &secrets);
    assert_clean("submit's output", &format!("{}{}", ended.out, ended.err), &secrets);
    assert_clean("command lines", &lines.into_iter().collect::<String>(), &secrets);
    let stored = s3_server::objects(server.store_at(&store).await.as_ref(), "").await;
    assert!(stored.keys().any(|key| key.contains("/quarantine/")), "there is a quarantine record");
    assert!(stored.keys().any(|key| key.ends_with("report/report.json")), "there is a report");
    for (key, bytes) in &stored {
        assert_clean(key, &String::from_utf8_lossy(bytes), &secrets);
    }

    // The output of other commands and errors, with the details of every library.
    let wrong_url = broker.url().replace(&password, WRONG_PASSWORD);
    let errors: [(&str, &[(&str, &str)]); 7] = [
        ("all well", &[]),
        // The server gives out no tokens, and refuses this one.
        ("a session token", &[("AWS_SESSION_TOKEN", SESSION_TOKEN)]),
        ("a wrong password", &[("JHALAK__QUEUE", &wrong_url)]),
        ("a URL with a mistyped host", &[("JHALAK__QUEUE", &wrong_url.replace("@127", "@@127"))]),
        ("a mistyped scheme", &[("JHALAK__QUEUE", &wrong_url.replace("amqp://", "ampq://"))]),
        ("a wrong key", &[("AWS_SECRET_ACCESS_KEY", WRONG_PASSWORD)]),
        ("an unknown setting", &[("JHALAK__S3__SECRET_KEY", &secret_key)]),
    ];
    for (case, environment) in errors {
        let mut doctor = planted("jhalak");
        doctor.args(["doctor", "-vv", "--json"]).env("RUST_LOG", "trace").envs(environment.iter().copied());
        let Ended { code, out, err } = run(&mut doctor);
        assert_eq!(code == Some(i32::from(exit::DONE)), case == "all well", "{case}: {out}\n{err}");
        assert_clean(case, &format!("{out}{err}"), &secrets);
    }
    let mut worker = planted("jhalak-worker");
    let Ended { code, out, err } = run(worker.arg("-vv").env("RUST_LOG", "trace").env("JHALAK__QUEUE", &wrong_url));
    assert!(code != Some(i32::from(exit::DONE)), "{err}");
    assert_clean("a worker with a wrong password", &format!("{out}{err}"), &secrets);
}

#[test]
fn secrets_can_come_from_files() {
    let Some(server) = s3_server::from_environment() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room on disk");
        path
    };
    let key = |name: &str| std::env::var(name).expect("with S3_ENDPOINT");
    let store = format!("s3://{}/files-{}", server.bucket, std::process::id());
    let doctor = || {
        let mut command = command("jhalak", std::path::Path::new(&store));
        command
            .arg("doctor")
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("JHALAK__S3__ENDPOINT", &server.endpoint)
            .env("JHALAK__S3__ACCESS_KEY_ID_FILE", write("id", &key("AWS_ACCESS_KEY_ID")))
            .env("JHALAK__S3__SECRET_ACCESS_KEY_FILE", write("key", &key("AWS_SECRET_ACCESS_KEY")))
            .env("JHALAK__QUEUE_FILE", write("queue", &format!("{}\n", Broker::shared().url())))
            .env("JHALAK__WORKER__SCRATCH", folder.path());
        command
    };
    let ended = run(&mut doctor());
    assert_eq!(ended.code, Some(i32::from(exit::DONE)), "{}{}", ended.out, ended.err);
    for words in ["conditional write", "RabbitMQ 3", "consumer_timeout", "MB are free", "from that of the store"] {
        assert!(ended.out.contains(words), "{words} is missing in\n{}", ended.out);
    }
    let both = run(doctor().env("JHALAK__QUEUE", "amqp://127.0.0.1:9"));
    assert!(both.code == Some(i32::from(exit::INVALID)) && both.err.contains("queue_file"), "{}", both.err);
    let one = run(doctor().env_remove("JHALAK__S3__ACCESS_KEY_ID_FILE"));
    assert!(one.code == Some(i32::from(exit::INVALID)) && one.err.contains("access_key_id_file"), "{}", one.err);
    std::fs::remove_file(folder.path().join("queue")).ok();
    let mut absent = doctor();
    let ended = run(absent.env("JHALAK__QUEUE_FILE", folder.path().join("absent")));
    assert!(ended.code == Some(i32::from(exit::INVALID)) && ended.err.contains("queue_file"), "{}", ended.err);
}
