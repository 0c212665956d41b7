//! The worker's disk is full.

use std::process::{Command, Stdio};

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::programs::program;
use jhalak_tests::s3_server;

/// A command prefix that gives a process a tiny disk of its own at $SCRATCH; None where this machine allows no such thing.
fn tiny_disk() -> Option<Vec<&'static str>> {
    let script = "mount -t tmpfs -o size=512k tmpfs \"$SCRATCH\" && exec \"$@\"";
    for unshare in [vec!["unshare", "--mount"], vec!["unshare", "--user", "--map-root-user", "--mount"]] {
        let mut whole = unshare.clone();
        whole.extend(["sh", "-c", script, "sh"]);
        let folder = tempfile::tempdir().ok()?;
        let mut probe = Command::new(whole[0]);
        probe.args(&whole[1..]).arg("true").env("SCRATCH", folder.path()).stderr(Stdio::null());
        if probe.status().is_ok_and(|status| status.success()) {
            return Some(whole);
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_with_a_full_disk_takes_no_job_and_says_why() {
    let Some(server) = s3_server::from_environment() else { return };
    let Some(prefix) = tiny_disk() else {
        println!("skipped: this machine lets no process mount a file system of its own");
        return;
    };
    let cluster = Cluster::new("scratch", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    let full = cluster.folder().join("full");
    std::fs::create_dir(&full).expect("the folder is ours");
    let plain = cluster.command("jhalak-worker");
    let mut worker = Command::new(prefix[0]);
    worker.args(&prefix[1..]).arg(program("jhalak-worker")).args(["--slots", "1", "--kinds", "extract"]);
    worker.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    worker.env("SCRATCH", &full).env("JHALAK__WORKER__SCRATCH", &full);
    let mut worker = cluster.start(worker, "full");
    let ended = worker.wait();
    assert_eq!(ended.code, Some(7), "{}", ended.err);
    assert!(ended.err.contains("No space left on device") && ended.err.contains("make room"), "{}", ended.err);
    let _worker = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    cluster.assert_whole().await;
}
