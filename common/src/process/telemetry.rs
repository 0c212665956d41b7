//! Logging: self-contained lines with fields on stderr, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Starts logging to `writer`. `verbosity` 0 shows warnings, 1 information, 2 and more details; the
/// environment variable `RUST_LOG` overrides it. Each binary calls it once; a second call has no
/// effect.
pub fn start<W>(verbosity: u8, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // `jhalak` matches every crate of the workspace: targets match by prefix.
    // lapin logs lost connections as errors, and returned messages with their bodies. The queue
    // logs both itself, with fields.
    let level = match verbosity {
        0 => "warn,lapin=off",
        1 => "warn,lapin=off,jhalak=info",
        _ => "info,lapin=off,jhalak=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // Fails if a subscriber is already set: that one stays.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
}
