//! The progress of a running job: its step, the seconds of its steps, and whether it saved a
//! state to resume from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jhalak_common::telemetry::trace::{Active, Span, TraceContext};

/// Returns the name of the span of a step.
fn span_name(step: &str) -> &'static str {
    match step {
        "look" => "look",
        "wait" => "wait",
        "fetch" => "fetch",
        "decode" => "decode",
        "video-embedding" | "audio-embedding" => "embed",
        "load" => "load",
        "train" => "train",
        "commit" => "commit",
        _ => "write",
    }
}

/// The progress of a running job, kept when it fails.
#[derive(Debug)]
pub struct JobProgress {
    steps: Mutex<Steps>,
    saved: AtomicBool,
    stopping: AtomicBool,
    active: Active,
}

#[derive(Debug)]
struct Steps {
    current: String,
    since: jiff::Timestamp,
    began: Instant,
    seconds: BTreeMap<String, f64>,
    /// The context of the job in its trace, and the span of the current step there.
    context: TraceContext,
    span: Span,
}

impl Default for JobProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl JobProgress {
    /// A job that waits for a slot: the step `wait`.
    pub fn new() -> Self {
        let steps = Steps {
            current: "wait".into(),
            since: jiff::Timestamp::now(),
            began: Instant::now(),
            seconds: BTreeMap::new(),
            context: TraceContext::default(),
            span: Span::default(),
        };
        JobProgress {
            steps: Mutex::new(steps),
            saved: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            active: Active::default(),
        }
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        // No code that holds the lock can panic halfway through a change.
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the current step and begins `step`.
    pub fn begin(&self, step: &str) {
        let mut steps = self.steps();
        let now = Instant::now();
        let took = (now - steps.began).as_secs_f64();
        let ended = std::mem::replace(&mut steps.current, step.to_string());
        *steps.seconds.entry(ended).or_default() += took;
        (steps.began, steps.since) = (now, jiff::Timestamp::now());
        // Ends the span of the step before.
        steps.span = Span::default();
        let mut span = steps.context.child(span_name(step));
        span.set("jhalak.step", step.to_string());
        self.active.enter(span.context_or(&steps.context));
        steps.span = span;
    }

    /// Sets the context of the job in its trace: its steps are spans there.
    pub(crate) fn set_context(&self, context: TraceContext) {
        self.active.enter(context.clone());
        self.steps().context = context;
    }

    /// Returns the context of the job in its trace.
    pub(crate) fn context(&self) -> TraceContext {
        self.steps().context.clone()
    }

    /// Runs the job's work: what it sends to the store are spans of its current step.
    pub(crate) async fn traced<T>(&self, work: impl Future<Output = T>) -> T {
        let ended = self.active.scope(work).await;
        self.steps().span = Span::default();
        ended
    }

    /// Returns the current step and when it began.
    pub fn step(&self) -> (String, jiff::Timestamp) {
        let steps = self.steps();
        (steps.current.clone(), steps.since)
    }

    /// Returns the seconds of each step so far, by the step's name: for the operator, never part of
    /// an artifact.
    pub fn seconds(&self) -> BTreeMap<String, f64> {
        let steps = self.steps();
        let mut seconds = steps.seconds.clone();
        *seconds.entry(steps.current.clone()).or_default() += steps.began.elapsed().as_secs_f64();
        seconds
    }

    /// Returns the seconds since the delivery of the job.
    pub(crate) fn total_seconds(&self) -> f64 {
        self.seconds().values().sum()
    }

    /// Notes that the job has saved a state from which another attempt resumes.
    pub fn note_saved(&self) {
        self.saved.store(true, Ordering::SeqCst);
    }

    /// Asks the job to save a state soon: the worker is stopping.
    pub fn ask_to_save(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Whether a state is to be saved at the next occasion; false from then on.
    pub fn takes_save_request(&self) -> bool {
        self.stopping.swap(false, Ordering::SeqCst)
    }

    /// Whether the job has saved such a state.
    pub fn has_saved(&self) -> bool {
        self.saved.load(Ordering::SeqCst)
    }
}
