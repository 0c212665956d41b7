//! Generates files from the list of metrics (`common/src/telemetry/list.rs`): alert rules, the
//! dashboard and the table of the documentation. `tests/tests/monitoring/generated.rs` writes the
//! files and holds the committed ones to them.

pub mod dashboard;
pub mod rules;

use jhalak_common::telemetry::list;
use jhalak_common::telemetry::metric::{Metric, Program, Values};

/// Metrics of others that alerts and panels use, with the reason.
pub const OF_OTHERS: [(&str, &str); 4] = [
    (
        "kube_cronjob_status_last_successful_time",
        "kube-state-metrics: a coordinator that did not start cannot say so itself",
    ),
    ("kube_cronjob_created", "kube-state-metrics: the age of a CronJob that never succeeded"),
    ("container_memory_working_set_bytes", "the kubelet: memory as the limit of a container counts it"),
    ("ALERTS", "Prometheus itself: the state of alerts"),
];

/// The selector of the panels: one namespace or all, also where the label does not exist.
pub const NAMESPACE: &str = "namespace=~\"$namespace\"";

/// The name of a metric, and a compile error where there is none.
fn name(metric: &Metric) -> &'static str {
    metric.name
}

/// The metrics for the documentation, as a list in Markdown.
pub fn metrics() -> String {
    let item = |metric: &&Metric| {
        let of = match metric.program {
            Program::Worker => "workers",
            Program::Coordinator => "the coordinator",
            Program::Page => "the page",
            Program::Both => "each",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let by = if labels.is_empty() { String::new() } else { format!("; {}", labels.join(", ")) };
        wrapped(&format!("`{}` ({} of {of}{by}): {}", metric.name, metric.kind.name(), metric.help))
    };
    list::ALL.iter().map(item).collect()
}

/// The labels for the documentation, as a list in Markdown.
pub fn labels() -> String {
    let mut seen: Vec<String> = Vec::new();
    for label in list::ALL.iter().flat_map(|metric| metric.labels) {
        let values = match label.values {
            Values::Closed(values) => values.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
            Values::Bounded(by) => by.to_string(),
        };
        let item = wrapped(&format!("`{}`: {values}", label.name));
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen.concat()
}

/// An item of a list whose lines are at most 118 characters long.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from("-")];
    for word in text.split(' ') {
        if lines.last().is_some_and(|line| line.chars().count() + word.chars().count() > 116) {
            lines.push(String::from(" "));
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}
