//! Fills the disk of a worker.

use std::process::Command;

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::Cluster;
use jhalak_tests::programs::program;
use jhalak_tests::s3_server;
use jhalak_tests::tiny_disk;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_with_a_full_disk_takes_no_job_and_logs_why() {
    let Some(server) = s3_server::from_environment() else { return };
    let Some(prefix) = tiny_disk::prefix(512) else { return };
    let cluster = Cluster::new("scratch", Broker::shared(), server).await;
    let mut submit = cluster.submit();
    let full = cluster.folder().join("full");
    std::fs::create_dir(&full).expect("the folder is ours");
    let plain = cluster.command("jhalak-worker");
    let mut worker = Command::new(&prefix[0]);
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
