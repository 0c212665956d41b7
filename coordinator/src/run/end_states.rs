//! The end states of jobs as the store shows them, for results that were lost on the queue.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::ArtifactKey;
use jhalak_common::run::job::{JobResult, Outcome, QuarantineRecord};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::{missing, quarantined};

/// From this many pending jobs on, one listing per recipe costs less than a request per artifact.
const LISTING_THRESHOLD: usize = 500;

/// Returns the end states of the jobs in `pending` (index by id) that have one in the store. A
/// commit outranks a quarantine record.
pub async fn find(
    store: &dyn ObjectStore,
    plan: &Plan,
    jobs: &Jobs<'_>,
    pending: &BTreeMap<String, usize>,
) -> Result<Vec<JobResult>> {
    let quarantined = quarantined::keys(store, &plan.spec.id).await?;
    let extracts = pending.values().next().is_some_and(|&i| jobs.trailer(i).is_some());
    let listed = match extracts && pending.len() > LISTING_THRESHOLD {
        true => Some(missing::of_trailers(store, plan).await?),
        false => None,
    };
    let (quarantined, listed) = (&quarantined, &listed);
    let states = stream::iter(pending).map(|(id, &i)| async move {
        let committed = match (listed, jobs.trailer(i)) {
            (Some(missing), Some(trailer)) => missing[trailer] == 0,
            _ => missing::all_committed(store, &jobs.artifacts(i)).await?,
        };
        if committed {
            let outcome = Outcome::Committed { made: 0, seconds: BTreeMap::new() };
            return Ok(Some(JobResult::new(id, &plan.spec.id, outcome)));
        }
        let key = quarantine_key(&plan.spec.id, id);
        if !quarantined.contains(&key) {
            return Ok(None);
        }
        let record: Option<QuarantineRecord> = run::get_json(store, &key).await?;
        let record = record.filter(|record| is_of(record, &jobs.artifacts(i)));
        Ok::<_, Error>(record.map(|record| JobResult {
            worker: record.worker,
            ..JobResult::new(id, &plan.spec.id, Outcome::Quarantined { error: record.error, reason: record.reason })
        }))
    });
    states.buffered(MAX_CONCURRENT_REQUESTS).try_filter_map(|found| async move { Ok(found) }).try_collect().await
}

/// Whether the record is of the job that makes these artifacts: forged messages also leave records.
fn is_of(record: &QuarantineRecord, artifacts: &[ArtifactKey]) -> bool {
    let subject = |key: &ArtifactKey| key.subject.clone();
    let of_record = record.decode_job().and_then(|job| job.task.artifacts().first().map(subject));
    of_record.is_none() || of_record == artifacts.first().map(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{self, Bench, plan};

    #[tokio::test]
    async fn the_store_shows_committed_and_quarantined_jobs_and_a_commit_outranks_a_quarantine() {
        let bench = Bench::new();
        let plan = plan(4);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 4]);
        let store = bench.store.as_ref();
        testing::commit(store, &jobs.build(0)).await;
        testing::quarantine(store, &jobs.build(1)).await;
        testing::commit(store, &jobs.build(2)).await;
        testing::quarantine(store, &jobs.build(2)).await;
        let pending: BTreeMap<String, usize> = (0..4).map(|i| (jobs.id(i), i)).collect();
        let found = find(store, &plan, &jobs, &pending).await.expect("a readable store");
        let found: BTreeMap<_, _> = found.into_iter().map(|result| (result.job, result.outcome)).collect();
        assert!(matches!(found[&jobs.id(0)], Outcome::Committed { made: 0, .. }));
        assert!(matches!(found[&jobs.id(1)], Outcome::Quarantined { .. }));
        assert!(matches!(found[&jobs.id(2)], Outcome::Committed { .. }));
        assert!(!found.contains_key(&jobs.id(3)), "{found:?}");
    }

    #[tokio::test]
    async fn a_long_list_of_pending_jobs_has_the_same_end_states() {
        let bench = Bench::new();
        let plan = plan(LISTING_THRESHOLD + 1);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &vec![0b111; LISTING_THRESHOLD + 1]);
        testing::commit(bench.store.as_ref(), &jobs.build(7)).await;
        testing::quarantine(bench.store.as_ref(), &jobs.build(8)).await;
        let pending: BTreeMap<String, usize> = (0..jobs.len()).map(|i| (jobs.id(i), i)).collect();
        let found = find(bench.store.as_ref(), &plan, &jobs, &pending).await.expect("a readable store");
        let mut ids: Vec<String> = found.into_iter().map(|result| result.job).collect();
        ids.sort();
        let mut expected = vec![jobs.id(7), jobs.id(8)];
        expected.sort();
        assert_eq!(ids, expected);
    }
}
