//! `jhalak-worker`: processes jobs from RabbitMQ until it is stopped.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use jhalak_common::models::Registry;
use jhalak_common::process::logging::{self, LogFormat};
use jhalak_common::process::{exit, forbid_core_dumps, forbid_library_telemetry, shutdown};
use jhalak_common::queue::{self, WorkKind};
use jhalak_common::redact::{has_password, redact_url};
use jhalak_common::settings::Settings;
use jhalak_common::telemetry::health::Health;
use jhalak_common::telemetry::metric::Program;
use jhalak_common::telemetry::{list, otlp, server};
use jhalak_common::{Error, ErrorKind, Result, store};
use jhalak_worker::detect::trial;
use jhalak_worker::inference::Models;
use jhalak_worker::job_loop::{Worker, WorkerLimits};
use jhalak_worker::jobs::Context;
use jhalak_worker::{heartbeat, media};
use tokio_util::sync::CancellationToken;

/// Process jobs: decode trailers, compute embeddings, evaluate models
///
/// Runs until SIGTERM or SIGINT. Then running jobs get a grace period (setting worker.grace_ms) to finish; jobs that do
/// not finish in time return to the queue. A second signal ends the worker at once.
///
/// Exit codes: 0 success, 1 internal error (a bug), 2 usage error, 3 invalid input, 5 service unreachable, 6 this
/// machine cannot do the jobs (scratch folder, model, version), 7 disk or store full, 130 interrupted
#[derive(Parser)]
#[command(
    name = "jhalak-worker",
    version,
    after_help = "Examples:
  # Process jobs of a broker and a store on this machine
  jhalak-worker --queue amqp://localhost --store .local/store
  # Only decode and embed, four jobs in parallel
  jhalak-worker --kinds extract --slots 4 --queue amqp://localhost"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Kinds of jobs to process, separated by commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "extract,train",
        value_name = "KINDS",
        help_heading = "Work"
    )]
    kinds: Vec<Kind>,
    /// Number of jobs in parallel
    ///
    /// [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Work")]
    slots: Option<usize>,
    /// Stop after SECONDS without a job
    #[arg(long, value_name = "SECONDS", help_heading = "Work")]
    until_idle: Option<u64>,
    /// Stop after taking N jobs
    #[arg(long, value_name = "N", help_heading = "Work")]
    max_jobs: Option<u64>,
    /// Stop after running for SECONDS
    #[arg(long, value_name = "SECONDS", help_heading = "Work")]
    max_age: Option<u64>,
    /// Location of artifacts: a path, file:///path or s3://bucket/prefix
    ///
    /// [default: .local/store]
    #[arg(long, value_name = "URL", help_heading = "Settings")]
    store: Option<String>,
    /// Message queue: amqp://user:password@host:port/vhost
    ///
    /// Prefer the environment variable JHALAK__QUEUE, which keeps the password out of the process list.
    #[arg(long, value_name = "URL", help_heading = "Settings")]
    queue: Option<String>,
    /// Configuration file (TOML)
    ///
    /// Environment variables (JHALAK__SECTION__KEY) override the file, and options override both.
    #[arg(
        long,
        global = true,
        env = "JHALAK_CONFIG",
        hide_env_values = true,
        value_name = "FILE",
        help_heading = "Settings"
    )]
    config: Option<PathBuf>,
    /// Increase log verbosity: -v logs progress, -vv details
    #[arg(short, long, action = clap::ArgAction::Count, help_heading = "Logging")]
    verbose: u8,
    /// Log as JSON
    #[arg(long, help_heading = "Logging")]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Check the worker on this machine, for a health probe
    ///
    /// Reads the heartbeat file (setting worker.heartbeat_file). Exits with 0 if the worker is healthy.
    #[command(after_help = "Examples:
  # Check that the worker is alive
  jhalak-worker health --live
  # Check that it accepts jobs
  jhalak-worker health --ready")]
    Health {
        /// Check that the worker accepts jobs
        #[arg(long, conflicts_with = "live", help_heading = "Check")]
        ready: bool,
        /// Check that the worker is alive; implied without --ready
        #[arg(long, help_heading = "Check")]
        live: bool,
    },
    /// Decode one trailer for a job; started by workers
    #[command(hide = true)]
    DecodeChild,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Decoding of trailers and embeddings
    Extract,
    /// Training and evaluation of models
    Train,
}

fn main() -> ExitCode {
    forbid_library_telemetry();
    let cli = Cli::parse();
    if matches!(cli.command, Some(Command::DecodeChild)) {
        return media::run_child();
    }
    forbid_core_dumps();
    let format = if cli.json { LogFormat::Json } else { LogFormat::Text };
    logging::start(cli.verbose.max(1), format, std::io::stderr);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report("jhalak-worker", &error),
    }
}

fn run(cli: Cli) -> Result<()> {
    let limits = WorkerLimits {
        until_idle: cli.until_idle.map(Duration::from_secs),
        max_jobs: cli.max_jobs,
        max_age: cli.max_age.map(Duration::from_secs),
    };
    if cli.queue.as_deref().is_some_and(has_password) {
        eprintln!("jhalak-worker: every user of this machine sees the password in --queue: set JHALAK__QUEUE instead");
    }
    let mut flags = Vec::new();
    flags.extend(cli.store.map(|s| ("store".to_owned(), s)));
    flags.extend(cli.queue.map(|q| ("queue".to_owned(), q)));
    flags.extend(cli.slots.map(|n| ("worker.slots".to_owned(), n.to_string())));
    let settings = Settings::load(cli.config.as_deref(), &flags)?;
    if let Some(Command::Health { ready, .. }) = cli.command {
        let file = settings
            .worker
            .heartbeat_file
            .ok_or_else(|| Error::invalid("no heartbeat file: set worker.heartbeat_file"))?;
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
    let exporting = otlp::start("jhalak-worker")?;
    let worked = runtime.block_on(work(settings, &kinds, limits));
    // A stopped decode or training may still occupy a thread: do not wait for it.
    runtime.shutdown_background();
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    worked
}

/// How long a worker waits at its start for an unreachable broker, or a store that does not take
/// writes.
const START_WAIT: Duration = Duration::from_secs(300);

/// Pause between two tries to reach them.
const START_PAUSE: Duration = Duration::from_secs(2);

/// Checks that the worker can work, waiting for a store that does not answer or refuses (credentials
/// are often renewed in minutes). False where `stop` is cancelled meanwhile.
async fn check(worker: &Worker, stop: &CancellationToken) -> Result<bool> {
    let began = Instant::now();
    loop {
        let error = match worker.check().await {
            Ok(()) => return Ok(true),
            Err(error) => error,
        };
        let is_of_store = error.kind().is_transient() || error.kind() == ErrorKind::Permission;
        if !is_of_store || began.elapsed() > START_WAIT {
            return Err(error.context("this worker cannot work"));
        }
        tracing::warn!(error = %error.chain(), "the store cannot be written yet: trying again");
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(START_PAUSE) => {}
        }
    }
}

async fn work(settings: Settings, kinds: &[WorkKind], limits: WorkerLimits) -> Result<()> {
    if settings.queue == "memory:" {
        return Err(Error::invalid(
            "jhalak-worker needs a broker: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak run`, which needs none",
        ));
    }
    let stop = shutdown::on_signal()?;
    // Set once the worker takes jobs.
    let ready: Arc<OnceLock<Arc<Worker>>> = Arc::default();
    let ended = CancellationToken::new();
    let health = {
        let ready = ready.clone();
        move || ready.get().map_or(Health::NotReady, |worker| worker.observe())
    };
    let beating = settings.worker.heartbeat_file.clone().map(|file| {
        let (health, ended) = (health.clone(), ended.clone());
        tokio::spawn(async move { heartbeat::beat(&file, health, ended).await })
    });
    list::BUILD_INFO.set(&[env!("CARGO_PKG_VERSION"), settings.inference.provider.name()], 1.0);
    list::CONSUMER_TIMEOUT.set(&[], settings.rabbitmq.consumer_timeout_ms as f64 / 1_000.0);
    let server = server::serve(settings.telemetry.listen.as_deref(), Program::Worker, health).await?;
    let models = if kinds.contains(&WorkKind::Extract) {
        let registry = Registry::load(settings.models.registry.as_deref())?;
        let opened = Models::open(&settings, registry).and_then(|models| {
            trial::try_chosen(&models, &settings)?;
            Ok(models)
        });
        // A missing or broken file may be there on another machine.
        Some(opened.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::NotFound => {
                Error::unable("this worker cannot work").with_source(error)
            }
            _ => error,
        })?)
    } else {
        None
    };
    let store = store::open(&settings.store, &settings.s3).await?;
    let waits = |error: &Error| tracing::warn!(error = %error.chain(), "cannot reach the broker yet: trying again");
    let queue = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        queue = queue::open_within(&settings.queue, &settings.rabbitmq, START_WAIT, waits) => queue?,
    };
    tracing::info!(store = %store.url(), queue = %redact_url(&settings.queue), ?kinds, "worker started");
    let context = Arc::new(Context::new(store, settings.clone(), models)?);
    let worker = Arc::new(Worker::new(queue.clone(), context, &settings)?.with_limits(limits));
    if !check(&worker, &stop).await? {
        queue.close().await;
        return Ok(());
    }
    // Set here alone.
    let _ = ready.set(worker.clone());
    let worked = worker.run(kinds, stop).await;
    queue.close().await;
    ended.cancel();
    if let Some(beating) = beating {
        // A panic of the heartbeat does not change how the worker ended.
        let _ = beating.await;
    }
    if let Some(server) = server {
        server.last_scrape(Duration::from_millis(settings.telemetry.last_scrape_ms)).await;
    }
    tracing::info!("worker stopped");
    worked
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent_and_its_examples_parse() {
        let root = Cli::command();
        root.clone().debug_assert();
        let health = root.find_subcommand("health").expect("a command");
        for page in [&root, health] {
            let help = page.get_after_help().map(ToString::to_string).unwrap_or_default();
            let commands: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  jhalak-worker")).collect();
            assert_eq!(commands.len(), 2, "{help}");
            for command in commands {
                let words = std::iter::once("jhalak-worker").chain(command.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{command}: {error}");
                }
            }
        }
    }
}
