//! Logging on stderr: each line can be read alone and carries its fields and those of its span;
//! JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object a line, with the fields of the innermost span in `span` and all spans in
    /// `spans`, outermost first.
    Json,
}

/// Starts logging to `writer`. `verbosity` 0 shows warnings, 1 progress, 2 and more details; the
/// environment variable `RUST_LOG` overrides it. Each program calls this once; a second call
/// changes nothing.
pub fn start<W>(verbosity: u8, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Targets match by prefix: `jhalak` stands for every crate of the workspace. lapin logs lost
    // connections as errors and returned messages with their bodies; the queue logs both itself,
    // with fields.
    let level = match verbosity {
        0 => "warn,lapin=off",
        1 => "warn,lapin=off,jhalak=info",
        _ => "info,lapin=off,jhalak=debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // A second call fails: the first subscriber stays.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(true).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
    };
}
