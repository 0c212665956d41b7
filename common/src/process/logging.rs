//! Logging on stderr: each line can be read alone and carries its fields and those of its span;
//! JSON for machines.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// The format of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people.
    #[default]
    Text,
    /// One JSON object per line, with the fields of its spans in `spans`, outermost first.
    Json,
}

/// Starts logging to `writer`. `verbosity` 0 shows warnings, 1 progress, 2 and more details; the
/// environment variable `RUST_LOG` overrides it, except for libraries whose details hold
/// credentials. Each program calls this once; a second call changes nothing.
pub fn start<W>(verbosity: u8, format: LogFormat, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Targets match by prefix: `jhalak` stands for every crate of the workspace. lapin logs lost
    // connections as errors and returned messages with their bodies; the queue logs both itself,
    // with fields.
    let level = match verbosity {
        // The coordinator prints each quarantined job; workers log at 1 and above.
        0 => "warn,lapin=off,jhalak_worker::job_quarantined=off",
        1 => "warn,lapin=off,jhalak=info",
        _ => "info,lapin=off,jhalak=debug",
    };
    let filter = keep_quiet(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level)));
    // A second call fails: the first subscriber stays.
    let _ = match format {
        LogFormat::Json => json_lines(filter, writer).try_init(),
        LogFormat::Text => {
            let is_terminal = std::io::stderr().is_terminal();
            text_lines(filter, writer, is_terminal).try_init()
        }
    };
}

/// Returns the subscriber of [`LogFormat::Text`].
fn text_lines<W>(filter: EnvFilter, writer: W, is_terminal: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(OneLine(writer));
    builder.with_ansi(is_terminal).with_target(false).finish()
}

/// Writes each event as one line: a name with a line feed in it begins no line of its own, which
/// would read as another event.
struct OneLine<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLine<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLine(self.0.make_writer())
    }

    fn make_writer_for(&'a self, metadata: &tracing::Metadata<'_>) -> Self::Writer {
        OneLine(self.0.make_writer_for(metadata))
    }
}

impl<W: Write> Write for OneLine<W> {
    /// Takes one whole event, as the subscriber writes it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        // In one piece: other processes may write to the same file.
        let whole = match line.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            true => Cow::Owned(String::from_utf8_lossy(line).replace('\n', "\\n").replace('\r', "\\r") + "\n"),
            false => String::from_utf8_lossy(event),
        };
        self.0.write_all(whole.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Libraries whose details hold credentials: signed headers, the broker's login. No level shows
/// those.
const SECRETIVE: [&str; 12] = [
    "lapin=off",
    "amq_protocol=off",
    "async_rs=off",
    "aws_config=error",
    "aws_credential_types=warn",
    "aws_runtime=warn",
    "aws_sdk_s3=warn",
    "aws_sigv4=warn",
    "aws_smithy_runtime=warn",
    "aws_smithy_runtime_api=warn",
    "hyper=warn",
    "hyper_util=warn",
];

fn keep_quiet(mut filter: EnvFilter) -> EnvFilter {
    for directive in SECRETIVE {
        if let Ok(directive) = directive.parse() {
            filter = filter.add_directive(directive);
        }
    }
    filter
}

/// Returns the subscriber of [`LogFormat::Json`]. The innermost span stands in the list of spans
/// only, so that no field is written twice.
fn json_lines<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    builder.json().flatten_event(true).with_current_span(false).with_span_list(true).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic while writing").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_whatever_its_fields_hold() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = text_lines(EnvFilter::new("info"), move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(file = %"a\n2026-01-01 ERROR forged\r.mp4", "cannot decode");
            tracing::warn!("next");
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic while writing").clone()).expect("UTF-8");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("a\\n2026-01-01 ERROR forged\\r.mp4"), "{text}");
    }

    #[test]
    fn json_line_holds_each_field_of_its_spans_once() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = json_lines(EnvFilter::new("info"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            let _run = tracing::error_span!("run", run = "r-1").entered();
            let _job = tracing::error_span!("job", job = "j-2").entered();
            tracing::warn!(file = "a.mp4", "cannot decode");
        });
        let text = String::from_utf8(lines.0.lock().expect("no panic while writing").clone()).expect("UTF-8");
        for field in ["r-1", "j-2", "a.mp4"] {
            assert_eq!(text.matches(field).count(), 1, "{field}: {text}");
        }
        let line: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!((&line["spans"][0]["run"], &line["spans"][1]["job"]), (&"r-1".into(), &"j-2".into()));
        assert_eq!((&line["message"], &line["file"]), (&"cannot decode".into(), &"a.mp4".into()));
    }
}
