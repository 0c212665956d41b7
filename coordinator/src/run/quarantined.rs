//! The quarantined jobs of a run.

use std::collections::{BTreeMap, BTreeSet};

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

/// The quarantine records of a run.
#[derive(Debug, Default)]
pub struct Quarantined {
    /// The records of jobs whose artifacts are still missing, by key.
    pub standing: BTreeMap<String, QuarantineRecord>,
    /// The keys of records that a commit overrules: another copy of the job succeeded later.
    pub overruled: Vec<String>,
}

impl Quarantined {
    /// Reads the records of a run and compares each with what is committed.
    pub async fn read(store: &dyn ObjectStore, run: &str) -> Result<Quarantined> {
        let keys = keys(store, run).await?;
        let records = stream::iter(keys).map(|key| async move {
            let Some(record) = run::get_json::<QuarantineRecord>(store, &key).await? else { return Ok(None) };
            let artifacts = record.decode_job().map(|job| job.task.artifacts()).unwrap_or_default();
            // A job without artifacts, such as a probe, leaves nothing that could overrule its
            // record.
            let is_committed = !artifacts.is_empty() && missing::all_committed(store, &artifacts).await?;
            Ok::<_, Error>(Some((key, record, is_committed)))
        });
        let mut records = records.buffered(MAX_CONCURRENT_REQUESTS);
        let mut found = Quarantined::default();
        while let Some(record) = records.next().await {
            match record? {
                Some((key, _, true)) => found.overruled.push(key),
                Some((key, record, false)) => drop(found.standing.insert(key, record)),
                None => {}
            }
        }
        Ok(found)
    }

    /// Removes the overruled records.
    pub async fn drop_overruled(&self, store: &dyn ObjectStore) -> Result<()> {
        for key in &self.overruled {
            tracing::info!(record = key, "dropping a quarantine record: its artifacts were committed later");
            store.delete(key).await?;
        }
        Ok(())
    }
}

/// Removes the records of jobs whose last error was of a machine (refused credentials, a full disk,
/// a service that did not answer) and not of the trailer, so that this run tries them again.
/// Returns their number.
pub async fn drop_of_machine(store: &dyn ObjectStore, run: &str) -> Result<usize> {
    let mut dropped = 0;
    for (key, record) in Quarantined::read(store, run).await?.standing {
        if record.error.is_of_machine() || record.error.is_transient() {
            store.delete(&key).await?;
            dropped += 1;
        }
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::jobs::Jobs;
    use crate::run::testing::{self, Bench, plan};
    use jhalak_common::ErrorKind;

    #[tokio::test]
    async fn a_job_that_a_machine_failed_is_tried_again_and_one_that_failed_itself_is_not() {
        let bench = Bench::new();
        let plan = plan(3);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 3]);
        let (store, id) = (bench.store.as_ref(), &plan.spec.id);
        testing::quarantine(store, &jobs.build(0)).await;
        for (job, error) in [(1, ErrorKind::Permission), (2, ErrorKind::Transient)] {
            let record = QuarantineRecord { error, ..testing::record(&jobs.build(job)) };
            run::put_json(store, &run::quarantine_key(id, &record.job), &record).await.expect("room on disk");
        }
        assert_eq!(drop_of_machine(store, id).await.expect("a folder that can be written"), 2);
        assert_eq!(keys(store, id).await.expect("readable"), [run::quarantine_key(id, &jobs.id(0))].into());
    }

    #[tokio::test]
    async fn a_commit_overrules_the_quarantine_record_of_its_job() {
        let bench = Bench::new();
        let plan = plan(2);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 2]);
        for i in 0..2 {
            testing::quarantine(bench.store.as_ref(), &jobs.build(i)).await;
        }
        testing::commit(bench.store.as_ref(), &jobs.build(0)).await;
        let (store, run) = (bench.store.as_ref(), &plan.spec.id);
        let found = Quarantined::read(store, run).await.expect("readable records");
        assert_eq!(found.standing.values().map(|record| &record.job).collect::<Vec<_>>(), [&jobs.id(1)]);
        assert_eq!(keys(store, run).await.expect("a readable folder").len(), 2);
        found.drop_overruled(store).await.expect("a folder that can be written");
        assert_eq!(keys(store, run).await.expect("a readable folder"), found.standing.into_keys().collect());
    }
}
