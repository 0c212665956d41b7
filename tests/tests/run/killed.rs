//! `jhalak run` killed at any moment and started again gives the same artifacts, and makes nothing
//! twice that was committed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{command, file_names, files, run};

/// The commit records, with the facts that distinguish one writing of a file from another.
fn commits(store: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let names = file_names(store).into_iter();
    names
        .filter(|name| name.starts_with("artifacts/") && name.ends_with("commit.json"))
        .map(|name| {
            let meta = std::fs::metadata(store.join(&name)).expect("a file");
            (name, (meta.ino(), meta.mtime(), meta.mtime_nsec()))
        })
        .collect()
}

#[test]
fn run_killed_repeatedly_reaches_the_same_artifacts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset = folder.path().join("data");
    Made::new(&dataset, true);
    let (quiet, torn) = (folder.path().join("quiet"), folder.path().join("torn"));
    let started = Instant::now();
    assert_eq!(run(command("jhalak", &quiet).args(["run", "--quiet", "--dataset"]).arg(&dataset)).code, Some(0));
    let whole = started.elapsed();

    let mut before = BTreeMap::new();
    let mut cut_short = 0;
    for part in 1..=6 {
        let mut jhalak = command("jhalak", &torn);
        jhalak.args(["run", "--quiet", "--dataset"]).arg(&dataset).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = jhalak.spawn().expect("the program can be started");
        // The moment is the point of the test: spread over the whole of a run.
        std::thread::sleep(whole * part / 7 / 2 + Duration::from_millis(37 * u64::from(part)));
        cut_short += usize::from(child.try_wait().expect("a child").is_none());
        child.kill().expect("a child");
        child.wait().expect("a child");
        let now = commits(&torn);
        for (name, writing) in &before {
            assert_eq!(now.get(name), Some(writing), "{name} was committed and made again");
        }
        before = now;
    }
    assert!(cut_short > 0, "no run was cut short");
    assert_eq!(run(command("jhalak", &torn).args(["run", "--quiet", "--dataset"]).arg(&dataset)).code, Some(0));
    for (name, writing) in &before {
        assert_eq!(commits(&torn).get(name), Some(writing), "{name} was committed and made again");
    }
    let artifacts = |store: &Path| -> BTreeMap<String, Vec<u8>> {
        files(store).into_iter().filter(|(name, _)| name.starts_with("artifacts/")).collect()
    };
    let (expected, found) = (artifacts(&quiet), artifacts(&torn));
    assert_eq!(expected.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{name} differs from that of a quiet run");
    }
}

/// States of trainings that are in the store.
fn checkpoints(store: &Path) -> usize {
    file_names(store).iter().filter(|name| name.starts_with("checkpoints/")).count()
}

#[test]
fn training_killed_between_epochs_resumes_to_the_same_weights() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dataset = folder.path().join("data");
    Made::new(&dataset, false);
    let (quiet, torn) = (folder.path().join("quiet"), folder.path().join("torn"));
    let train = |store: &Path| {
        let mut jhalak = command("jhalak", store);
        jhalak.args(["run", "-v", "--dataset"]).arg(&dataset);
        jhalak.env("JHALAK__EVALUATE__EPOCHS", "60").env("JHALAK__WORKER__CHECKPOINT_MS", "0").env_remove("RUST_LOG");
        jhalak
    };
    let whole = run(&mut train(&quiet));
    assert_eq!(whole.code, Some(0), "{}", whole.err);
    assert_eq!(checkpoints(&quiet), 0, "states go when the result is committed");

    let started = Instant::now();
    // A kill may come just after a result took the place of its state: the next training is killed
    // then.
    while checkpoints(&torn) == 0 {
        let mut child =
            train(&torn).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be started");
        while checkpoints(&torn) == 0 {
            assert!(started.elapsed() < Duration::from_secs(120), "no state was kept");
            assert!(child.try_wait().expect("a child").is_none(), "it ended before it could be killed");
            std::thread::sleep(Duration::from_millis(2)); // looking again, not waiting for time to pass
        }
        child.kill().expect("a child");
        child.wait().expect("a child");
    }
    let again = run(&mut train(&torn));
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(again.err.contains("resuming the training from its checkpoint"), "{}", again.err);
    assert_eq!(checkpoints(&torn), 0);
    let artifacts = |store: &Path| -> BTreeMap<String, Vec<u8>> {
        files(store).into_iter().filter(|(name, _)| name.starts_with("artifacts/")).collect()
    };
    assert!(artifacts(&quiet) == artifacts(&torn), "the results differ from those of a quiet run");
}
