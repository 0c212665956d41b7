//! Peak memory and CPU time of a training worker, of the final fit and of `jhalak predict` by the
//! number of trailers in a table of embeddings.
//!
//! ```sh
//! cargo bench --bench tables -- 10000 100000       # trailers; `one-file 10000` writes the table
//! as earlier versions did DIM=128 STEPS=cell cargo bench --bench tables -- 1000000
//! ```
//!
//! A catalogue of that many movies, 1,000 of them rated (20,000 ratings), each with a stand-in
//! embedding of 1,280 numbers. Every step is a process of its own, so that the peak memory is the
//! step's. Prints one line per step.

mod generate;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use jhalak_common::artifact::{self, ArtifactKey};
use jhalak_common::run::job::{Job, Task};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use jhalak_tests::programs::program;
use jhalak_worker::jobs::{self, Context, JobProgress};
use tokio_util::sync::CancellationToken;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["make", form, count, folder] => {
            block_on(generate::store(Path::new(folder), count.parse().expect("a number"), *form == "one-file"));
        }
        ["job", name, folder] => block_on(job(name, Path::new(folder))),
        [] => println!("name numbers of trailers: 10000 100000"),
        ["one-file", counts @ ..] => counts.iter().for_each(|count| all("one-file", count)),
        counts => counts.iter().for_each(|count| all("shards", count)),
    }
}

/// The steps that are jobs of a worker: `STEPS=cell` leaves out the final fit and the predictions,
/// which take minutes.
fn steps() -> Vec<String> {
    let steps = std::env::var("STEPS").unwrap_or_else(|_| "cell fit".into());
    steps.split_whitespace().map(str::to_owned).collect()
}

/// Runs every step over a catalogue of `count` movies.
fn all(form: &str, count: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().to_str().expect("UTF-8");
    let own = |args: &[&str]| {
        let status = Command::new(std::env::current_exe().expect("a path")).args(args).status();
        status.expect("it starts").success()
    };
    assert!(own(&["make", form, count, place]), "the table was not written");
    for step in &steps() {
        if !own(&["job", step, place]) {
            println!("{count} trailers | {step} | failed");
        }
    }
    let models: &[&str] = if steps().iter().any(|step| step == "fit") { &["network", "ensemble"] } else { &[] };
    for model in models {
        let mut command = Command::new(program("jhalak"));
        let movie = generate::movie_id(count.parse::<usize>().expect("a number") / 2);
        command.args(["predict", "--user", "u0001", "--movie", &movie, "--model", model, "--quiet", "--json"]);
        let ended = command
            .env("JHALAK__STORE", folder.path().join("store"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .map(ended)
            .expect("it starts");
        println!("{count} trailers | predict --model {model} | {ended}");
    }
}

/// Runs one job as a worker does, without a queue.
async fn job(name: &str, folder: &Path) {
    let mut settings = Settings::default();
    settings.worker.scratch = folder.join("scratch");
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(folder.join("store")).expect("a store"));
    let body = std::fs::read(folder.join(format!("{name}.json"))).expect("a job");
    let job = Job::decode(&body).expect("a job");
    let context = Arc::new(Context::new(store.clone(), settings, None).expect("no model is needed"));
    let progress = Arc::new(JobProgress::new());
    if let Err(error) = jobs::run(&context, &job, &progress, CancellationToken::new()).await {
        println!("{}", error.chain());
        std::process::exit(1);
    }
    let key: ArtifactKey = job.task.artifacts().remove(0);
    assert!(artifact::committed(store.as_ref(), &key).await.expect("a readable store").is_some());
    if matches!(job.task, Task::Fit(_)) {
        generate::point_to(store.as_ref(), &key).await;
    }
    let trailers = generate::count(folder);
    println!("{trailers} trailers | {name} | {:.1} CPU s, {} MB", cpu_seconds("self"), peak_mb("self"));
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads")
        .block_on(future);
}

/// Waits for a child and returns how it ended, its CPU time and its peak memory.
fn ended(mut child: std::process::Child) -> String {
    let (mut peak, mut seconds) = (0, 0.0_f64);
    loop {
        let id = child.id().to_string();
        (peak, seconds) = (peak_mb(&id).max(peak), cpu_seconds(&id).max(seconds));
        if let Some(status) = child.try_wait().expect("a child") {
            return format!("{seconds:.1} CPU s, {peak} MB, exit code {}", status.code().unwrap_or(-1));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// User and system time of a process, from the kernel's clock ticks (100 per second on Linux).
fn cpu_seconds(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn peak_mb(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
