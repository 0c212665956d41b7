//! Repeats a seeded random schedule of faults until its time is over: `make soak SECONDS=3600
//! SEED=7`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jhalak_common::random::SplitMix;
use jhalak_tests::broker::Broker;
use jhalak_tests::cluster::{Cluster, Process, TIMEOUT};
use jhalak_tests::fault_proxy::{Fault, SLOW_DOWN};
use jhalak_tests::programs::Ended;
use jhalak_tests::s3_server;

/// The length of a schedule in `make test`.
const SECONDS: u64 = 40;

/// The same seed, the same schedule of faults. When each is met still depends on the machine.
struct Random(SplitMix);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0.draw() % n
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_random_schedule_of_faults_loses_and_repeats_nothing() {
    let Some(server) = s3_server::from_environment() else { return };
    let seconds = number("JHALAK_SOAK_SECONDS").unwrap_or(SECONDS);
    let seed = number("JHALAK_SOAK_SEED").unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64 % 1_000_000_007)
    });
    // Said before anything can fail.
    eprintln!("schedule: seed {seed}, {seconds} s; the same again: make soak SECONDS={seconds} SEED={seed}");
    let mut random = Random(SplitMix::new(seed));
    let _turn = crate::MORTAL.lock().await;
    let broker = tokio::task::spawn_blocking(Broker::mortal).await.expect("it starts");
    let began = Instant::now();
    let mut runs = 0;
    while runs == 0 || began.elapsed() < Duration::from_secs(seconds) {
        let faults = one_run(broker, server.clone(), &mut random, runs).await;
        runs += 1;
        eprintln!("schedule: run {runs} whole after {:.0} s: {}", began.elapsed().as_secs_f64(), faults.join(", "));
    }
}

/// Runs under faults, and whether they came out whole. Returns the faults.
async fn one_run(broker: &Broker, server: s3_server::Server, random: &mut Random, number: usize) -> Vec<&'static str> {
    let cluster = Cluster::new("schedule", broker, server).await;
    // Every other time a second run wants the same artifacts.
    let slots = &["first", "second"][..1 + number % 2];
    let mut runs: Vec<Run> = slots.iter().map(|slot| Run { slot, submit: submit(&cluster, slot) }).collect();
    let mut workers = vec![cluster.worker(), cluster.worker()];
    let mut faults = Vec::new();
    let began = Instant::now();
    // They meet so many faults; then they are left alone.
    for _ in 0..6 + random.below(6) {
        let pause = Duration::from_millis(200 + random.below(2_500));
        let until = Instant::now() + pause;
        while Instant::now() < until && runs.iter_mut().any(|run| run.submit.runs()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !runs.iter_mut().any(|run| run.submit.runs()) {
            break;
        }
        faults.push(one_fault(&cluster, broker, random, &mut runs, &mut workers).await);
        assert!(began.elapsed() < TIMEOUT * 2, "run {number} after {faults:?} does not end");
    }
    cluster.mend();
    for run in &mut runs {
        let ended = run.end(&cluster);
        assert_eq!(ended.code, Some(0), "run {number} ({}) after {faults:?}: {}", run.slot, ended.err);
    }
    cluster.assert_whole().await;
    faults
}

/// The run of a slot, and the coordinator that drives it.
struct Run {
    slot: &'static str,
    submit: Process,
}

impl Run {
    /// Waits for its end. A submit that does not reach the broker or the store while it plans says
    /// so and ends; it is started again, as its operator would.
    fn end(&mut self, cluster: &Cluster) -> Ended {
        let ended = self.submit.wait();
        if ended.code == Some(5) {
            self.submit = submit(cluster, self.slot);
            return self.submit.wait();
        }
        ended
    }
}

fn submit(cluster: &Cluster, slot: &str) -> Process {
    cluster.submit_with(&["--slot", slot, "--wait"], &[])
}

/// The child processes of a process.
fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
    }
    found
}

/// kill -9. The process may be gone already.
fn kill(process: u32) {
    let mut command = std::process::Command::new("kill");
    let _ = command.args(["-9", &process.to_string()]).stderr(std::process::Stdio::null()).status();
}

async fn one_fault(
    cluster: &Cluster,
    broker: &Broker,
    random: &mut Random,
    runs: &mut [Run],
    workers: &mut Vec<Process>,
) -> &'static str {
    let any = random.below(workers.len() as u64) as usize;
    match random.below(16) {
        0..=2 => {
            workers.swap_remove(any).kill();
            workers.push(cluster.worker());
            "worker killed"
        }
        3 => {
            let mut worker = workers.swap_remove(any);
            worker.terminate();
            assert_eq!(worker.wait().code, Some(0), "{}", worker.stderr());
            workers.push(cluster.worker());
            "worker stopped"
        }
        4 | 5 => {
            let run = &mut runs[random.below(runs.len() as u64) as usize];
            std::mem::replace(&mut run.submit, submit(cluster, run.slot)).kill();
            "coordinator killed"
        }
        6 => {
            tokio::task::block_in_place(|| broker.again(true));
            "broker killed"
        }
        7 => {
            workers[any].signal("-STOP");
            tokio::time::sleep(Duration::from_millis(500 + random.below(4_000))).await;
            workers[any].signal("-CONT");
            "worker frozen"
        }
        8 => {
            tokio::task::block_in_place(|| broker.again_empty());
            "broker's disk lost"
        }
        9 => {
            // Its job meets the end of its decoder, if it decodes just now.
            let children = children(workers[any].id());
            children.iter().for_each(|child| kill(*child));
            "decoder killed"
        }
        10 => {
            let kind = ["extract", "train"][random.below(2) as usize];
            broker.try_delete_queue(&format!("{}.work.{kind}", cluster.prefix()));
            "work queue deleted"
        }
        11 => {
            // A worker whose scratch folder is swept away. It stops by itself, or is stopped with
            // the run.
            let scratch = cluster.folder().join(format!("swept-{}", random.0.draw()));
            let mut sick = cluster.worker_with(&[("JHALAK__WORKER__SCRATCH", scratch.to_str().expect("a plain path"))]);
            let began = Instant::now();
            while !scratch.exists() && sick.runs() && began.elapsed() < Duration::from_secs(20) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Not there when the broker or the store is away.
            let _ = std::fs::remove_dir_all(&scratch);
            tokio::time::sleep(Duration::from_secs(3)).await;
            sick.kill();
            "sick worker"
        }
        12 => {
            cluster.break_requests(|_| Fault::Answer(403, crate::trust::ACCESS_DENIED));
            tokio::time::sleep(Duration::from_millis(500 + random.below(8_000))).await;
            cluster.mend();
            "credentials refused"
        }
        13 => {
            tokio::task::block_in_place(|| broker.memory_alarm(true));
            tokio::time::sleep(Duration::from_millis(500 + random.below(6_000))).await;
            tokio::task::block_in_place(|| broker.memory_alarm(false));
            "broker short of memory"
        }
        _ => {
            let kind = random.below(5) as usize;
            let (name, fault) = [
                ("slow down", Fault::Answer(503, SLOW_DOWN)),
                ("store fails", Fault::Answer(500, "")),
                ("store refuses", Fault::Refuse),
                ("answers lost", Fault::LoseAnswer),
                ("answers cut", Fault::CutAfter(300)),
            ][kind]
                .clone();
            let every = 1 + random.below(3);
            let mut n = 0;
            cluster.break_requests(move |_| {
                n += 1;
                if n % every == 0 { fault.clone() } else { Fault::None }
            });
            tokio::time::sleep(Duration::from_millis(500 + random.below(5_000))).await;
            cluster.mend();
            name
        }
    }
}
