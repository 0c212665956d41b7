//! What a running job reports of itself: its step, the seconds of its steps, and whether it saved a
//! state to resume from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a running job reports of itself, also when it fails.
#[derive(Debug)]
pub struct JobProgress {
    steps: Mutex<Steps>,
    saved: AtomicBool,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Steps {
    current: String,
    since: jiff::Timestamp,
    began: Instant,
    seconds: BTreeMap<String, f64>,
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
        };
        JobProgress { steps: Mutex::new(steps), saved: AtomicBool::new(false), stopping: AtomicBool::new(false) }
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
