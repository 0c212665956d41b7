//! Measures the cost of distribution: `make bench-queue`, or a part of it: `scripts/bench_queue.sh
//! rates|wall|scale [TRAILERS...]`.
//!
//! A private RabbitMQ, a private S3 server and the built programs. Prints one line per figure;
//! ratios compare things within this one run.

mod listed_artifacts;
mod rates;
mod scale;
mod wall;

use std::path::Path;
use std::process::{Child, Command, Stdio};

use jhalak_tests::broker::Broker;
use jhalak_tests::programs::command;
use jhalak_tests::s3_server::{self, Server};

/// The servers, and names of this process's own on them.
pub struct Bench {
    broker: Broker,
    server: Server,
}

/// A process that ends with its owner.
pub struct Running(Child);

impl Bench {
    /// A name on both servers.
    fn own(&self, name: &str) -> String {
        format!("bench-{name}-{}", std::process::id())
    }

    fn place(&self, name: &str) -> String {
        format!("s3://{}/{}", self.server.bucket, self.own(name))
    }

    /// A command of `program` whose store and queues are those of `name`.
    fn command(&self, program: &str, name: &str) -> Command {
        let mut command = command(program, Path::new(&self.place(name)));
        command
            .env("JHALAK__QUEUE", self.broker.url())
            .env("JHALAK__RABBITMQ__PREFIX", self.own(name))
            .env("JHALAK__S3__ENDPOINT", &self.server.endpoint);
        command
    }

    fn settings(&self, name: &str) -> jhalak_common::settings::QueueSettings {
        jhalak_common::settings::QueueSettings {
            prefix: self.own(name),
            // Those of `programs::command`.
            retry_delays_ms: vec![100, 300],
            ..Default::default()
        }
    }
}

impl Running {
    fn start(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }

    /// Peak resident memory in MB; None when it has ended.
    fn peak_mb(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kb| kb / 1024)
    }
}

impl Running {
    /// CPU time in seconds so far; None when it has ended.
    fn cpu_s(&self) -> Option<f64> {
        /// Ticks of a second on Linux (USER_HZ).
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<f64>().ok();
        Some((next()? + next()?) / TICKS)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // `cargo bench` adds --bench.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wants = |part: &str| arguments.first().is_none_or(|first| first == part);
    let Some(server) = s3_server::from_environment() else { return };
    let bench = Bench { broker: Broker::own(), server };
    if wants("rates") {
        rates::run(&bench).await;
    }
    if wants("wall") {
        wall::run(&bench);
    }
    if wants("scale") {
        let sizes: Vec<usize> = arguments.iter().skip(1).filter_map(|n| n.parse().ok()).collect();
        scale::run(&bench, if sizes.is_empty() { &[1_000, 10_000, 100_000] } else { &sizes }).await;
    }
}
