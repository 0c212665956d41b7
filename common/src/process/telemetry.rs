//! Logging: one line that can be read alone, on standard error, with fields; JSON where a machine reads it.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to `writer`. `verbosity` 0 shows warnings, 1 what happens, 2 and more the details; the environment variable
/// `RUST_LOG` overrides it. Called once by each binary; a second call changes nothing.
pub fn start<W>(verbosity: u8, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // `jhalak` matches every crate of the workspace: targets match by prefix.
    // lapin logs lost connections as errors and returned messages with their bodies; the queue logs both itself, with fields.
    let level = match verbosity {
        0 => "warn,lapin=off",
        1 => "warn,lapin=off,jhalak=info",
        _ => "info,lapin=off,jhalak=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second start finds the first subscriber in place: that one stays.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
}
