//! `jhalak`: turns movie trailers and viewers' feedback into embeddings, a preference classifier
//! and a report.

use std::process::ExitCode;

use clap::Parser;
use jhalak_common::process::logging::{self, LogFormat};
use jhalak_common::process::{exit, forbid_core_dumps};
use jhalak_common::settings::{Settings, has_password};
use jhalak_common::telemetry::otlp;
use jhalak_coordinator::commands::{Cli, Command};
use jhalak_coordinator::console::output::Output;
use jhalak_coordinator::console::progress::Progress;

fn main() -> ExitCode {
    let cli = Cli::parse();
    #[cfg(feature = "local")]
    if matches!(cli.command, Command::DecodeChild) {
        return jhalak_worker::media::run_child();
    }
    forbid_core_dumps();
    let progress = Progress::new(cli.global.quiet);
    if cli.global.queue.as_deref().is_some_and(has_password) {
        progress.say("every user of this machine sees the password in --queue: set JHALAK__QUEUE instead");
    }
    let format = if cli.global.json { LogFormat::Json } else { LogFormat::Text };
    logging::start(cli.global.verbose, format, progress.log_writer());
    match run(cli, progress) {
        Ok(code) => ExitCode::from(code),
        Err(error) => exit::report("jhalak", &error),
    }
}

fn run(cli: Cli, progress: Progress) -> jhalak_common::Result<u8> {
    let settings = Settings::load(cli.global.config.as_deref(), &cli.flags())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = Output { json: cli.global.json, progress };
    // Other commands have no trace, and must not fail for its variables.
    let exporting = match cli.command {
        Command::Submit(_) => otlp::start("jhalak")?,
        #[cfg(feature = "local")]
        Command::Run(_) => otlp::start("jhalak")?,
        _ => None,
    };
    let code = runtime.block_on(cli.command.execute(settings, output, cli.global.store.as_deref()));
    // A cancelled decode or training may still hold a thread: the process ends without it.
    runtime.shutdown_background();
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    code
}
