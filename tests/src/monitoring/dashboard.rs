//! The dashboard for Grafana.

use jhalak_common::telemetry::list::*;
use serde_json::{Value, json};

use super::{NAMESPACE, name};

/// One panel: its title, width in 24 columns, kind, unit and queries with their legends.
pub struct Panel {
    /// The title.
    pub title: &'static str,
    /// Columns of 24.
    width: u32,
    kind: &'static str,
    unit: &'static str,
    stack: bool,
    /// Expressions in PromQL, with their legends.
    pub queries: Vec<(String, &'static str)>,
    description: &'static str,
}

/// A row of panels.
pub struct Row {
    /// The title.
    pub title: &'static str,
    /// Its panels, from left to right.
    pub panels: Vec<Panel>,
}

fn stat(title: &'static str, unit: &'static str, query: String, description: &'static str) -> Panel {
    Panel { title, width: 4, kind: "stat", unit, stack: false, queries: vec![(query, "")], description }
}

fn lines(
    title: &'static str,
    unit: &'static str,
    queries: Vec<(String, &'static str)>,
    description: &'static str,
) -> Panel {
    Panel { title, width: 8, kind: "timeseries", unit, stack: false, queries, description }
}

fn stacked(panel: Panel) -> Panel {
    Panel { stack: true, ..panel }
}

/// A rate of a counter over the panel's resolution, summed by these labels.
fn rate(metric: &str, by: &str, selector: &str) -> String {
    let selector = if selector.is_empty() { String::new() } else { format!(", {selector}") };
    format!("sum by ({by}) (rate({metric}{{{NAMESPACE}{selector}}}[$__rate_interval]))")
}

/// A quantile of a histogram, by these labels.
fn quantile(quantile: f64, metric: &str, by: &str) -> String {
    let by = if by.is_empty() { "le".to_string() } else { format!("{by}, le") };
    format!("histogram_quantile({quantile}, {})", rate(&format!("{metric}_bucket"), &by, ""))
}

fn gauge(aggregate: &str, metric: &str, selector: &str) -> String {
    let selector = if selector.is_empty() { String::new() } else { format!(", {selector}") };
    format!("{aggregate} ({metric}{{{NAMESPACE}{selector}}})")
}

/// The rows, from top to bottom.
pub fn rows() -> Vec<Row> {
    let of_run = "run=~\"$run\"";
    let ended = name(&JOBS_ENDED.0);
    let (run_jobs, waiting) = (name(&RUN_JOBS.0), name(&QUEUE_MESSAGES.0));
    let committed = rate(ended, "kind", "outcome=~\"committed|found\"");
    vec![
        Row {
            title: "Now",
            panels: vec![
                stat("Runs", "none", gauge("count", name(&RUN_STAGE.0), of_run), "Runs that a coordinator drives."),
                stat(
                    "Jobs left",
                    "none",
                    gauge("sum", run_jobs, &format!("{of_run}, state=~\"waiting|sent\"")),
                    "Jobs of the current stages without an end state.",
                ),
                stat(
                    "Time left in the stage",
                    "s",
                    format!(
                        "sum({run_jobs}{{{NAMESPACE}, {of_run}, state=~\"waiting|sent\"}}) / sum(rate({ended}{{{NAMESPACE}, \
                         outcome=~\"committed|found|quarantined\"}}[10m]))"
                    ),
                    "By the jobs that ended in the last ten minutes.",
                ),
                stat(
                    "Trailers per hour",
                    "none",
                    format!("3600 * sum(rate({ended}{{{NAMESPACE}, kind=\"extract\", outcome=\"committed\"}}[10m]))"),
                    "Extractions that committed artifacts, over ten minutes.",
                ),
                stat(
                    "Quarantined in 24 h",
                    "none",
                    format!("sum(increase({}{{{NAMESPACE}}}[24h]))", name(&QUARANTINED.0)),
                    "See `jhalak quarantine ls`.",
                ),
                stat("Workers ready", "none", gauge("sum", name(&READY.0), ""), "Workers that take jobs."),
            ],
        },
        Row {
            title: "Runs",
            panels: vec![
                stacked(lines(
                    "Jobs of the stage by state",
                    "none",
                    vec![(gauge("sum by (run, stage, state)", run_jobs, of_run), "{{stage}} {{state}}")],
                    "The sum of the states is the number of jobs of the stage.",
                )),
                lines(
                    "Jobs on the queue",
                    "none",
                    vec![(gauge("max by (channel, kind)", waiting, ""), "{{kind}} {{channel}}")],
                    "Of all runs, as the broker reported to the coordinator that holds the lease. retry: waiting for another attempt.",
                ),
                lines(
                    "Time since the last end of a job",
                    "s",
                    vec![(
                        format!("time() - max by (run) ({}{{{NAMESPACE}, {of_run}}})", name(&RUN_PROGRESS.0)),
                        "{{run}}",
                    )],
                    "An alert fires after an hour.",
                ),
            ],
        },
        Row {
            title: "Throughput",
            panels: vec![
                stacked(lines(
                    "Ends of jobs by outcome",
                    "ops",
                    vec![(rate(ended, "kind, outcome", ""), "{{kind}} {{outcome}}")],
                    "committed, found, quarantined and cancelled are end states; the others come again.",
                )),
                lines(
                    "Duration of jobs",
                    "s",
                    vec![
                        (quantile(0.5, name(&JOB_DURATION.0), "kind"), "{{kind}} median"),
                        (quantile(0.95, name(&JOB_DURATION.0), "kind"), "{{kind}} 95 %"),
                    ],
                    "From delivery to end.",
                ),
                stacked(lines(
                    "Time by step",
                    "s",
                    vec![(rate(&format!("{}_sum", name(&STEP_DURATION.0)), "step", ""), "{{step}}")],
                    "Seconds of all slots together, per second.",
                )),
                lines(
                    "Decoding speed",
                    "none",
                    vec![(
                        format!(
                            "sum(rate({}{{{NAMESPACE}}}[$__rate_interval])) / sum(rate({}{{{NAMESPACE}}}[$__rate_interval]))",
                            name(&DECODE_MEDIA_SECONDS.0),
                            name(&DECODE_SECONDS.0)
                        ),
                        "seconds of film per second",
                    )],
                    "Of one decoding process.",
                ),
                lines(
                    "Frames decoded",
                    "none",
                    vec![(rate(name(&DECODE_FRAMES.0), "namespace", ""), "frames per second")],
                    "Of all workers.",
                ),
                lines("Jobs ended well", "ops", vec![(committed, "{{kind}}")], "Jobs whose artifacts all exist."),
            ],
        },
        Row {
            title: "Inference",
            panels: vec![
                lines(
                    "Rows by model",
                    "none",
                    vec![(rate(name(&INFERENCE_ROWS.0), "model, provider", ""), "{{model}} on {{provider}}")],
                    "Of an image model a row is a keyframe.",
                ),
                lines(
                    "Rows of one run, mean",
                    "none",
                    vec![(
                        format!(
                            "{} / {}",
                            rate(&format!("{}_sum", name(&INFERENCE_BATCH.0)), "model", ""),
                            rate(&format!("{}_count", name(&INFERENCE_BATCH.0)), "model", "")
                        ),
                        "{{model}}",
                    )],
                    "Requests of several jobs are gathered up to inference.batch rows.",
                ),
                lines(
                    "Duration and wait",
                    "s",
                    vec![
                        (quantile(0.95, name(&INFERENCE_DURATION.0), "model"), "{{model}} run, 95 %"),
                        (quantile(0.95, name(&INFERENCE_QUEUE.0), "model"), "{{model}} wait, 95 %"),
                    ],
                    "One run of a model, and the wait of a request for it.",
                ),
                Panel {
                    width: 4,
                    ..stat(
                        "Versions and providers",
                        "none",
                        gauge("count by (version, provider)", name(&BUILD_INFO.0), ""),
                        "More than one version: an upgrade is under way.",
                    )
                },
            ],
        },
        Row {
            title: "Store",
            panels: vec![
                stacked(lines(
                    "Requests by status",
                    "reqps",
                    vec![(rate(name(&STORE_REQUESTS.0), "status", ""), "{{status}}")],
                    "not_found is normal: it is how missing artifacts are found.",
                )),
                lines(
                    "Duration of requests, 95 %",
                    "s",
                    vec![(quantile(0.95, name(&STORE_DURATION.0), "operation"), "{{operation}}")],
                    "With retries.",
                ),
                lines(
                    "Retries by cause",
                    "ops",
                    vec![(rate(name(&STORE_RETRIES.0), "cause", ""), "{{cause}}")],
                    "slow_down: the store throttles. stalled: a transfer without progress.",
                ),
                lines(
                    "Bytes",
                    "Bps",
                    vec![(rate(name(&STORE_BYTES.0), "direction, area", ""), "{{direction}} {{area}}")],
                    "other: trailers and everything outside of Jhalak's folders.",
                ),
            ],
        },
        Row {
            title: "Broker",
            panels: vec![
                lines(
                    "Lost connections",
                    "none",
                    vec![
                        (
                            format!("sum by (role) (increase({}{{{NAMESPACE}}}[5m]))", name(&QUEUE_RECONNECTS.0)),
                            "{{role}} lost",
                        ),
                        (
                            format!(
                                "sum by (error) (increase({}{{{NAMESPACE}}}[5m]))",
                                name(&QUEUE_CONNECT_FAILURES.0)
                            ),
                            "attempt failed: {{error}}",
                        ),
                    ],
                    "In five minutes.",
                ),
                lines(
                    "Publishing, 95 %",
                    "s",
                    vec![(quantile(0.95, name(&QUEUE_PUBLISH.0), "channel"), "{{channel}}")],
                    "Until the broker confirmed.",
                ),
                lines(
                    "Deliveries",
                    "ops",
                    vec![
                        (rate(name(&JOBS_STARTED.0), "kind", ""), "{{kind}} started"),
                        (rate(name(&REDELIVERIES.0), "kind", ""), "{{kind}} came again"),
                        (rate(name(&MESSAGES_REFUSED.0), "kind", ""), "{{kind}} not a job"),
                    ],
                    "came again: the worker before crashed or lost its connection.",
                ),
                lines(
                    "Wait for a worker",
                    "s",
                    vec![(gauge("max by (kind)", name(&QUEUE_OLDEST.0), ""), "{{kind}}")],
                    "Of the job that was taken last.",
                ),
                lines(
                    "Workers and connections",
                    "none",
                    vec![
                        (gauge("max by (kind)", name(&QUEUE_CONSUMERS.0), ""), "{{kind}} workers"),
                        (gauge("min by (role)", name(&QUEUE_CONNECTED.0), ""), "{{role}}, 1: all connected"),
                    ],
                    "Workers as the broker counts them.",
                ),
            ],
        },
        Row {
            title: "Resources",
            panels: vec![
                lines(
                    "Memory",
                    "bytes",
                    vec![
                        (gauge("max by (instance)", name(&RESIDENT_MEMORY.0), ""), "{{instance}}"),
                        (
                            format!(
                                "max by (pod) (container_memory_working_set_bytes{{{NAMESPACE}, container=~\"jhalak.*|worker|extract|train\"}})"
                            ),
                            "{{pod}} working set",
                        ),
                    ],
                    "The working set is what the limit of the container counts; it includes decoding processes.",
                ),
                lines(
                    "CPU",
                    "none",
                    vec![(rate(name(&CPU_SECONDS.0), "instance", ""), "{{instance}}")],
                    "Cores, with the decoding processes that ended.",
                ),
                lines(
                    "Scratch space",
                    "bytes",
                    vec![
                        (gauge("max by (instance)", name(&SCRATCH.0), ""), "{{instance}} reserved"),
                        (gauge("min", name(&SCRATCH_LIMIT.0), ""), "limit"),
                    ],
                    "Jobs wait while their trailers do not fit.",
                ),
                stacked(lines(
                    "Decoding processes by end",
                    "ops",
                    vec![(rate(name(&DECODE_CHILD_ENDS.0), "reason", ""), "{{reason}}")],
                    "memory, cpu and wall are the limits decode.*; refused is the file's fault.",
                )),
                lines(
                    "Slots",
                    "none",
                    vec![
                        (gauge("sum by (kind)", name(&SLOTS_BUSY.0), ""), "{{kind}} busy"),
                        (gauge("sum", name(&SLOTS.0), ""), "all"),
                    ],
                    "Jobs in parallel.",
                ),
                lines(
                    "Oldest job and idle time",
                    "s",
                    vec![
                        (gauge("max by (kind)", name(&OLDEST_JOB.0), ""), "oldest {{kind}} job"),
                        (gauge("max", name(&IDLE.0), ""), "longest idle worker"),
                        (gauge("max", name(&CONSUMER_TIMEOUT.0), ""), "broker's timeout"),
                    ],
                    "A job that is older than the timeout is delivered again.",
                ),
            ],
        },
        Row {
            title: "Training",
            panels: vec![
                lines(
                    "Samples",
                    "none",
                    vec![(rate(name(&TRAIN_SAMPLES.0), "namespace", ""), "samples per second")],
                    "Of all networks.",
                ),
                lines(
                    "Epochs",
                    "none",
                    vec![(rate(name(&TRAIN_EPOCHS.0), "namespace", ""), "epochs per second")],
                    "Of all networks.",
                ),
                lines(
                    "Checkpoints",
                    "none",
                    vec![(
                        format!("sum by (status) (increase({}{{{NAMESPACE}}}[5m]))", name(&CHECKPOINT_WRITES.0)),
                        "{{status}}",
                    )],
                    "In five minutes.",
                ),
            ],
        },
    ]
}

/// The dashboard as JSON, as Grafana imports it.
pub fn file() -> String {
    let (mut panels, mut id, mut y) = (Vec::new(), 0, 0);
    for row in rows() {
        id += 1;
        panels.push(json!({
            "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
            "gridPos": { "x": 0, "y": y, "w": 24, "h": 1 },
        }));
        y += 1;
        let (mut x, mut height) = (0, 0);
        for panel in row.panels {
            let h = if panel.kind == "stat" { 4 } else { 8 };
            if x + panel.width > 24 {
                (x, y, height) = (0, y + height, 0);
            }
            id += 1;
            panels.push(panel_json(&panel, id, (x, y, h)));
            (x, height) = (x + panel.width, height.max(h));
        }
        y += height;
    }
    let dashboard = json!({
        "uid": "jhalak", "title": "Jhalak", "tags": ["jhalak"], "schemaVersion": 38, "version": 1, "editable": true,
        "timezone": "browser", "refresh": "30s", "time": { "from": "now-3h", "to": "now" }, "graphTooltip": 1,
        "links": [],
        "templating": { "list": [
            { "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0 },
            variable("namespace", "Namespace", format!("label_values({}, namespace)", name(&BUILD_INFO.0))),
            variable("run", "Run", format!("label_values({}, run)", name(&RUN_STAGE.0))),
        ] },
        "annotations": { "list": [
            annotation("Alerts", "ALERTS{alertname=~\"Jhalak.*\", alertstate=\"firing\"}".into(), "red", "{{alertname}}"),
            annotation("Versions", format!("count by (version) ({})", name(&BUILD_INFO.0)), "blue", "{{version}}"),
        ] },
        "panels": panels,
    });
    let mut text = serde_json::to_string_pretty(&dashboard).unwrap_or_default();
    text.push('\n');
    text
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

fn panel_json(panel: &Panel, id: u32, (x, y, h): (u32, u32, u32)) -> Value {
    let targets: Vec<Value> = panel
        .queries
        .iter()
        .zip('A'..='Z')
        .map(|((expr, legend), id)| {
            json!({ "refId": id.to_string(), "datasource": datasource(), "expr": expr, "legendFormat": legend })
        })
        .collect();
    let custom = json!({ "stacking": { "mode": if panel.stack { "normal" } else { "none" } },
        "fillOpacity": if panel.stack { 20 } else { 0 }, "showPoints": "never" });
    json!({
        "id": id, "type": panel.kind, "title": panel.title, "description": panel.description,
        "datasource": datasource(), "targets": targets, "gridPos": { "x": x, "y": y, "w": panel.width, "h": h },
        "fieldConfig": { "defaults": { "unit": panel.unit, "min": 0, "custom": custom }, "overrides": [] },
        "options": {},
    })
}

fn variable(variable: &str, label: &str, query: String) -> Value {
    json!({
        "name": variable, "label": label, "type": "query", "datasource": datasource(), "query": query, "refresh": 2,
        "multi": true, "includeAll": true, "allValue": ".*", "current": { "text": "All", "value": "$__all" }, "sort": 1,
    })
}

fn annotation(title: &str, expr: String, colour: &str, text: &str) -> Value {
    json!({ "name": title, "enable": true, "iconColor": colour, "datasource": datasource(), "expr": expr,
        "titleFormat": text, "step": "60s" })
}
