//! `jhalak-worker`: takes jobs from RabbitMQ until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use jhalak_common::models::Registry;
use jhalak_common::process::telemetry::{self, LogFormat};
use jhalak_common::process::{exit, shutdown};
use jhalak_common::queue::{self, Queue, WorkKind};
use jhalak_common::settings::{Settings, redact_url};
use jhalak_common::{Error, Result, store};
use jhalak_worker::inference::Models;
use jhalak_worker::job_loop::Worker;
use jhalak_worker::jobs::Context;
use jhalak_worker::{heartbeat, media};
use tokio_util::sync::CancellationToken;

/// Takes jobs from the queue: decodes trailers, computes embeddings, trains and tests.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The kinds of work to take.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["extract", "train"])]
    kinds: Vec<Kind>,
    /// Configuration file (TOML); the environment (JHALAK__SECTION__KEY) and flags override it.
    #[arg(long, global = true, env = "JHALAK_CONFIG")]
    config: Option<PathBuf>,
    /// Where artifacts are kept: file:///path, a path, or s3://bucket/prefix.
    #[arg(long)]
    store: Option<String>,
    /// The queue: amqp://user:password@host:port/vhost. Better in the environment, as JHALAK__QUEUE.
    #[arg(long)]
    queue: Option<String>,
    /// Jobs side by side; one for each core by default.
    #[arg(long)]
    slots: Option<usize>,
    /// More words: -v what happens, -vv the details.
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log lines as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Tells a probe how the worker on this machine is: exit code 0 when well.
    Health {
        /// Whether it takes jobs, and not only lives.
        #[arg(long, conflicts_with = "live")]
        ready: bool,
        /// Whether it lives (the default).
        #[arg(long)]
        live: bool,
    },
    /// Decodes one trailer as a job of a worker asks for it; started by workers.
    #[command(hide = true)]
    DecodeChild,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Extract,
    Train,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Some(Command::DecodeChild)) {
        return media::run_child();
    }
    let format = if cli.json { LogFormat::Json } else { LogFormat::Text };
    telemetry::start(cli.verbose.max(1), format, std::io::stderr);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report("jhalak-worker", &error),
    }
}

fn run(cli: Cli) -> Result<()> {
    let mut flags = Vec::new();
    flags.extend(cli.store.map(|s| ("store", s)));
    flags.extend(cli.queue.map(|q| ("queue", q)));
    flags.extend(cli.slots.map(|n| ("worker.slots", n.to_string())));
    let settings = Settings::load(cli.config.as_deref(), &flags)?;
    if let Some(Command::Health { ready, .. }) = cli.command {
        let file = settings
            .worker
            .heartbeat_file
            .ok_or_else(|| Error::invalid("there is no heartbeat to look at: set worker.heartbeat_file"))?;
        return heartbeat::check(&file, ready);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let kinds: Vec<WorkKind> = cli
        .kinds
        .iter()
        .map(|k| match k {
            Kind::Extract => WorkKind::Extract,
            Kind::Train => WorkKind::Train,
        })
        .collect();
    let worked = runtime.block_on(work(settings, &kinds));
    // A stopped decode or training may still occupy a thread: do not wait for it.
    runtime.shutdown_background();
    worked
}

/// How long a worker waits at its start for an unreachable broker.
const BROKER_WAIT: Duration = Duration::from_secs(300);

/// Pause between two tries to reach the broker.
const BROKER_PAUSE: Duration = Duration::from_secs(2);

/// Opens the queue, waiting for an unreachable broker; None where `stop` is cancelled meanwhile.
async fn open_queue(settings: &Settings, stop: &CancellationToken) -> Result<Option<Arc<dyn Queue>>> {
    let began = Instant::now();
    loop {
        let error = match queue::open(&settings.queue, &settings.rabbitmq).await {
            Ok(queue) => return Ok(Some(queue)),
            Err(error) if error.kind().is_transient() && began.elapsed() < BROKER_WAIT => error,
            Err(error) => return Err(error),
        };
        tracing::warn!(error = %error.chain(), "cannot reach the broker yet: trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(BROKER_PAUSE) => {}
        }
    }
}

async fn work(settings: Settings, kinds: &[WorkKind]) -> Result<()> {
    if settings.queue == "memory:" {
        return Err(Error::invalid(
            "jhalak-worker needs a broker: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak run`, which needs none",
        ));
    }
    let stop = shutdown::on_signal()?;
    let ready = CancellationToken::new();
    let ended = CancellationToken::new();
    let beating = settings.worker.heartbeat_file.clone().map(|file| {
        let (ready, ended) = (ready.clone(), ended.clone());
        tokio::spawn(async move { heartbeat::beat(&file, ready, ended).await })
    });
    let models = if kinds.contains(&WorkKind::Extract) {
        let registry = Registry::load(settings.models.registry.as_deref())?;
        let models = Models::open(&settings, registry)?;
        models.load_chosen(&settings)?;
        Some(models)
    } else {
        None
    };
    let store = store::open(&settings.store, &settings.s3).await?;
    let Some(queue) = open_queue(&settings, &stop).await? else { return Ok(()) };
    tracing::info!(store = %store.url(), queue = %redact_url(&settings.queue), ?kinds, "worker started");
    let context = Arc::new(Context::new(store, settings.clone(), models)?);
    let worker = Arc::new(Worker::new(queue.clone(), context, &settings));
    ready.cancel();
    let worked = worker.run(kinds, stop).await;
    queue.close().await;
    ended.cancel();
    if let Some(beating) = beating {
        // A panic of the heartbeat does not change how the worker ended.
        let _ = beating.await;
    }
    tracing::info!("worker stopped");
    worked
}
