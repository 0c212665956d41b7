//! The alert rules.

use jhalak_common::telemetry::list::*;
use std::fmt::Write;

use super::name;

/// One alert.
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// The expression, in PromQL.
    pub expr: String,
    /// For how long it holds before it fires; None at once.
    pub hold: Option<&'static str>,
    /// `critical` or `warning`.
    pub severity: &'static str,
    /// The problem, with values and labels.
    pub summary: &'static str,
    /// The action to take.
    pub description: &'static str,
    /// The anchor of its section in `docs/runbook.md`.
    pub runbook: &'static str,
}

/// Every alert, the worst first.
pub fn alerts() -> Vec<Alert> {
    let (waiting, ended) = (name(&QUEUE_MESSAGES.0), name(&JOBS_ENDED.0));
    let (retries, requests) = (name(&STORE_RETRIES.0), name(&STORE_REQUESTS.0));
    let (lost, connected) = (name(&QUEUE_RECONNECTS.0), name(&QUEUE_CONNECTED.0));
    let (redeliveries, started) = (name(&REDELIVERIES.0), name(&JOBS_STARTED.0));
    vec![
        Alert {
            name: "JhalakQueueNotDraining",
            expr: format!(
                "max by (namespace, kind) ({waiting}{{channel=\"work\"}}) > 0\n\
                 unless on (namespace, kind) sum by (namespace, kind) (rate({ended}[15m])) > 0"
            ),
            hold: Some("15m"),
            severity: "critical",
            summary: "{{ $value }} {{ $labels.kind }} jobs wait and none has ended for 15 minutes",
            description: "Look at the workers' logs and at `jhalak status`; `jhalak doctor --workers` probes a worker of each kind.",
            runbook: "a-run-is-stuck",
        },
        Alert {
            name: "JhalakNoWorkers",
            expr: format!(
                "max by (namespace, kind) ({waiting}{{channel=\"work\"}}) > 0\n\
                 unless on (namespace, kind) max by (namespace, kind) ({}) > 0",
                name(&QUEUE_CONSUMERS.0)
            ),
            hold: Some("10m"),
            severity: "critical",
            summary: "{{ $value }} {{ $labels.kind }} jobs wait and no worker takes them",
            description: "Autoscaling, a quota, an image that cannot be pulled, workers that stop at their start, or a broker that does not answer: see their events and logs.",
            runbook: "workers-do-not-come",
        },
        Alert {
            name: "JhalakBrokerBlocked",
            expr: format!("max by (namespace) ({}) == 1", name(&QUEUE_BLOCKED.0)),
            hold: Some("5m"),
            severity: "critical",
            summary: "the broker takes no messages: it is short of memory or disk",
            description: "Nothing is lost and nothing proceeds. Make room on the broker; `jhalak doctor` prints its reason.",
            runbook: "the-broker-is-lost",
        },
        Alert {
            name: "JhalakQuarantineRatio",
            expr: format!(
                "sum by (namespace, kind) (rate({ended}{{outcome=\"quarantined\"}}[30m]))\n\
                 / sum by (namespace, kind) (rate({ended}{{outcome=~\"committed|found|quarantined\"}}[30m])) > 0.05\n\
                 and on (namespace, kind) sum by (namespace, kind) (increase({ended}{{outcome=\"quarantined\"}}[30m])) >= 10"
            ),
            hold: Some("10m"),
            severity: "critical",
            summary: "{{ $value | humanizePercentage }} of {{ $labels.kind }} jobs are quarantined",
            description: "Ten or more within 30 minutes: look for one reason that they share (a model, a build, the store) with `jhalak quarantine ls`.",
            runbook: "the-quarantine-grows",
        },
        Alert {
            name: "JhalakNightlyMissing",
            // A CronJob that never succeeded has no time of success: its age counts.
            expr: "(time() - max by (namespace, cronjob) (kube_cronjob_status_last_successful_time{cronjob=\"jhalak-nightly\"})\n\
                   or on (namespace, cronjob) time() - max by (namespace, cronjob) (kube_cronjob_created{cronjob=\"jhalak-nightly\"})) > 30 * 3600"
                .into(),
            hold: None,
            severity: "critical",
            summary: "{{ $labels.cronjob }} has not succeeded for {{ $value | humanizeDuration }}",
            description: "A CronJob that does not fire says nothing by itself: see its events and the last Job's log.",
            runbook: "a-night-is-missing",
        },
        Alert {
            name: "JhalakRunStuck",
            expr: format!("time() - max by (namespace, run) ({}) > 3600", name(&RUN_PROGRESS.0)),
            hold: Some("5m"),
            severity: "warning",
            summary: "no job of run {{ $labels.run }} has ended for {{ $value | humanizeDuration }}",
            description: "`jhalak status` shows what its workers hold; a job that lasts longer than an hour is normal only in training.",
            runbook: "a-run-is-stuck",
        },
        Alert {
            name: "JhalakQuarantineGrowing",
            expr: format!("sum by (namespace, kind, error) (increase({}[1h])) > 5", name(&QUARANTINED.0)),
            hold: None,
            severity: "warning",
            summary: "{{ $value | humanize }} {{ $labels.kind }} jobs were quarantined within an hour ({{ $labels.error }})",
            description: "`jhalak quarantine ls` shows the reasons; `jhalak retry` lets the next run try them again.",
            runbook: "the-quarantine-grows",
        },
        Alert {
            name: "JhalakJobsWaitLong",
            expr: format!("max by (namespace, kind) ({}) > 3600", name(&QUEUE_OLDEST.0)),
            hold: Some("15m"),
            severity: "warning",
            summary: "{{ $labels.kind }} jobs wait {{ $value | humanizeDuration }} for a worker",
            description: "A run sends about two jobs for each slot: too few workers for the runs in progress, or jobs that take very long.",
            runbook: "jobs-wait-long",
        },
        Alert {
            name: "JhalakJobNearBrokerTimeout",
            expr: format!(
                "max by (namespace, instance, kind) ({})\n> on (namespace) group_left () 0.9 * max by (namespace) ({})",
                name(&OLDEST_JOB.0),
                name(&CONSUMER_TIMEOUT.0)
            ),
            hold: None,
            severity: "warning",
            summary: "a {{ $labels.kind }} job on {{ $labels.instance }} nears the broker's consumer_timeout",
            description: "The broker will deliver it again. An extraction this old hangs: liveness replaces its worker. A training may take long: raise consumer_timeout and rabbitmq.consumer_timeout_ms together, or delete a pod that shows no progress.",
            runbook: "a-job-nears-the-brokers-timeout",
        },
        Alert {
            name: "JhalakStoreThrottled",
            expr: format!(
                "sum by (namespace) (rate({retries}{{cause=\"slow_down\"}}[5m]))\n/ sum by (namespace) (rate({requests}[5m])) > 0.02"
            ),
            hold: Some("15m"),
            severity: "warning",
            summary: "the store slows down {{ $value | humanizePercentage }} of the requests",
            description: "Run fewer workers, or spread the runs over more than one prefix of the bucket.",
            runbook: "the-store-throttles",
        },
        Alert {
            name: "JhalakBrokerFlapping",
            expr: format!(
                "sum by (namespace, instance) (increase({lost}[30m])) > 5\nor min by (namespace, instance) ({connected}) == 0"
            ),
            hold: Some("5m"),
            severity: "warning",
            summary: "{{ $labels.instance }} does not keep its connection to the broker",
            description: "The broker restarts, a network drops idle connections, or the process gets too little CPU for heartbeats.",
            runbook: "the-broker-is-lost",
        },
        Alert {
            name: "JhalakWorkersCrashing",
            expr: format!(
                "sum by (namespace, kind) (increase({redeliveries}[30m]))\n> 0.1 * sum by (namespace, kind) (increase({started}[30m]))"
            ),
            hold: Some("10m"),
            severity: "warning",
            summary: "one in ten {{ $labels.kind }} deliveries or more comes back from a worker that crashed",
            description: "Workers are killed (memory, eviction, spot) or lose their channel: see the reasons for the end of their containers.",
            runbook: "workers-crash",
        },
        Alert {
            name: "JhalakSpansDropped",
            expr: format!("sum by (namespace) (increase({}[30m])) > 0", name(&SPANS_DROPPED.0)),
            hold: Some("30m"),
            severity: "warning",
            summary: "{{ $value | humanize }} spans were lost within 30 minutes",
            description: "Runs do not suffer. The collector of OTEL_EXPORTER_OTLP_ENDPOINT is slow, refuses spans or is not reachable.",
            runbook: "spans-are-lost",
        },
    ]
}

/// The first line of every generated file.
pub const HEAD: &str =
    "# Generated from the list of metrics: JHALAK_WRITE_MONITORING=1 scripts/test.sh --test monitoring generated\n";

/// The rules as a file for Prometheus.
pub fn file() -> String {
    format!("{HEAD}{}", groups(""))
}

/// The rules as an object for the Prometheus operator.
pub fn object() -> String {
    format!(
        "{HEAD}apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: jhalak\n  labels:\n    \
         app.kubernetes.io/name: jhalak\nspec:\n{}",
        groups("  ")
    )
}

fn groups(indent: &str) -> String {
    let mut text = format!("{indent}groups:\n{indent}  - name: jhalak\n{indent}    rules:\n");
    for Alert { name, expr, hold, severity, summary, description, runbook } in alerts() {
        let expr: Vec<String> = expr.lines().map(|line| format!("{indent}          {line}\n")).collect();
        // Writing to a string never fails.
        let _ = write!(text, "{indent}      - alert: {name}\n{indent}        expr: |-\n{}", expr.concat());
        if let Some(hold) = hold {
            let _ = writeln!(text, "{indent}        for: {hold}");
        }
        let quoted = |value: &str| serde_json::to_string(value).unwrap_or_default();
        let _ = write!(
            text,
            "{indent}        labels:\n{indent}          severity: {severity}\n{indent}        annotations:\n\
             {indent}          summary: {}\n{indent}          description: {}\n\
             {indent}          runbook: \"docs/runbook.md#{runbook}\"\n",
            quoted(summary),
            quoted(description)
        );
    }
    text
}
