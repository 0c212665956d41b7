//! The same over a real RabbitMQ and a real S3 server with two workers: every artifact is byte for
//! byte that of `jhalak run`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jhalak_tests::broker::Broker;
use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{command, files, run};
use jhalak_tests::s3_server;
use serde_json::Value;

/// A worker that is stopped with the test.
struct Worker(Child);

impl Worker {
    fn start(mut command: Command) -> Worker {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Worker(command.spawn().expect("the worker can be started"))
    }

    /// SIGTERM, and the exit code.
    fn stop(mut self) -> Option<i32> {
        let sent = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()));
        self.0.wait().expect("a child").code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Ended already where the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_are_byte_for_byte_those_of_an_embedded_run() {
    let Some(server) = s3_server::from_environment() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset = folder.path().join("data");
    let made = Made::new(&dataset, true);
    made.write(&format!("trailers/{}.mp4", jhalak_tests::dataset::id(4)), "no video");
    let broker = Broker::own();

    let place = format!("s3://{}/cluster-{}", server.bucket, std::process::id());
    let on_cluster = |program: &str| {
        let mut command = command(program, Path::new(&place));
        command
            .env("JHALAK__QUEUE", broker.url())
            .env("JHALAK__S3__ENDPOINT", &server.endpoint)
            .env("JHALAK__WORKER__SCRATCH", folder.path());
        command
    };
    let worker = || {
        let mut command = on_cluster("jhalak-worker");
        command.args(["--slots", "1"]);
        Worker::start(command)
    };
    let workers = [worker(), worker()];
    let local = folder.path().join("store");
    let both = || {
        let submitted = run(on_cluster("jhalak").args(["submit", "--json", "--dataset"]).arg(&dataset));
        assert_eq!(submitted.code, Some(4), "{}", submitted.err);
        let embedded = run(command("jhalak", &local).args(["run", "--quiet", "--dataset"]).arg(&dataset));
        assert_eq!(embedded.code, Some(4), "{}", embedded.err);
        serde_json::from_str::<Value>(&submitted.out).expect("JSON on standard output")
    };
    let answer = both();
    assert_eq!(answer["quarantined"].as_array().map(Vec::len), Some(1), "{answer}");
    // The same ratings with a trailer less: workers that have the other tables at hand must not
    // take them.
    std::fs::remove_file(dataset.join(format!("trailers/{}.mp4", jhalak_tests::dataset::id(3)))).expect("it exists");
    both();
    for worker in workers {
        assert_eq!(worker.stop(), Some(0), "a worker that is asked to stop exits with 0");
    }

    let expected: BTreeMap<String, Vec<u8>> =
        files(&local).into_iter().filter(|(name, _)| name.starts_with("artifacts/")).collect();
    let store = server.store_at(&place).await;
    let found = s3_server::objects(store.as_ref(), "artifacts/").await;
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{name} differs between the two");
    }
    // A second submit needs no worker: everything is committed.
    let again = run(on_cluster("jhalak").args(["submit", "--json", "--dataset"]).arg(&dataset));
    let answer: Value = serde_json::from_str(&again.out).expect("JSON on standard output");
    assert_eq!((again.code, &answer["made"]), (Some(4), &0.into()), "{}", again.err);
}
