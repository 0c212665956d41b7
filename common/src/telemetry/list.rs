//! Every metric, once: from this list come the exposition, the table of docs/operations.md, the
//! alert rules' and the dashboard's checks.

use super::metric::Program::{Both, Coordinator, Page, Worker};
use super::metric::Values::{Bounded, Closed};
use super::metric::{Counter, Gauge, Histogram, Label, Metric};

/// The kind of work: its queue.
pub static KIND: Label = Label { name: "kind", values: Closed(&["extract", "train"]) };

/// How a running job ended for its worker.
pub static OUTCOME: Label = Label {
    name: "outcome",
    values: Closed(&[
        "committed",
        "found",
        "quarantined",
        "cancelled",
        "retried",
        "handed_back",
        "copy",
        "left_to_others",
        "ack_late",
    ]),
};

/// The step of a job.
pub static STEP: Label = Label {
    name: "step",
    values: Closed(&[
        "wait",
        "look",
        "fetch",
        "decode",
        "keyframes",
        "scenes",
        "objects",
        "video-embedding",
        "audio-embedding",
        "load",
        "train",
        "commit",
        super::metric::OTHER,
    ]),
};

/// The action that is open to the caller of a failed operation ([`crate::ErrorKind`]).
pub static ERROR: Label = Label {
    name: "error",
    values: Closed(&[
        "not_found",
        "invalid_input",
        "usage",
        "transient",
        "throttled",
        "permission",
        "unable",
        "storage_full",
        "cancelled",
        "bug",
    ]),
};

/// How a decoding child process ended.
pub static REASON: Label = Label {
    name: "reason",
    values: Closed(&["ok", "refused", "failed", "memory", "cpu", "wall", "crash", "cancelled", "bug"]),
};

/// A model of the registry.
pub static MODEL: Label = Label { name: "model", values: Bounded("the models of the registry") };

/// The execution provider of inference.
pub static PROVIDER: Label = Label { name: "provider", values: Closed(&["cpu", "cuda", "tensorrt"]) };

/// An operation of the object store.
pub static OPERATION: Label = Label {
    name: "operation",
    values: Closed(&["get", "download", "head", "put", "create", "upload", "list", "delete"]),
};

/// How a request to the object store ended, its retries included.
pub static STATUS: Label = Label {
    name: "status",
    values: Closed(&[
        "ok",
        "exists",
        "not_found",
        "throttled",
        "transient",
        "permission",
        "storage_full",
        "invalid",
        "failed",
    ]),
};

/// Why a request to the object store was sent again.
pub static CAUSE: Label = Label { name: "cause", values: Closed(&["slow_down", "stalled", "connection", "server"]) };

/// The direction of a transfer, as seen from this program.
pub static DIRECTION: Label = Label { name: "direction", values: Closed(&["read", "written"]) };

/// The part of the store: its artifacts, the records of runs, checkpoints of trainings, trailers
/// and everything else.
pub static AREA: Label =
    Label { name: "area", values: Closed(&["artifacts", "runs", "checkpoints", super::metric::OTHER]) };

/// The purpose of a connection to the broker.
pub static ROLE: Label = Label { name: "role", values: Closed(&["publishing", "consuming"]) };

/// The channel of a published message.
pub static CHANNEL: Label = Label { name: "channel", values: Closed(&["work", "retry", "results", "quarantine"]) };

/// The queue in which messages wait.
pub static WAITING: Label = Label { name: "channel", values: Closed(&["work", "retry"]) };

/// A run that this coordinator drives.
pub static RUN: Label = Label { name: "run", values: Bounded("the run of this process") };

/// A stage of a run.
pub static STAGE: Label = Label {
    name: "stage",
    values: Closed(&["planned", "extracting", "training", "reporting", "done", "done-with-failures", "cancelled"]),
};

/// The state of a job of a run.
pub static STATE: Label = Label { name: "state", values: Closed(&["waiting", "sent", "committed", "quarantined"]) };

/// Whether a checkpoint was written.
pub static WRITTEN: Label = Label { name: "status", values: Closed(&["ok", "failed"]) };

/// What a request to `jhalak serve` asks for.
pub static ADDRESS: Label = Label {
    name: "address",
    values: Closed(&[
        "runs",
        "run",
        "live",
        "report",
        "compare",
        "quarantine",
        "trailers",
        "trailer",
        "picture",
        "video",
        "neighbours",
        "audience",
        "try",
        "upload",
        super::metric::OTHER,
    ]),
};

/// The class of the status of an answer.
pub static ANSWER: Label = Label { name: "answer", values: Closed(&["2xx", "3xx", "4xx", "5xx"]) };

/// The version of the program.
pub static VERSION: Label = Label { name: "version", values: Bounded("one for each process") };

/// From a tenth of a second to an hour.
const JOB_SECONDS: &[f64] = &[0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0];

/// From a millisecond to a minute.
const REQUEST_SECONDS: &[f64] = &[0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0];

/// Rows of one inference.
const ROWS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

pub static BUILD_INFO: Gauge = Gauge::new(
    "jhalak_build_info",
    Both,
    &[&VERSION, &PROVIDER],
    "1; the version, and the provider that is configured.",
);
pub static SLOTS: Gauge = Gauge::new("jhalak_worker_slots", Worker, &[], "Jobs that the worker runs in parallel.");
pub static SLOTS_BUSY: Gauge = Gauge::new("jhalak_worker_slots_busy", Worker, &[&KIND], "Jobs that hold a slot now.");
pub static JOBS_STARTED: Counter =
    Counter::new("jhalak_worker_jobs_started_total", Worker, &[&KIND], "Deliveries that became a running job.");
pub static JOBS_ENDED: Counter = Counter::new(
    "jhalak_worker_jobs_ended_total",
    Worker,
    &[&KIND, &OUTCOME],
    "Running jobs that ended; committed, quarantined and cancelled add up to the jobs of a run, found are copies.",
);
pub static JOB_DURATION: Histogram = Histogram::new(
    "jhalak_worker_job_duration_seconds",
    JOB_SECONDS,
    Worker,
    &[&KIND, &OUTCOME],
    "Time from the delivery of a job to its end.",
);
pub static STEP_DURATION: Histogram = Histogram::new(
    "jhalak_worker_step_duration_seconds",
    JOB_SECONDS,
    Worker,
    &[&KIND, &STEP],
    "Time that a job spent in a step, all its turns together.",
);
pub static OLDEST_JOB: Gauge =
    Gauge::new("jhalak_worker_oldest_job_seconds", Worker, &[&KIND], "Age of the oldest job in hand; 0 without one.");
pub static REDELIVERIES: Counter = Counter::new(
    "jhalak_worker_redeliveries_total",
    Worker,
    &[&KIND],
    "Deliveries whose earlier worker crashed or lost its connection.",
);
pub static QUARANTINED: Counter = Counter::new(
    "jhalak_worker_quarantined_total",
    Worker,
    &[&KIND, &ERROR],
    "Jobs that were quarantined, by the kind of their last error.",
);
pub static MESSAGES_REFUSED: Counter = Counter::new(
    "jhalak_worker_messages_refused_total",
    Worker,
    &[&KIND],
    "Messages that are not jobs: quarantined unread.",
);
pub static IDLE: Gauge =
    Gauge::new("jhalak_worker_idle_seconds", Worker, &[], "Time without a job in hand; 0 with one.");
pub static READY: Gauge = Gauge::new("jhalak_worker_ready", Worker, &[], "1 while the worker takes jobs.");

pub static DECODE_SECONDS: Counter =
    Counter::new("jhalak_decode_seconds_total", Worker, &[], "Wall time of decoding child processes.");
pub static DECODE_MEDIA_SECONDS: Counter = Counter::new(
    "jhalak_decode_media_seconds_total",
    Worker,
    &[],
    "Length of the decoded trailers. Its rate over that of jhalak_decode_seconds_total is the speed.",
);
pub static DECODE_FRAMES: Counter = Counter::new("jhalak_decode_frames_total", Worker, &[], "Frames decoded.");
pub static DECODE_CHILD_ENDS: Counter = Counter::new(
    "jhalak_decode_child_ends_total",
    Worker,
    &[&REASON],
    "Ended decoding processes by reason: memory, cpu and wall are limits; refused means that the file is not valid.",
);

pub static INFERENCE_DURATION: Histogram = Histogram::new(
    "jhalak_inference_duration_seconds",
    REQUEST_SECONDS,
    Worker,
    &[&MODEL, &PROVIDER],
    "One run of a model.",
);
pub static INFERENCE_QUEUE: Histogram = Histogram::new(
    "jhalak_inference_queue_duration_seconds",
    REQUEST_SECONDS,
    Worker,
    &[&MODEL],
    "Time that a request waited for its model.",
);
pub static INFERENCE_BATCH: Histogram =
    Histogram::new("jhalak_inference_batch_rows", ROWS, Worker, &[&MODEL], "Rows that a model was run on together.");
pub static INFERENCE_ROWS: Counter = Counter::new(
    "jhalak_inference_rows_total",
    Worker,
    &[&MODEL, &PROVIDER],
    "Rows computed: of an image model the keyframes.",
);

pub static STORE_REQUESTS: Counter = Counter::new(
    "jhalak_store_requests_total",
    Both,
    &[&OPERATION, &STATUS],
    "Requests to the object store, with their retries.",
);
pub static STORE_DURATION: Histogram = Histogram::new(
    "jhalak_store_request_duration_seconds",
    REQUEST_SECONDS,
    Both,
    &[&OPERATION],
    "Time of a request with its retries.",
);
pub static STORE_RETRIES: Counter = Counter::new(
    "jhalak_store_retries_total",
    Both,
    &[&CAUSE],
    "Requests to S3 that were sent again: stalled is a transfer without progress.",
);
pub static STORE_BYTES: Counter =
    Counter::new("jhalak_store_bytes_total", Both, &[&DIRECTION, &AREA], "Bytes of objects read and written.");

pub static QUEUE_CONNECTED: Gauge =
    Gauge::new("jhalak_queue_connected", Both, &[&ROLE], "1 while the connection to the broker is up.");
pub static QUEUE_RECONNECTS: Counter =
    Counter::new("jhalak_queue_reconnects_total", Both, &[&ROLE], "Connections to the broker that were lost.");
pub static QUEUE_CONNECT_FAILURES: Counter = Counter::new(
    "jhalak_queue_connect_failures_total",
    Both,
    &[&ROLE, &ERROR],
    "Attempts to connect again that failed.",
);
pub static QUEUE_PUBLISH: Histogram = Histogram::new(
    "jhalak_queue_publish_duration_seconds",
    REQUEST_SECONDS,
    Both,
    &[&CHANNEL],
    "Time until the broker confirmed a message.",
);
pub static QUEUE_MESSAGES: Gauge = Gauge::new(
    "jhalak_queue_messages",
    Coordinator,
    &[&WAITING, &KIND],
    "Jobs of all runs that wait, as the broker reported to the coordinator that holds the lease.",
);
pub static QUEUE_CONSUMERS: Gauge = Gauge::new(
    "jhalak_queue_consumers",
    Coordinator,
    &[&KIND],
    "Workers that take jobs, as the broker reported to the coordinator that holds the lease.",
);
pub static QUEUE_OLDEST: Gauge = Gauge::new(
    "jhalak_queue_oldest_message_seconds",
    Worker,
    &[&KIND],
    "How long the job that was taken last had waited, by the clocks of sender and worker; 0 without a job in hand. The \
     queue is first in, first out: it is the oldest one.",
);
pub static QUEUE_BLOCKED: Gauge = Gauge::new(
    "jhalak_queue_blocked",
    Both,
    &[],
    "1 while the broker takes no messages: it is short of memory or disk.",
);
pub static CONSUMER_TIMEOUT: Gauge = Gauge::new(
    "jhalak_broker_consumer_timeout_seconds",
    Both,
    &[],
    "The setting rabbitmq.consumer_timeout_ms: how long the broker waits for an acknowledgement.",
);

pub static RUN_JOBS: Gauge = Gauge::new(
    "jhalak_run_jobs",
    Coordinator,
    &[&RUN, &STAGE, &STATE],
    "Jobs of each stage that the run has begun; their sum is the jobs of the stage.",
);
pub static RUN_STAGE: Gauge = Gauge::new("jhalak_run_stage", Coordinator, &[&RUN, &STAGE], "1 for the run's stage.");
pub static RUN_PROGRESS: Gauge = Gauge::new(
    "jhalak_run_last_progress_timestamp_seconds",
    Coordinator,
    &[&RUN],
    "When a job of the run last ended, or its stage began.",
);

pub static TRAIN_EPOCHS: Counter =
    Counter::new("jhalak_train_epochs_total", Worker, &[], "Epochs of networks trained.");
pub static TRAIN_SAMPLES: Counter =
    Counter::new("jhalak_train_samples_total", Worker, &[], "Samples that networks were trained on, in every epoch.");
pub static CHECKPOINT_WRITES: Counter =
    Counter::new("jhalak_checkpoint_writes_total", Worker, &[&WRITTEN], "Checkpoints of trainings.");

pub static SCRATCH: Gauge = Gauge::new("jhalak_scratch_bytes", Worker, &[], "Scratch space that jobs have reserved.");
pub static SCRATCH_LIMIT: Gauge =
    Gauge::new("jhalak_scratch_limit_bytes", Worker, &[], "The setting worker.scratch_mb in bytes.");
pub static SCRATCH_WAIT: Histogram = Histogram::new(
    "jhalak_scratch_wait_duration_seconds",
    JOB_SECONDS,
    Worker,
    &[],
    "Time that a job waited for scratch space.",
);

pub static SPANS_EXPORTED: Counter =
    Counter::new("jhalak_telemetry_spans_exported_total", Both, &[], "Spans that the collector took.");
pub static SPANS_DROPPED: Counter = Counter::new(
    "jhalak_telemetry_spans_dropped_total",
    Both,
    &[],
    "Spans that were lost: the collector is slow, refuses them or is not reachable.",
);
pub static PAGE_REQUESTS: Counter = Counter::new(
    "jhalak_page_requests_total",
    Page,
    &[&ADDRESS, &ANSWER],
    "Requests that were answered; pages and their JSON together.",
);
pub static PAGE_DURATION: Histogram = Histogram::new(
    "jhalak_page_request_duration_seconds",
    REQUEST_SECONDS,
    Page,
    &[&ADDRESS],
    "Time from a request to the head of its answer.",
);

pub static CPU_SECONDS: Counter = Counter::new(
    "process_cpu_seconds_total",
    Both,
    &[],
    "CPU time of the process and of its decoding child processes that ended.",
);
pub static RESIDENT_MEMORY: Gauge =
    Gauge::new("process_resident_memory_bytes", Both, &[], "Resident memory of the process.");
pub static OPEN_FDS: Gauge = Gauge::new("process_open_fds", Both, &[], "Open file descriptors.");
pub static START_TIME: Gauge =
    Gauge::new("process_start_time_seconds", Both, &[], "When the process started, in seconds since 1970.");

/// Every metric, in the order of the documentation.
pub static ALL: &[&Metric] = &[
    &BUILD_INFO.0,
    &SLOTS.0,
    &SLOTS_BUSY.0,
    &JOBS_STARTED.0,
    &JOBS_ENDED.0,
    &JOB_DURATION.0,
    &STEP_DURATION.0,
    &OLDEST_JOB.0,
    &REDELIVERIES.0,
    &QUARANTINED.0,
    &MESSAGES_REFUSED.0,
    &IDLE.0,
    &READY.0,
    &DECODE_SECONDS.0,
    &DECODE_MEDIA_SECONDS.0,
    &DECODE_FRAMES.0,
    &DECODE_CHILD_ENDS.0,
    &INFERENCE_DURATION.0,
    &INFERENCE_QUEUE.0,
    &INFERENCE_BATCH.0,
    &INFERENCE_ROWS.0,
    &STORE_REQUESTS.0,
    &STORE_DURATION.0,
    &STORE_RETRIES.0,
    &STORE_BYTES.0,
    &QUEUE_CONNECTED.0,
    &QUEUE_RECONNECTS.0,
    &QUEUE_CONNECT_FAILURES.0,
    &QUEUE_PUBLISH.0,
    &QUEUE_MESSAGES.0,
    &QUEUE_CONSUMERS.0,
    &QUEUE_OLDEST.0,
    &QUEUE_BLOCKED.0,
    &CONSUMER_TIMEOUT.0,
    &RUN_JOBS.0,
    &RUN_STAGE.0,
    &RUN_PROGRESS.0,
    &TRAIN_EPOCHS.0,
    &TRAIN_SAMPLES.0,
    &CHECKPOINT_WRITES.0,
    &SCRATCH.0,
    &SCRATCH_LIMIT.0,
    &SCRATCH_WAIT.0,
    &SPANS_EXPORTED.0,
    &SPANS_DROPPED.0,
    &PAGE_REQUESTS.0,
    &PAGE_DURATION.0,
    &CPU_SECONDS.0,
    &RESIDENT_MEMORY.0,
    &OPEN_FDS.0,
    &START_TIME.0,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ErrorKind;
    use crate::queue::WorkKind;
    use crate::run::Stage;
    use crate::settings::Provider;
    use crate::telemetry::metric::{Kind, OTHER, Values};

    #[test]
    fn names_follow_the_conventions_of_prometheus_and_occur_once() {
        let mut seen = BTreeSet::new();
        for metric in ALL {
            let name = metric.name;
            assert!(seen.insert(name), "{name} is listed twice");
            assert!(name.starts_with("jhalak_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}: {}", metric.help);
            let labels: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
            assert_eq!(labels.len(), metric.labels.len(), "{name} has a label twice");
        }
        assert_eq!(seen.len(), 51);
    }

    #[test]
    fn closed_sets_hold_every_word_that_the_program_uses() {
        let holds = |label: &Label, words: &[&str]| {
            let Values::Closed(values) = label.values else { panic!("{} is not closed", label.name) };
            for word in words {
                assert!(values.contains(word), "{} lacks {word}", label.name);
            }
        };
        holds(&KIND, &WorkKind::ALL.map(WorkKind::name));
        holds(&PROVIDER, &[Provider::Cpu.name(), Provider::Cuda.name(), Provider::Tensorrt.name()]);
        for stage in
            [Stage::Planned, Stage::Extracting, Stage::Training, Stage::Reporting, Stage::Done, Stage::DoneWithFailures]
        {
            holds(&STAGE, &[stage.name()]);
        }
        holds(&STAGE, &[Stage::Cancelled.name()]);
        for kind in [
            ErrorKind::NotFound,
            ErrorKind::InvalidInput,
            ErrorKind::Usage,
            ErrorKind::Transient,
            ErrorKind::Throttled,
            ErrorKind::Permission,
            ErrorKind::Unable,
            ErrorKind::StorageFull,
            ErrorKind::Cancelled,
            ErrorKind::Bug,
        ] {
            holds(&ERROR, &[kind.name()]);
        }
        holds(&STEP, &[OTHER]);
    }
}
