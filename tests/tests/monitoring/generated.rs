//! Alert rules, dashboard and documentation are those of the list of metrics.

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::telemetry::list;
use jhalak_common::telemetry::metric::{Kind, Values};
use jhalak_tests::monitoring::{self, OF_OTHERS, dashboard, rules};
use jhalak_tests::prometheus::promtool;
use jhalak_tests::repository;
use serde_json::Value;

/// Holds a committed file to what is generated; with JHALAK_WRITE_MONITORING it is written.
fn assert_current(path: &str, generated: &str) {
    let file = repository().join(path);
    if std::env::var_os("JHALAK_WRITE_MONITORING").is_some() {
        std::fs::write(&file, generated).expect("the repository can be written");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "{path} is not current: JHALAK_WRITE_MONITORING=1 scripts/test.sh --test monitoring generated"
    );
}

#[test]
fn rules_and_dashboard_are_current() {
    assert_current("monitoring/rules.yaml", &rules::file());
    assert_current("k8s/components/monitoring/rules.yaml", &rules::object());
    assert_current("k8s/components/monitoring/dashboard.json", &dashboard::file());
}

#[test]
fn documentation_lists_every_metric_and_label() {
    let path = "docs/operations.md";
    let mut text = std::fs::read_to_string(repository().join(path)).expect("a document");
    for (mark, table) in [("metrics", monitoring::metrics()), ("labels", monitoring::labels())] {
        let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
        let from = text.find(&begin).expect("a mark") + begin.len();
        let to = text.find(&end).expect("a mark");
        text.replace_range(from..to, &table);
    }
    for alert in rules::alerts() {
        assert!(text.contains(&format!("`{}`", alert.name)), "{path} does not explain {}", alert.name);
    }
    assert_current(path, &text);
}

/// The anchor that the documents' headings have.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn each_alert_has_its_section_of_the_runbook() {
    let path = "docs/runbook.md";
    let text = std::fs::read_to_string(repository().join(path)).expect("a document");
    let sections: BTreeSet<String> = text.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    for alert in rules::alerts() {
        assert!(sections.contains(alert.runbook), "{path} has no section {} for {}", alert.runbook, alert.name);
        let row = format!("| `{}` |", alert.name);
        let row = text.lines().find(|line| line.starts_with(&row));
        let row = row.unwrap_or_else(|| panic!("the table of {path} lacks {}", alert.name));
        assert!(row.contains(&format!("](#{})", alert.runbook)), "{row} does not lead to {}", alert.runbook);
    }
}

#[test]
fn promtool_accepts_the_rules_and_their_unit_tests() {
    let folder = repository().join("monitoring");
    let said = promtool(&["check", "rules", "rules.yaml"], &folder, "");
    assert!(said.contains(&format!("{} rules found", rules::alerts().len())), "{said}");
    promtool(&["test", "rules", "rules_test.yaml"], &folder, "");
    let tests = std::fs::read_to_string(folder.join("rules_test.yaml")).expect("a file");
    for alert in rules::alerts() {
        assert!(tests.contains(&format!("alertname: {}", alert.name)), "no unit test of {}", alert.name);
    }
}

/// The series and labels that exist, by name: those of the list, and those of others.
fn known() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut known = BTreeMap::new();
    for metric in list::ALL {
        let labels: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        match metric.kind {
            Kind::Histogram(_) => {
                for end in ["_bucket", "_sum", "_count"] {
                    let le = (end == "_bucket").then_some("le");
                    known.insert(format!("{}{end}", metric.name), labels.iter().copied().chain(le).collect());
                }
            }
            _ => drop(known.insert(metric.name.to_string(), labels)),
        }
    }
    known
}

/// Labels that Prometheus or others add.
const ADDED: [&str; 7] = ["namespace", "instance", "pod", "container", "cronjob", "alertname", "alertstate"];

/// Words of PromQL, and the functions in use.
const WORDS: [&str; 21] = [
    "sum",
    "max",
    "min",
    "count",
    "by",
    "on",
    "group_left",
    "unless",
    "and",
    "or",
    "rate",
    "increase",
    "histogram_quantile",
    "time",
    "s",
    "m",
    "h",
    "label_values",
    "without",
    "avg",
    "bool",
];

/// The identifiers of an expression outside of quotes, and whether each is within braces or a list
/// of labels.
fn identifiers(expr: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut in_quotes, mut depth, mut in_list) = (false, 0, false);
    let mut word = String::new();
    for c in expr.chars().chain([' ']) {
        if !in_quotes && (c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$') {
            word.push(c);
            continue;
        }
        let is_number = word.starts_with(|c: char| c.is_ascii_digit() || c == '$');
        if !word.is_empty() && !is_number {
            found.push((word.clone(), depth > 0 || in_list));
        }
        match c {
            '"' => in_quotes = !in_quotes,
            '{' if !in_quotes => depth += 1,
            '}' if !in_quotes => depth -= 1,
            '(' if !in_quotes && matches!(word.as_str(), "by" | "on" | "group_left" | "without") => in_list = true,
            ')' if !in_quotes => in_list = false,
            _ => {}
        }
        // `by (x)`: the blank between does not end the word.
        if c != ' ' || !matches!(word.as_str(), "by" | "on" | "group_left" | "without") {
            word.clear();
        } else {
            let kept = std::mem::take(&mut word);
            found.pop();
            found.push((kept.clone(), false));
            in_list = true;
        }
    }
    found
}

/// Checks the names, the labels and the values of labels of an expression.
fn assert_known(place: &str, expr: &str) {
    let known = known();
    let all_labels: BTreeSet<&str> = known.values().flatten().copied().chain(ADDED).collect();
    for (word, is_label) in identifiers(expr) {
        if is_label {
            assert!(all_labels.contains(word.as_str()), "{place}: there is no label {word}: {expr}");
        } else {
            let is_metric = known.contains_key(&word) || OF_OTHERS.iter().any(|(name, _)| *name == word);
            assert!(is_metric || WORDS.contains(&word.as_str()), "{place}: there is no metric {word}: {expr}");
        }
    }
    // Each selector's labels are of its own metric, and its values of their closed sets.
    for (name, labels) in &known {
        for (at, _) in expr.match_indices(&format!("{name}{{")) {
            let selector = expr[at..].split_once('}').map_or("", |(selector, _)| &selector[name.len() + 1..]);
            for matcher in selector.split(", ") {
                let split = matcher.find(['=', '!', '~']).expect("an operator");
                let (label, value) = (&matcher[..split], matcher[split..].trim_matches(['=', '!', '~', '"']));
                assert!(labels.contains(label) || ADDED.contains(&label), "{place}: {name} has no {label}: {expr}");
                let of_list = list::ALL.iter().filter(|metric| name.starts_with(metric.name));
                let of_list = of_list.flat_map(|metric| metric.labels).find(|l| l.name == label);
                if let Some(Values::Closed(values)) = of_list.map(|label| &label.values) {
                    for one in value.split('|') {
                        assert!(values.contains(&one), "{place}: {label} is never {one}: {expr}");
                    }
                }
            }
        }
    }
}

#[test]
fn every_expression_uses_known_names_labels_and_values() {
    for alert in rules::alerts() {
        assert_known(alert.name, &alert.expr);
    }
    for row in dashboard::rows() {
        for panel in row.panels {
            for (expr, legend) in &panel.queries {
                assert_known(panel.title, expr);
                for label in legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()) {
                    assert!(expr.contains(label), "{}: the legend's {label} is not in {expr}", panel.title);
                }
            }
        }
    }
    // The check itself sees a wrong name, label and value.
    for wrong in [
        "sum by (kind) (rate(jhalak_worker_jobs_end_total[5m]))",
        "sum by (kinds) (rate(jhalak_worker_jobs_ended_total[5m]))",
        "sum (jhalak_worker_jobs_ended_total{role=\"publishing\"})",
        "sum (jhalak_worker_jobs_ended_total{outcome=\"comitted\"})",
    ] {
        let wrong = wrong.to_string();
        assert!(std::panic::catch_unwind(|| assert_known("wrong", &wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn panels_have_ids_of_their_own_and_do_not_overlap() {
    let dashboard: Value = serde_json::from_str(&dashboard::file()).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("a list");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeMap::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "an id twice: {panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a number");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                let before = taken.insert((x, y), panel["title"].clone());
                assert_eq!(before, None, "{} overlaps", panel["title"]);
            }
        }
    }
    let rows: Vec<&str> =
        panels.iter().filter(|panel| panel["type"] == "row").filter_map(|panel| panel["title"].as_str()).collect();
    assert_eq!(rows, ["Now", "Runs", "Throughput", "Inference", "Store", "Broker", "Resources", "Training"]);
}
