//! Workers on processors of two classes: the one that commits first decides the bytes.

use std::process::Command;

use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, quiet};
use jhalak_tests::s3_server;

/// A processor without AVX.
const OTHER: [&str; 3] = ["qemu-x86_64", "-cpu", "Nehalem"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "minutes in an emulator (Debian's qemu-user): scripts/test.sh --test faults processors -- --ignored"]
async fn a_pool_of_two_processor_classes_commits_each_artifact_once() {
    let Some(server) = s3_server::from_environment() else { return };
    if Command::new(OTHER[0]).arg("-version").output().is_err() {
        eprintln!("skipped: {} is not installed (Debian's qemu-user)", OTHER[0]);
        return;
    }
    let cluster = Cluster::new("processors", Broker::shared(), server).await;
    let own = cluster.command("jhalak-worker");
    let mut emulated = Command::new(OTHER[0]);
    emulated.args(&OTHER[1..]).arg(own.get_program()).args(["--slots", "1"]);
    emulated.envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut submit = cluster.submit();
    let mut other = cluster.start(emulated, "emulated");
    other.wait_for_log("job started");
    // It takes the rest while the other one is at its first job.
    let _worker = cluster.worker();
    let ended = submit.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    other.terminate();
    assert_eq!(other.wait().code, Some(0), "{}", other.stderr());

    let (expected, found) = (&quiet().1, cluster.objects("artifacts/").await);
    let embedded: Vec<_> = found.keys().filter(|key| key.contains("-embedding/")).collect();
    let differ = embedded.iter().filter(|key| expected.get(**key) != found.get(**key)).count();
    eprintln!("{differ} of {} files of embeddings differ from those of this processor", embedded.len());
    assert!(differ > 0 && differ < embedded.len(), "both classes have committed");
    cluster.assert_committed_once();
    cluster.assert_drained().await;
    let doctor = cluster.jhalak(&["doctor", "--store"]);
    assert_eq!(doctor.code, Some(0), "{}{}", doctor.out, doctor.err);
}
