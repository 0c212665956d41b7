//! The same trailers embedded, over the cluster with one worker, and with two: wall times, one
//! after another, the best of each.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jhalak_tests::programs::command;
use jhalak_tests::repository;

use crate::{Bench, Running};

const ROUNDS: usize = 2;

pub fn run(bench: &Bench) {
    let dataset = repository().join(".local/demo/dataset");
    if !dataset.is_dir() {
        println!("skipped: there is no demo dataset: `scripts/setup.sh test` makes it");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut embedded, mut one, mut two) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for round in 0..ROUNDS {
        let store = folder.path().join(format!("store-{round}"));
        let mut jhalak = command("jhalak", &store);
        jhalak.env("JHALAK__WORKER__SLOTS", "1");
        embedded = embedded.min(timed(measured(&mut jhalak, "run", &dataset)));
        one = one.min(cluster(bench, &dataset, &format!("one-{round}"), 1));
        two = two.min(cluster(bench, &dataset, &format!("two-{round}"), 2));
        std::fs::remove_dir_all(&store).expect("the folder is ours");
    }
    let seconds = |d: Duration| d.as_secs_f64();
    let (e, o, t) = (seconds(embedded), seconds(one), seconds(two));
    println!(
        "embedded, one slot: {e:.2} s; cluster, one worker: {o:.2} s ({:.3}x); two workers: {t:.2} s ({:.2}x faster)",
        o / e,
        o / t
    );
}

/// Extraction and a little training of what is the same in all three: enough that starting is a
/// small part, and over in minutes.
fn measured<'a>(command: &'a mut Command, verb: &str, dataset: &Path) -> &'a mut Command {
    command.env("JHALAK__EVALUATE__FOLDS", "5").env("JHALAK__EVALUATE__EPOCHS", "5");
    command.args([verb, "--quiet", "--dataset"]).arg(dataset).stdout(Stdio::null())
}

fn timed(command: &mut Command) -> Duration {
    let began = Instant::now();
    assert!(command.status().expect("it starts").success());
    began.elapsed()
}

/// The wall time of a submit with so many workers that are ready.
fn cluster(bench: &Bench, dataset: &Path, name: &str, workers: usize) -> Duration {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let workers: Vec<(Running, PathBuf)> = (0..workers)
        .map(|n| {
            let beat = folder.path().join(format!("{n}.heartbeat"));
            let mut worker = bench.command("jhalak-worker", name);
            worker.args(["--slots", "1"]).env("JHALAK__WORKER__HEARTBEAT_FILE", &beat).env("RUST_LOG", "warn");
            (Running::start(&mut worker), beat)
        })
        .collect();
    for (_, beat) in &workers {
        while std::fs::read_to_string(beat).unwrap_or_default() != "ready" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    timed(measured(&mut bench.command("jhalak", name), "submit", dataset))
}
