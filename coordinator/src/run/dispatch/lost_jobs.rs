//! Finds jobs whose messages are lost: no worker holds them, and they are not on the queue. The
//! broker was purged, a queue was deleted, or a delivery went to the dead letters without a record.
//!
//! A queue that is not empty is first in, first out: a marker is sent, a job without work. Once a
//! worker has answered it, every message that was sent before it has been delivered.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jhalak_common::run::AT_WORK_INTERVAL_S;

use super::observer::Observation;

/// A job that no worker has held for this long may be lost. Longer than workers take to write their
/// records twice.
const SUSPECT_AFTER: Duration = Duration::from_secs(3 * AT_WORK_INTERVAL_S);

/// After a job was sent again, it is suspected later each time, up to this: its worker may be of an
/// older version, which writes no record.
const MAX_SUSPECT_AFTER: Duration = Duration::from_secs(1_800);

/// A marker without an answer after this long is lost itself.
const MARKER_TIMEOUT: Duration = Duration::from_secs(600);

/// Watches the jobs of a stage that were sent.
pub(super) struct LostJobs {
    /// Since when no worker has held the job, and after how long it is suspected.
    unseen: BTreeMap<String, (Instant, Duration)>,
    /// How long a job that is tried again waits at most before it is on the queue again.
    longest_retry: Duration,
    marker: Option<Marker>,
}

struct Marker {
    id: String,
    sent: Instant,
    answered: Option<Instant>,
}

/// The answer of [`LostJobs::find`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// Jobs that are neither with a worker nor on the queue.
    pub(super) lost: Vec<String>,
    /// Whether a marker is needed to know more.
    pub(super) wants_marker: bool,
}

impl LostJobs {
    /// Watches a stage whose failed jobs come back within `longest_retry`.
    pub(super) fn new(longest_retry: Duration) -> LostJobs {
        LostJobs { unseen: BTreeMap::new(), longest_retry, marker: None }
    }

    /// Notes that the marker with this id was sent.
    pub(super) fn marked(&mut self, id: String) {
        self.marker = Some(Marker { id, sent: Instant::now(), answered: None });
    }

    /// Notes a result. Returns true if it is the answer to the marker.
    pub(super) fn is_answer(&mut self, job: &str) -> bool {
        match &mut self.marker {
            Some(marker) if marker.id == job => {
                marker.answered = Some(Instant::now());
                true
            }
            _ => false,
        }
    }

    /// Looks for jobs of `pending` that are neither with a worker nor on the queue.
    pub(super) fn find(&mut self, observation: &Observation, pending: &BTreeMap<String, usize>) -> Found {
        self.unseen.retain(|id, _| pending.contains_key(id));
        let now = Instant::now();
        for id in pending.keys() {
            let (since, _) = self.unseen.entry(id.clone()).or_insert((now, SUSPECT_AFTER));
            // Nothing is known of a store that did not answer.
            if observation.workers.is_none() || observation.holds(id) {
                *since = now;
            }
        }
        let Some(backlog) = observation.backlog else { return Found::default() };
        if !self.unseen.values().any(|(since, after)| now - *since >= *after) {
            return Found::default();
        }
        // A message in a retry tier may be any job's.
        let patience = if backlog.delayed > 0 { self.longest_retry + SUSPECT_AFTER } else { Duration::ZERO };
        let mut delivered_before = None;
        if backlog.ready > 0 {
            match &self.marker {
                None => return Found { wants_marker: true, lost: Vec::new() },
                Some(marker) => match marker.answered {
                    // The workers that took the messages before it have written their records.
                    Some(answered) if now - answered >= SUSPECT_AFTER => delivered_before = Some(marker.sent),
                    None if now - marker.sent < MARKER_TIMEOUT => return Found::default(),
                    None => {
                        self.marker = None;
                        return Found::default();
                    }
                    Some(_) => return Found::default(),
                },
            }
        }
        self.marker = None;
        let suspects = self.unseen.iter_mut().filter(|(_, (since, after))| {
            now - *since >= (*after).max(patience) && delivered_before.is_none_or(|sent| *since < sent)
        });
        let lost = suspects.map(|(id, (since, after))| {
            (*since, *after) = (now, (*after * 2).min(MAX_SUSPECT_AFTER));
            id.clone()
        });
        Found { lost: lost.collect(), wants_marker: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::process::Identity;
    use jhalak_common::queue::Backlog;
    use jhalak_common::run::{AtWork, JobAtWork};

    fn observation(jobs: &[&str], ready: u64) -> Observation {
        let at_work = || JobAtWork {
            about: "a trailer".into(),
            since: jiff::Timestamp::now(),
            step: "decode".into(),
            step_since: jiff::Timestamp::now(),
        };
        let jobs = jobs.iter().map(|id| (id.to_string(), at_work())).collect();
        let record = AtWork { jobs, ..AtWork::new(Identity::this_process(), 2) };
        Observation { workers: Some(vec![record]), backlog: Some(Backlog { ready, delayed: 0, consumers: 1 }) }
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(SUSPECT_AFTER * 2).expect("the machine runs for longer")
    }

    fn pass_time(jobs: &mut LostJobs) {
        jobs.unseen.values_mut().for_each(|(since, _)| *since = long_ago());
    }

    #[test]
    fn a_job_is_lost_when_neither_a_worker_nor_the_queue_has_it() {
        let pending = BTreeMap::from([("held".to_string(), 0), ("lost".to_string(), 1)]);
        let mut jobs = LostJobs::new(Duration::from_secs(300));
        let nothing = Found::default();
        assert_eq!(jobs.find(&observation(&["held"], 0), &pending), nothing, "they were sent just now");
        pass_time(&mut jobs);
        let unknown = Observation { backlog: None, ..observation(&["held"], 0) };
        assert_eq!(jobs.find(&unknown, &pending), nothing, "the broker did not answer");
        let delayed = Backlog { ready: 0, delayed: 1, consumers: 1 };
        let delayed = Observation { backlog: Some(delayed), ..observation(&["held"], 0) };
        assert_eq!(jobs.find(&delayed, &pending), nothing, "it may wait for its next attempt");
        assert_eq!(jobs.find(&observation(&["held"], 0), &pending).lost, ["lost"]);
        assert_eq!(jobs.find(&observation(&["held"], 0), &pending), nothing, "it was sent again just now");
        pass_time(&mut jobs);
        let unknown = Observation { workers: None, ..observation(&[], 0) };
        assert_eq!(jobs.find(&unknown, &pending), nothing, "the store did not answer");
    }

    #[test]
    fn behind_other_messages_a_job_is_lost_once_a_marker_that_was_sent_later_is_answered() {
        let pending = BTreeMap::from([("held".to_string(), 0), ("lost".to_string(), 1)]);
        let mut jobs = LostJobs::new(Duration::from_secs(300));
        let behind_others = observation(&["held"], 7);
        jobs.find(&behind_others, &pending);
        pass_time(&mut jobs);
        assert!(jobs.find(&behind_others, &pending).wants_marker, "it may wait behind others");
        jobs.marked("marker".into());
        assert_eq!(jobs.find(&behind_others, &pending), Found::default(), "the marker waits too");
        assert!(jobs.is_answer("marker") && !jobs.is_answer("held"));
        assert_eq!(jobs.find(&behind_others, &pending), Found::default(), "records are not written yet");
        jobs.marker.as_mut().expect("sent").answered = Some(long_ago());
        assert_eq!(jobs.find(&behind_others, &pending).lost, ["lost"]);
        jobs.marked("marker".into());
        jobs.marker.as_mut().expect("sent").answered = Some(long_ago());
        jobs.marker.as_mut().expect("sent").sent = long_ago().checked_sub(SUSPECT_AFTER).expect("longer");
        pass_time(&mut jobs);
        assert_eq!(jobs.find(&behind_others, &pending), Found::default(), "sent again after the marker");
    }
}
