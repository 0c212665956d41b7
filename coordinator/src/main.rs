//! `jhalak`: turns movie trailers and viewers' feedback into embeddings, a preference classifier
//! and a report.

use std::process::ExitCode;

use clap::Parser;
use jhalak_common::ErrorKind;
use jhalak_common::process::logging::{self, LogFormat};
use jhalak_common::process::{exit, forbid_core_dumps, forbid_library_telemetry};
use jhalak_common::redact::{has_password, redact_message};
use jhalak_common::settings::Settings;
use jhalak_common::telemetry::otlp;
use jhalak_coordinator::commands::{Cli, Command};
use jhalak_coordinator::console::output::Output;
use jhalak_coordinator::console::progress::Progress;

fn main() -> ExitCode {
    forbid_library_telemetry();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    #[cfg(feature = "local")]
    if matches!(cli.command, Command::DecodeChild) {
        return jhalak_worker::media::run_child();
    }
    forbid_core_dumps();
    let progress = Progress::new(cli.global.quiet);
    if cli.flags().iter().any(|(key, value)| key == "queue" && has_password(value)) {
        progress.say("every user of this machine sees the password in --queue: set JHALAK__QUEUE instead");
    }
    let format = if cli.global.json { LogFormat::Json } else { LogFormat::Text };
    logging::start(cli.global.verbose, format, progress.log_writer());
    let json = cli.global.json;
    match run(cli, progress.clone()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            progress.clear();
            if json {
                print_error(error.kind(), &error.chain());
            }
            exit::report("jhalak", &error)
        }
    }
}

/// Prints clap's message, and with --json also an object; help and version are not errors.
///
/// The message quotes the command line: where a word of it may hold a password, it is printed
/// without that word, and without colours.
fn refuse(error: &clap::Error) -> ExitCode {
    let message = error.render().to_string();
    match redact_message(&message) {
        shown if error.use_stderr() && shown != message => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), shown.as_bytes());
        }
        _ => {
            let _ = error.print();
        }
    }
    if error.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
        print_error(ErrorKind::Usage, error.render().to_string().trim());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
}

/// Prints an error on stdout for programs; people read it on stderr.
fn print_error(kind: ErrorKind, message: &str) {
    use std::io::Write;
    let (message, code) = (redact_message(message), exit::code(kind));
    let error = serde_json::json!({ "error": { "kind": kind, "message": message, "exit_code": code } });
    // A reader that has closed the pipe wants nothing more.
    let _ = writeln!(std::io::stdout(), "{error:#}");
}

fn run(cli: Cli, progress: Progress) -> jhalak_common::Result<u8> {
    let flags = cli.flags();
    let settings = Settings::load(cli.global.config_file().as_deref(), &flags)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let output = Output { json: cli.global.json, progress };
    // Other commands have no trace, and must not fail for its variables.
    let exporting = match cli.command {
        Command::Submit(_) => otlp::start("jhalak")?,
        #[cfg(feature = "local")]
        Command::Run(_) => otlp::start("jhalak")?,
        _ => None,
    };
    let code = runtime.block_on(cli.command.execute(settings, output, &cli.global, &flags));
    // A cancelled decode or training may still hold a thread: the process ends without it.
    runtime.shutdown_background();
    if let Some(exporting) = exporting {
        exporting.finish();
    }
    code
}
