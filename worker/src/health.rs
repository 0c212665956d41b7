//! Whether this worker can work at all. A sick worker fails jobs faster than a sound one does them:
//! left alone it takes most of a run and spoils it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jhalak_common::{Error, ErrorKind};
use tokio_util::sync::CancellationToken;

/// After this many jobs in a row that this worker could not do, it stops taking jobs.
const MAX_IN_A_ROW: u32 = 3;

/// A store that refuses this worker's credentials, or lacks its bucket, for this long is not going
/// to change. Expired credentials are often renewed in minutes.
const MAX_REFUSED: Duration = Duration::from_secs(300);

/// Pause before a job that this worker cannot do is handed back, so that other workers get it.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(5);

/// The longest pause after a job that asks for what this worker does not have.
const MAX_MISFIT_PAUSE: Duration = Duration::from_secs(4);

/// The health of one worker.
#[derive(Default)]
pub(crate) struct Health {
    state: Mutex<State>,
    /// Cancelled when the worker must stop taking jobs.
    pub(crate) unfit: CancellationToken,
}

#[derive(Default)]
struct State {
    in_a_row: u32,
    refused_since: Option<Instant>,
    /// Jobs in a row that asked for what this worker does not have.
    misfits: BTreeSet<String>,
    /// Whether a job has ever ended here, well or by its own fault.
    has_worked: bool,
    reason: Option<(ErrorKind, String)>,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job ended, well or by its own fault. The reason of a worker that stops stays: this was a
    /// job that ran beside the failed ones.
    pub(crate) fn worked(&self) {
        let mut state = self.state();
        *state = State { has_worked: true, reason: state.reason.take(), ..State::default() };
    }

    /// This worker could not do a job because of `cause`. Returns the pause before the job is
    /// handed back.
    pub(crate) fn failed(&self, cause: &Error) -> Duration {
        let mut state = self.state();
        state.in_a_row += 1;
        let (is_unfit, pause) = match cause.kind() {
            ErrorKind::Permission => {
                let since = *state.refused_since.get_or_insert_with(Instant::now);
                (since.elapsed() > MAX_REFUSED, PAUSE_WHEN_REFUSED)
            }
            _ => (state.in_a_row >= MAX_IN_A_ROW, PAUSE),
        };
        if is_unfit {
            let why = format!("it could not do {} jobs in a row, the last one because", state.in_a_row);
            self.stop_taking(&mut state, &why, cause);
        }
        pause
    }

    /// A job asks for what this worker does not have (another store, version or model). Three
    /// different ones in a row are not one odd message: a worker that has never done a job stops,
    /// and so does one that is the only worker. Any other has jobs of its own between those of
    /// others. Returns the pause before the next job, longer after each: a worker that does nothing
    /// takes jobs the fastest.
    pub(crate) fn misfit(&self, job: &str, cause: &Error, is_only_worker: bool) -> Duration {
        let mut state = self.state();
        state.misfits.insert(job.to_string());
        let misfits = state.misfits.len() as u32;
        if misfits >= MAX_IN_A_ROW && (is_only_worker || !state.has_worked) {
            self.stop_taking(&mut state, "it cannot do the jobs on the queue:", cause);
        }
        match misfits {
            1 => Duration::ZERO,
            n => (PAUSE * 2_u32.pow((n - 2).min(5))).min(MAX_MISFIT_PAUSE),
        }
    }

    fn stop_taking(&self, state: &mut State, why: &str, cause: &Error) {
        if state.reason.is_none() {
            let reason = format!("this worker stops: {why} {}", cause.chain());
            tracing::error!(reason, "unfit for work");
            state.reason = Some((cause.kind(), reason));
            self.unfit.cancel();
        }
    }

    /// Returns why the worker stopped taking jobs; None while it is fit.
    pub(crate) fn reason(&self) -> Option<Error> {
        self.state().reason.clone().map(|(kind, text)| Error::new(kind, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_failures_in_a_row_make_a_worker_unfit_and_a_success_between_them_does_not() {
        let health = Health::default();
        let gone = Error::unable("the scratch folder is gone");
        health.failed(&gone);
        health.failed(&gone);
        health.worked();
        health.failed(&gone);
        health.failed(&gone);
        assert!(!health.unfit.is_cancelled() && health.reason().is_none());
        health.failed(&gone);
        let reason = health.reason().expect("unfit");
        assert!(health.unfit.is_cancelled());
        assert_eq!(reason.kind(), ErrorKind::Unable);
        assert!(reason.chain().contains("3 jobs in a row") && reason.chain().contains("gone"), "{reason}");
        health.worked();
        assert!(health.reason().is_some(), "a job that ran beside the failed ones changes nothing");
    }

    #[test]
    fn one_odd_job_stops_no_worker_and_three_different_ones_in_a_row_do() {
        let error = Error::unable("the job requires contract 999");
        // A worker that has done jobs stops if nobody else could do these; a new one stops anyway.
        for (has_worked, is_only_worker) in [(true, true), (false, false), (false, true)] {
            let health = Health::default();
            for _ in 0..10 {
                health.misfit("odd", &error, is_only_worker);
            }
            health.misfit("second", &error, is_only_worker);
            if has_worked {
                health.worked();
                health.misfit("third", &error, is_only_worker);
                assert!(!health.unfit.is_cancelled());
                health.misfit("odd", &error, is_only_worker);
                health.misfit("second", &error, is_only_worker);
            } else {
                assert!(!health.unfit.is_cancelled());
                health.misfit("third", &error, is_only_worker);
            }
            assert!(health.reason().is_some_and(|reason| reason.chain().contains("contract 999")));
        }
    }

    #[test]
    fn a_worker_among_others_takes_jobs_that_are_not_its_own_more_and_more_slowly() {
        let (health, error) = (Health::default(), Error::unable("the job is of another store"));
        health.worked();
        let pauses: Vec<u64> = (0..9).map(|i| health.misfit(&format!("job {i}"), &error, false).as_secs()).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 4, 4, 4, 4, 4]);
        assert!(!health.unfit.is_cancelled());
        health.worked();
        assert_eq!(health.misfit("another", &error, false), Duration::ZERO);
    }

    #[test]
    fn refused_credentials_are_waited_for() {
        let health = Health::default();
        for _ in 0..10 {
            assert_eq!(health.failed(&Error::permission("403")), PAUSE_WHEN_REFUSED);
        }
        assert!(!health.unfit.is_cancelled());
    }
}
