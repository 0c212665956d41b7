//! Counts how delivered jobs ended, in the metrics of the worker.

use std::time::Instant;

use jhalak_common::ErrorKind;
use jhalak_common::queue::WorkKind;
use jhalak_common::telemetry::list::{JOB_DURATION, JOBS_ENDED, JOBS_STARTED, REDELIVERIES, STEP, STEP_DURATION};
use jhalak_common::telemetry::metric::{OTHER, Values};

use crate::jobs::JobProgress;
use crate::settlement::{Settled, Settlement};

/// How a delivered job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It committed artifacts.
    Committed,
    /// All of its artifacts were committed before.
    Found,
    /// It is quarantined.
    Quarantined,
    /// It was dropped with its run.
    Cancelled,
    /// It waits in a retry tier for another attempt.
    Retried,
    /// It waits in a retry tier for another worker.
    LeftToOthers,
    /// It returns to the queue, uncounted.
    HandedBack,
    /// It is dropped: another worker is at work on another copy of it.
    Copy,
}

impl End {
    /// Returns the name used in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            End::Committed => "committed",
            End::Found => "found",
            End::Quarantined => "quarantined",
            End::Cancelled => "cancelled",
            End::Retried => "retried",
            End::LeftToOthers => "left_to_others",
            End::HandedBack => "handed_back",
            End::Copy => "copy",
        }
    }

    /// Returns how its delivery is settled.
    pub(crate) fn settlement(self) -> Settlement {
        match self {
            End::HandedBack => Settlement::HandBack,
            _ => Settlement::Acknowledge,
        }
    }
}

/// A delivered job in the metrics, from its start to its end.
pub(crate) struct Counted {
    kind: WorkKind,
    received: Instant,
}

impl Counted {
    /// Counts a job that has a slot.
    pub(crate) fn start(kind: WorkKind, redeliveries: u32, received: Instant) -> Counted {
        JOBS_STARTED.increment(&[kind.name()]);
        if redeliveries > 0 {
            REDELIVERIES.increment(&[kind.name()]);
        }
        Counted { kind, received }
    }

    /// Counts its end, once its delivery is settled.
    pub(crate) fn end(self, processed: Result<End, ErrorKind>, settled: Settled, progress: &JobProgress) {
        let outcome = match (processed, settled) {
            // Comes again, and counts then.
            (Ok(end), Settled::Late | Settled::Unknown) if end != End::HandedBack => "ack_late",
            (Err(kind), _) if kind.is_permanent() => "ack_late",
            (Ok(end), _) => end.name(),
            (Err(_), _) => End::HandedBack.name(),
        };
        let kind = self.kind.name();
        JOBS_ENDED.increment(&[kind, outcome]);
        JOB_DURATION.observe(&[kind, outcome], self.received.elapsed().as_secs_f64());
        let is_known = |step: &str| matches!(STEP.values, Values::Closed(steps) if steps.contains(&step));
        for (step, seconds) in progress.seconds() {
            let step = if is_known(&step) { step.as_str() } else { OTHER };
            STEP_DURATION.observe(&[kind, step], seconds);
        }
    }
}
