//! Counters, gauges and histograms whose label sets are known when the program is compiled, and
//! their text form for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A label and its values.
#[derive(Debug)]
pub struct Label {
    /// The label's name.
    pub name: &'static str,
    /// The values that it takes.
    pub values: Values,
}

/// The values of a label.
#[derive(Debug, PartialEq, Eq)]
pub enum Values {
    /// These alone. Another value is a bug: counted as [`OTHER`], and a panic in debug builds.
    Closed(&'static [&'static str]),
    /// Names from outside whose number is bounded, and by what.
    Bounded(&'static str),
}

/// The value of a label that is not in its closed set.
pub const OTHER: &str = "other";

/// Series of one metric: values of a bounded label beyond this are not recorded.
const MAX_SERIES: usize = 500;

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution over buckets with these upper bounds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Returns the name in Prometheus' text form.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// Which program exposes a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `jhalak-worker`.
    Worker,
    /// `jhalak submit`, and `jhalak run` where it is asked to.
    Coordinator,
    /// `jhalak serve`.
    Page,
    /// Each of them.
    Both,
}

impl Program {
    /// Whether a metric of `self` is exposed by `program`.
    fn is_of(self, program: Program) -> bool {
        self == Program::Both || program == Program::Both || self == program
    }
}

/// A metric: its name, labels and help, and its series.
#[derive(Debug)]
pub struct Metric {
    /// The name, with its unit, and `_total` for counters.
    pub name: &'static str,
    /// The measured quantity.
    pub kind: Kind,
    /// Which program exposes it.
    pub program: Program,
    /// Its labels.
    pub labels: &'static [&'static Label],
    /// One line of help.
    pub help: &'static str,
    series: Mutex<BTreeMap<Vec<String>, Series>>,
}

/// The recorded values of one set of labels.
#[derive(Debug, Clone, Default)]
struct Series {
    /// The value, or the sum of a histogram's observations.
    value: f64,
    /// Observations by bucket, the last one beyond every bound.
    buckets: Vec<u64>,
}

/// See [`Kind::Counter`].
#[derive(Debug)]
pub struct Counter(pub Metric);

/// See [`Kind::Gauge`].
#[derive(Debug)]
pub struct Gauge(pub Metric);

/// See [`Kind::Histogram`].
#[derive(Debug)]
pub struct Histogram(pub Metric);

impl Metric {
    /// Creates a metric without series.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        program: Program,
        labels: &'static [&'static Label],
        help: &'static str,
    ) -> Metric {
        Metric { name, kind, program, labels, help, series: Mutex::new(BTreeMap::new()) }
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Series>> {
        // No code that holds the lock can panic halfway through a change.
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the series with these values, in the order of the labels.
    fn change(&self, values: &[&str], change: impl FnOnce(&mut Series)) {
        debug_assert_eq!(values.len(), self.labels.len(), "{} has other labels", self.name);
        let key: Vec<String> = self.labels.iter().zip(values).map(|(label, value)| label.known(value)).collect();
        let mut series = self.series();
        if series.len() < MAX_SERIES || series.contains_key(&key) {
            change(series.entry(key).or_default());
        }
    }

    /// Returns the series to expose: the recorded ones and, of a counter with closed labels, zero
    /// for every other one, so that its first increase is seen.
    fn exposed(&self) -> BTreeMap<Vec<String>, Series> {
        let mut exposed = BTreeMap::new();
        if self.kind == Kind::Counter {
            let mut keys: Vec<Vec<String>> = vec![Vec::new()];
            for label in self.labels {
                let Values::Closed(values) = label.values else { return self.series().clone() };
                keys = keys
                    .into_iter()
                    .flat_map(|key| values.iter().map(move |value| [key.clone(), vec![value.to_string()]].concat()))
                    .collect();
            }
            exposed.extend(keys.into_iter().map(|key| (key, Series::default())));
        }
        exposed.extend(self.series().clone());
        exposed
    }

    fn write(&self, text: &mut String) {
        let exposed = self.exposed();
        if exposed.is_empty() {
            return;
        }
        let (name, kind) = (self.name, self.kind.name());
        // Writing to a string never fails.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", self.help);
        for (values, series) in exposed {
            let named = self.labels.iter().map(|label| label.name).zip(values.iter().map(String::as_str));
            let named: Vec<(&str, &str)> = named.collect();
            let Kind::Histogram(bounds) = self.kind else {
                let _ = writeln!(text, "{name}{} {}", braces(&named, None), series.value);
                continue;
            };
            let mut count = 0;
            let ends = bounds.iter().map(f64::to_string).chain(["+Inf".to_string()]);
            for (end, in_bucket) in ends.zip(&series.buckets) {
                count += in_bucket;
                let _ = writeln!(text, "{name}_bucket{} {count}", braces(&named, Some(&end)));
            }
            let _ = writeln!(text, "{name}_sum{0} {1}\n{name}_count{0} {count}", braces(&named, None), series.value);
        }
    }
}

impl Label {
    fn known(&self, value: &str) -> String {
        match self.values {
            Values::Closed(values) if !values.contains(&value) => {
                debug_assert!(false, "`{value}` is not a value of the label {}", self.name);
                OTHER.to_string()
            }
            _ => value.to_string(),
        }
    }
}

impl Counter {
    /// Creates a counter.
    pub const fn new(
        name: &'static str,
        program: Program,
        labels: &'static [&'static Label],
        help: &'static str,
    ) -> Counter {
        Counter(Metric::new(name, Kind::Counter, program, labels, help))
    }

    /// Adds to the series with these values, in the order of the labels. What is not positive adds
    /// nothing.
    pub fn add(&self, values: &[&str], amount: f64) {
        if amount > 0.0 {
            self.0.change(values, |series| series.value += amount);
        }
    }

    /// Adds one.
    pub fn increment(&self, values: &[&str]) {
        self.add(values, 1.0);
    }
}

impl Gauge {
    /// Creates a gauge.
    pub const fn new(
        name: &'static str,
        program: Program,
        labels: &'static [&'static Label],
        help: &'static str,
    ) -> Gauge {
        Gauge(Metric::new(name, Kind::Gauge, program, labels, help))
    }

    /// Sets the series with these values, in the order of the labels.
    pub fn set(&self, values: &[&str], value: f64) {
        self.0.change(values, |series| series.value = value);
    }

    /// Removes every series: what they measured has ended.
    pub fn clear(&self) {
        self.0.series().clear();
    }
}

impl Histogram {
    /// Creates a histogram.
    pub const fn new(
        name: &'static str,
        bounds: &'static [f64],
        program: Program,
        labels: &'static [&'static Label],
        help: &'static str,
    ) -> Histogram {
        Histogram(Metric::new(name, Kind::Histogram(bounds), program, labels, help))
    }

    /// Takes an observation into the series with these values, in the order of the labels.
    pub fn observe(&self, values: &[&str], value: f64) {
        let Kind::Histogram(bounds) = self.0.kind else { return };
        self.0.change(values, |series| {
            series.buckets.resize(bounds.len() + 1, 0);
            let bucket = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
            series.buckets[bucket] += 1;
            series.value += value;
        });
    }
}

/// Returns the metrics that `program` exposes, in the text form of Prometheus (0.0.4).
pub fn text(metrics: &[&Metric], program: Program) -> String {
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| metric.program.is_of(program)) {
        metric.write(&mut text);
    }
    text
}

fn braces(labels: &[(&str, &str)], le: Option<&str>) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value)));
    let labels: Vec<String> = labels.chain(le.map(|end| format!("le=\"{end}\""))).collect();
    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLOUR: Label = Label { name: "colour", values: Values::Closed(&["red", "green"]) };
    static FILM: Label = Label { name: "film", values: Values::Bounded("the films of this test") };

    #[test]
    fn a_counter_of_closed_labels_shows_zero_before_its_first_increase() {
        static SEEN: Counter = Counter::new("seen_total", Program::Both, &[&COLOUR], "Seen.");
        SEEN.increment(&["green"]);
        SEEN.add(&["green"], 0.5);
        SEEN.add(&["green"], f64::NAN);
        SEEN.add(&["green"], -1.0);
        let expected = "# HELP seen_total Seen.\n# TYPE seen_total counter\n\
                        seen_total{colour=\"green\"} 1.5\nseen_total{colour=\"red\"} 0\n";
        assert_eq!(text(&[&SEEN.0], Program::Worker), expected);
    }

    #[test]
    fn buckets_count_everything_up_to_their_bound() {
        static TOOK: Histogram = Histogram::new("took_seconds", &[0.1, 1.0], Program::Both, &[], "Took.");
        for seconds in [0.05, 0.1, 0.5, 7.0] {
            TOOK.observe(&[], seconds);
        }
        let text = text(&[&TOOK.0], Program::Both);
        for line in [
            "took_seconds_bucket{le=\"0.1\"} 2",
            "took_seconds_bucket{le=\"1\"} 3",
            "took_seconds_bucket{le=\"+Inf\"} 4",
            "took_seconds_sum 7.65",
            "took_seconds_count 4",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_hostile_label_value_stays_one_value() {
        static SHOWN: Gauge = Gauge::new("shown", Program::Coordinator, &[&FILM], "Shown.");
        SHOWN.set(&["a\"} 9\nevil 1 \\"], 2.0);
        let of_coordinator = text(&[&SHOWN.0], Program::Coordinator);
        assert_eq!(of_coordinator.lines().last(), Some(r#"shown{film="a\"} 9\nevil 1 \\"} 2"#));
        assert_eq!(text(&[&SHOWN.0], Program::Worker), "");
        SHOWN.clear();
        assert_eq!(text(&[&SHOWN.0], Program::Coordinator), "");
    }

    #[test]
    fn names_from_outside_cannot_fill_the_memory() {
        static MANY: Gauge = Gauge::new("many", Program::Both, &[&FILM], "Many.");
        for film in 0..2 * MAX_SERIES {
            MANY.set(&[&film.to_string()], 1.0);
        }
        assert_eq!(MANY.0.series().len(), MAX_SERIES);
    }
}
