//! The quarantined jobs of a run.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{self, quarantine_folder};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::run::missing;

/// Lists the keys of the run's quarantine records.
pub async fn keys(store: &dyn ObjectStore, run: &str) -> Result<BTreeSet<String>> {
    store.list(&quarantine_folder(run)).map_ok(|object| object.key).try_collect().await
}

/// Reads the records of the run's quarantined jobs whose artifacts are still missing, in the order
/// of their keys. A commit outranks a quarantine record: another copy of the job may have
/// succeeded.
pub async fn records(store: &dyn ObjectStore, run: &str) -> Result<Vec<QuarantineRecord>> {
    let keys = keys(store, run).await?;
    let records = stream::iter(keys).map(|key| async move {
        let Some(record) = run::get_json::<QuarantineRecord>(store, &key).await? else { return Ok(None) };
        let committed = match record.decode_job() {
            Some(job) => missing::all_committed(store, &job.task.artifacts()).await?,
            None => false,
        };
        Ok::<_, Error>((!committed).then_some(record))
    });
    records.buffered(MAX_CONCURRENT_REQUESTS).try_filter_map(|record| async move { Ok(record) }).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::jobs::Jobs;
    use crate::run::testing::{self, Bench, plan};

    #[tokio::test]
    async fn a_quarantined_job_whose_artifacts_are_committed_is_not_listed() {
        let bench = Bench::new();
        let plan = plan(2);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 2]);
        for i in 0..2 {
            testing::quarantine(bench.store.as_ref(), &jobs.build(i)).await;
        }
        testing::commit(bench.store.as_ref(), &jobs.build(0)).await;
        let records = records(bench.store.as_ref(), &plan.spec.id).await.expect("readable records");
        assert_eq!(records.iter().map(|record| &record.job).collect::<Vec<_>>(), [&jobs.id(1)]);
        assert_eq!(keys(bench.store.as_ref(), &plan.spec.id).await.expect("a readable folder").len(), 2);
    }
}
