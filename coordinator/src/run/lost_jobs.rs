//! Finds jobs whose messages are lost: no worker holds them, and the queue is empty. The broker was
//! purged, a queue was deleted, or a delivery went to the dead letters without a record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jhalak_common::Result;
use jhalak_common::queue::{Queue, WorkKind};
use jhalak_common::run::{AT_WORK_INTERVAL_S, AtWork};
use jhalak_common::store::ObjectStore;

/// How often workers are looked at.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(AT_WORK_INTERVAL_S);

/// A job that no worker has held for this long may be lost. Longer than workers take to write their
/// records twice.
const SUSPECT_AFTER: Duration = Duration::from_secs(3 * AT_WORK_INTERVAL_S);

/// After a job was sent again, it is suspected later each time, up to this: its worker may be of an
/// older version, which writes no record.
const MAX_SUSPECT_AFTER: Duration = Duration::from_secs(1_800);

/// A record that is older than this is of a worker that ended without removing it.
const STALE_S: i64 = 120;

/// Watches the jobs of a stage that were sent.
pub(super) struct LostJobs {
    kind: WorkKind,
    /// Since when no worker has held the job, and after how long it is suspected.
    unseen: BTreeMap<String, (Instant, Duration)>,
}

/// What the workers of a run are at work on.
pub(super) struct Workers {
    /// The slots of each.
    pub(super) slots: Vec<usize>,
    records: Vec<AtWork>,
}

impl Workers {
    /// Reads the records of the run's workers.
    pub(super) async fn look(store: &dyn ObjectStore, run: &str) -> Result<Workers> {
        let mut records = AtWork::of_run(store, run).await?;
        records.retain(|record| !record.process.is_dead() && record.age_s() < STALE_S);
        Ok(Workers { slots: records.iter().map(|record| record.slots).collect(), records })
    }

    fn hold(&self, job: &str) -> bool {
        self.records.iter().any(|record| record.jobs.contains_key(job))
    }
}

impl LostJobs {
    pub(super) fn new(kind: WorkKind) -> LostJobs {
        LostJobs { kind, unseen: BTreeMap::new() }
    }

    /// Returns the jobs of `pending` that are neither with a worker nor on the queue.
    pub(super) async fn find(
        &mut self,
        workers: &Workers,
        queue: &dyn Queue,
        pending: &BTreeMap<String, usize>,
    ) -> Result<Vec<String>> {
        self.unseen.retain(|id, _| pending.contains_key(id));
        let now = Instant::now();
        for id in pending.keys() {
            let (since, _) = self.unseen.entry(id.clone()).or_insert((now, SUSPECT_AFTER));
            if workers.hold(id) {
                *since = now;
            }
        }
        let suspects = self.unseen.iter().filter(|(_, (since, after))| now - *since >= *after);
        let suspects: Vec<String> = suspects.map(|(id, _)| id.clone()).collect();
        if suspects.is_empty() || !queue.backlog(self.kind).await?.is_empty() {
            return Ok(Vec::new());
        }
        for id in &suspects {
            if let Some((since, after)) = self.unseen.get_mut(id) {
                (*since, *after) = (now, (*after * 2).min(MAX_SUSPECT_AFTER));
            }
        }
        Ok(suspects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, plan};
    use jhalak_common::process::Identity;
    use jhalak_common::queue::Channel;
    use jhalak_common::run::JobAtWork;

    fn workers(jobs: &[&str]) -> Workers {
        let at_work = || JobAtWork {
            about: "a trailer".into(),
            since: jiff::Timestamp::now(),
            step: "decode".into(),
            step_since: jiff::Timestamp::now(),
        };
        let jobs = jobs.iter().map(|id| (id.to_string(), at_work())).collect();
        let record = AtWork { jobs, ..AtWork::new(Identity::this_process(), 2) };
        Workers { slots: vec![2], records: vec![record] }
    }

    #[tokio::test]
    async fn a_job_is_lost_when_neither_a_worker_nor_the_queue_has_it() {
        let bench = Bench::new();
        let plan = plan(2);
        let jobs = crate::run::jobs::Jobs::extractions(&plan, bench.store.url(), &[0b111; 2]);
        let pending: BTreeMap<String, usize> = (0..2).map(|i| (jobs.id(i), i)).collect();
        let mut lost = LostJobs::new(WorkKind::Extract);
        let held = jobs.id(0);
        let find = async |lost: &mut LostJobs| {
            let found = lost.find(&workers(&[&held]), &bench.queue, &pending).await;
            found.expect("an open queue")
        };
        assert!(find(&mut lost).await.is_empty(), "it was sent just now");
        let long_ago = Instant::now().checked_sub(SUSPECT_AFTER * 2).expect("the machine runs for longer");
        lost.unseen.values_mut().for_each(|(since, _)| *since = long_ago);
        let body = bytes::Bytes::from_static(b"a job of another run");
        bench.queue.publish(&Channel::Work(WorkKind::Extract), body).await.expect("an open queue");
        assert!(find(&mut lost).await.is_empty(), "it may wait behind others");
        let mut deliveries = bench.queue.consume(&Channel::Work(WorkKind::Extract), 1).await.expect("an open queue");
        deliveries.next().await.expect("open").expect("a message").ack().await.expect("open");
        assert_eq!(find(&mut lost).await, [jobs.id(1)]);
        assert!(find(&mut lost).await.is_empty(), "it was sent again just now");
    }
}
