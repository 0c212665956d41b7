//! Shows the work of a process to others: metrics for Prometheus, probes, and traces for
//! OpenTelemetry. Logs are in [`crate::process::logging`].
//!
//! Every metric is in [`list`], with its labels and their values; the code that does the work
//! records it there. Only [`metric::Metric`] knows the text form.

pub mod health;
#[expect(missing_docs, reason = "the help of a metric is its documentation")]
pub mod list;
pub mod metric;
pub mod otlp;
mod process;
pub mod server;
pub mod trace;
