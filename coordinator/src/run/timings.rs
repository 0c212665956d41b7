//! How long the stages and jobs of a run took, as far as this process saw them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jhalak_common::run::Stage;

/// How many of the slowest trailers are remembered.
const SLOWEST: usize = 5;

/// The measurements of one drive of a run. Never part of an artifact.
#[derive(Debug, Default)]
pub struct Timings(Mutex<Measured>);

/// The measurements of a drive.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Seconds of each stage, in their order.
    pub stages: Vec<(Stage, f64)>,
    /// Trailers whose jobs ended as committed.
    pub trailers: u64,
    /// Seconds of all those jobs by step, over all workers; waiting for a slot is left out.
    pub steps: BTreeMap<String, f64>,
    /// The slowest of those jobs, the slowest first: movie id and seconds by step.
    pub slowest: Vec<(String, BTreeMap<String, f64>)>,
}

impl Timings {
    /// Adds seconds to a stage.
    pub fn stage(&self, stage: Stage, seconds: f64) {
        let mut measured = self.measured();
        match measured.stages.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, sum)) => *sum += seconds,
            None => measured.stages.push((stage, seconds)),
        }
    }

    /// Notes the steps of the job that extracted this movie's trailer.
    pub fn trailer(&self, movie: &str, mut seconds: BTreeMap<String, f64>) {
        seconds.retain(|step, seconds| step != "wait" && seconds.is_finite());
        let mut measured = self.measured();
        measured.trailers += 1;
        for (step, seconds) in &seconds {
            *measured.steps.entry(step.clone()).or_default() += seconds;
        }
        measured.slowest.push((movie.to_owned(), seconds));
        let total = |steps: &BTreeMap<String, f64>| steps.values().sum::<f64>();
        measured.slowest.sort_by(|a, b| total(&b.1).total_cmp(&total(&a.1)).then_with(|| a.0.cmp(&b.0)));
        measured.slowest.truncate(SLOWEST);
    }

    /// Returns what was measured so far.
    pub fn so_far(&self) -> Measured {
        self.measured().clone()
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        // No code that holds the lock can panic halfway through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_trailers_come_first_and_waiting_does_not_count() {
        let timings = Timings::default();
        for n in 0..8 {
            let steps = [("decode".to_owned(), f64::from(n)), ("wait".to_owned(), 1000.0 - f64::from(n))];
            timings.trailer(&format!("m{n}"), steps.into());
        }
        timings.stage(Stage::Extracting, 2.0);
        timings.stage(Stage::Extracting, 1.5);
        let found = timings.so_far();
        assert_eq!((found.trailers, found.steps["decode"], found.steps.get("wait")), (8, 28.0, None));
        assert_eq!(
            found.slowest.iter().map(|(movie, _)| movie.as_str()).collect::<Vec<_>>(),
            ["m7", "m6", "m5", "m4", "m3"]
        );
        assert_eq!(found.stages, [(Stage::Extracting, 3.5)]);
    }
}
