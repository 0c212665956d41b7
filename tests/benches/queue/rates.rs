//! Jobs without work through a quorum queue and one worker process, with and without a commit to
//! the store.

use std::time::Instant;

use jhalak_common::artifact::{ArtifactKind, Recipe, Subject};
use jhalak_common::hash;
use jhalak_common::queue::{self, Channel, WorkKind};
use jhalak_common::run::job::{Job, ProbeTask, Task};

use crate::{Bench, Running};

pub async fn run(bench: &Bench) {
    for (name, jobs, commits) in [("queue", 20_000, false), ("store", 6_000, true)] {
        let rate = rate(bench, name, jobs, commits).await;
        let what = if commits { "with a conditional commit each" } else { "without the store" };
        println!("no-op jobs through one worker process, {what}: {rate:.0} a second ({jobs} jobs)");
    }
}

async fn rate(bench: &Bench, name: &str, jobs: usize, commits: bool) -> f64 {
    let queue = queue::open(&bench.broker.url(), &bench.settings(name)).await.expect("the broker runs");
    let run = bench.own(name);
    let mut results = queue.consume(&Channel::Results(run.clone()), 2_000).await.expect("consumes");
    let recipe = Recipe::new(ArtifactKind::Probe, serde_json::json!({})).expect("it serialises");
    let numbers: Vec<usize> = (0..jobs).collect();
    for window in numbers.chunks(1_000) {
        let publish = window.iter().map(|n| {
            let id = format!("probe-{n}");
            let subject = Subject { id: id.clone(), content: hash::of_bytes(id.as_bytes()) };
            let task = ProbeTask { workers: WorkKind::Train, subject, recipe: commits.then(|| recipe.clone()) };
            let job = Job::new(id, &run, bench.place(name), Task::Probe(task));
            let (queue, body) = (&queue, job.encode().expect("it serialises"));
            async move { queue.publish(&Channel::Work(WorkKind::Train), body).await }
        });
        futures::future::try_join_all(publish).await.expect("published");
    }
    let mut worker = bench.command("jhalak-worker", name);
    worker.args(["--kinds", "train", "--slots", "128"]).env("RUST_LOG", "warn");
    let _worker = Running::start(&mut worker);
    let mut began = None;
    for n in 0..jobs {
        let result = results.next().await.expect("delivers").expect("is open");
        result.ack().await.expect("acknowledges");
        // The first hundred pay for the start.
        if n == 100 {
            began = Some(Instant::now());
        }
    }
    let rate = (jobs - 101) as f64 / began.expect("more than a hundred jobs").elapsed().as_secs_f64();
    drop(results);
    queue.close().await;
    rate
}
