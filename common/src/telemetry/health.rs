//! The health of a process, for the probes of an orchestrator.

/// The answer to a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does its work.
    Ready,
    /// Not ready: starting, unable to work, or cut off from its services.
    NotReady,
    /// It should be started again.
    Stuck,
}

impl Health {
    /// The answer of a failed probe of liveness.
    pub const STUCK: &str = "the process is stuck: a job does not stop, or its store or broker is gone";
    /// The answer of a failed probe of readiness.
    pub const NOT_READY: &str =
        "it is not ready: it is starting, cannot do them, or does not reach its store or broker (see its log)";

    /// Whether the process is alive and need not be restarted.
    pub fn is_live(self) -> bool {
        self != Health::Stuck
    }
}
