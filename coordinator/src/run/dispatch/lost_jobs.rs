//! Finds jobs whose messages are lost: no worker holds them, and the queue is empty. The broker was
//! purged, a queue was deleted, or a delivery went to the dead letters without a record.

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

/// Watches the jobs of a stage that were sent.
#[derive(Default)]
pub(super) struct LostJobs {
    /// Since when no worker has held the job, and after how long it is suspected.
    unseen: BTreeMap<String, (Instant, Duration)>,
}

impl LostJobs {
    /// Returns the jobs of `pending` that are neither with a worker nor on the queue.
    pub(super) fn find(&mut self, observation: &Observation, pending: &BTreeMap<String, usize>) -> Vec<String> {
        self.unseen.retain(|id, _| pending.contains_key(id));
        let now = Instant::now();
        for id in pending.keys() {
            let (since, _) = self.unseen.entry(id.clone()).or_insert((now, SUSPECT_AFTER));
            // Nothing is known of a store that did not answer.
            if observation.workers.is_none() || observation.holds(id) {
                *since = now;
            }
        }
        if !observation.backlog.is_some_and(|backlog| backlog.is_empty()) {
            return Vec::new();
        }
        let suspects = self.unseen.iter_mut().filter(|(_, (since, after))| now - *since >= *after);
        let lost = suspects.map(|(id, (since, after))| {
            (*since, *after) = (now, (*after * 2).min(MAX_SUSPECT_AFTER));
            id.clone()
        });
        lost.collect()
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

    #[test]
    fn a_job_is_lost_when_neither_a_worker_nor_the_queue_has_it() {
        let pending = BTreeMap::from([("held".to_string(), 0), ("lost".to_string(), 1)]);
        let mut jobs = LostJobs::default();
        assert!(jobs.find(&observation(&["held"], 0), &pending).is_empty(), "they were sent just now");
        let long_ago = Instant::now().checked_sub(SUSPECT_AFTER * 2).expect("the machine runs for longer");
        let pass_time = |jobs: &mut LostJobs| jobs.unseen.values_mut().for_each(|(since, _)| *since = long_ago);
        pass_time(&mut jobs);
        assert!(jobs.find(&observation(&["held"], 1), &pending).is_empty(), "it may wait behind others");
        let unknown = Observation { backlog: None, ..observation(&["held"], 0) };
        assert!(jobs.find(&unknown, &pending).is_empty(), "the broker did not answer");
        assert_eq!(jobs.find(&observation(&["held"], 0), &pending), ["lost"]);
        assert!(jobs.find(&observation(&["held"], 0), &pending).is_empty(), "it was sent again just now");
        pass_time(&mut jobs);
        let unknown = Observation { workers: None, ..observation(&[], 0) };
        assert!(jobs.find(&unknown, &pending).is_empty(), "the store did not answer");
    }
}
