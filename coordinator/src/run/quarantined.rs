//! The quarantined jobs of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::ArtifactKey;
use jhalak_common::run::job::{Job, QuarantineRecord, Task};
use jhalak_common::run::{self, quarantine_folder, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::plan::trailer_index::TrailerIndex;
use crate::run::jobs::{cell_id, extraction_id, fit_id};
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
    /// The keys of records of jobs that the run does not have, such as those of forged messages.
    /// They count nowhere.
    pub foreign: Vec<String>,
}

impl Quarantined {
    /// Reads the records of the plan's run and compares each with the plan, and with what is
    /// committed.
    pub async fn read(store: &dyn ObjectStore, plan: &Plan) -> Result<Quarantined> {
        let keys = keys(store, &plan.spec.id).await?;
        if keys.is_empty() {
            return Ok(Quarantined::default());
        }
        let planned = PlannedJobs::of(plan);
        let planned = &planned;
        let records = stream::iter(keys).map(|key| async move {
            let record = match run::get_json::<QuarantineRecord>(store, &key).await {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::InvalidInput => return Ok(Some((key, None, false))),
                Err(e) => return Err(e),
            };
            if !planned.has(&key, &record) {
                return Ok(Some((key, None, false)));
            }
            let artifacts = record.decode_job().map(|job| job.task.artifacts()).unwrap_or_default();
            // A message that cannot be read names nothing that could overrule its record.
            let is_committed = !artifacts.is_empty() && missing::all_committed(store, &artifacts).await?;
            Ok::<_, Error>(Some((key, Some(record), is_committed)))
        });
        let mut records = records.buffered(MAX_CONCURRENT_REQUESTS);
        let mut found = Quarantined::default();
        while let Some(record) = records.next().await {
            match record? {
                Some((key, _, true)) => found.overruled.push(key),
                Some((key, Some(record), false)) => drop(found.standing.insert(key, record)),
                Some((key, None, false)) => found.foreign.push(key),
                None => {}
            }
        }
        Ok(found)
    }

    /// Moves the records of training jobs to the foreign ones if they are of none of `ids`, the
    /// training jobs of the run over its present tables.
    pub fn keep_training_jobs(&mut self, ids: &BTreeSet<String>) {
        let is_present = |record: &QuarantineRecord| {
            let is_extraction = matches!(record.decode_job(), Some(Job { task: Task::Extract(_), .. }));
            is_extraction || ids.contains(&record.job)
        };
        let foreign = self.standing.extract_if(.., |_, record| !is_present(record));
        self.foreign.extend(foreign.map(|(key, _)| key));
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

/// The jobs that a plan has, to compare records with. Which tables the training jobs read is not
/// known here.
struct PlannedJobs<'a> {
    plan: &'a Plan,
    /// Built with the first record: most runs have none.
    trailers: OnceLock<TrailerIndex<'a>>,
}

impl<'a> PlannedJobs<'a> {
    fn of(plan: &'a Plan) -> Self {
        PlannedJobs { plan, trailers: OnceLock::new() }
    }

    /// Whether the record under `key` is of a job of the plan. The record of a message that cannot
    /// be read, as an older program wrote it, is taken at its word.
    fn has(&self, key: &str, record: &QuarantineRecord) -> bool {
        let spec = &self.plan.spec;
        if quarantine_key(&spec.id, &record.job) != key {
            return false;
        }
        let Some(job) = record.decode_job() else { return true };
        match &job.task {
            Task::Extract(task) => {
                let folder = ArtifactKey::subject_folder(&task.trailer.subject);
                let trailers = &self.plan.trailers.trailers;
                let index = self.trailers.get_or_init(|| TrailerIndex::new(trailers));
                let trailer = index.get(&folder).and_then(|i| trailers.get(i as usize));
                trailer.is_some_and(|trailer| trailer.subject == task.trailer.subject)
                    && job.id == extraction_id(&task.trailer.subject)
                    && task.wanted.iter().all(|recipe| spec.recipes.contains(recipe))
            }
            Task::Cell(task) => {
                task.dataset == spec.dataset && spec.cells.contains(&task.cell) && job.id == cell_id(task)
            }
            Task::Fit(task) => task.dataset == spec.dataset && spec.fit.is_some() && job.id == fit_id(task),
            Task::Probe(_) => false,
        }
    }
}

/// Removes the records of jobs whose last error was of a machine (refused credentials, a full disk,
/// a service that did not answer) or of something that was missing (a trailer, an artifact that
/// they need), so that this run tries them again. Returns their number.
pub async fn drop_retryable(store: &dyn ObjectStore, plan: &Plan) -> Result<usize> {
    let mut dropped = 0;
    for (key, record) in Quarantined::read(store, plan).await?.standing {
        let error = record.error;
        if error.is_of_machine() || error.is_transient() || error == ErrorKind::NotFound {
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

    #[tokio::test]
    async fn a_job_that_failed_for_a_machine_or_a_missing_file_is_tried_again_and_one_that_failed_itself_is_not() {
        let bench = Bench::new();
        let plan = plan(4);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 4]);
        let (store, id) = (bench.store.as_ref(), &plan.spec.id);
        testing::quarantine(store, &jobs.build(0)).await;
        for (job, error) in [(1, ErrorKind::Permission), (2, ErrorKind::Transient), (3, ErrorKind::NotFound)] {
            let record = QuarantineRecord { error, ..testing::record(&jobs.build(job)) };
            run::put_json(store, &run::quarantine_key(id, &record.job), &record).await.expect("room on disk");
        }
        assert_eq!(drop_retryable(store, &plan).await.expect("a folder that can be written"), 3);
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
        let found = Quarantined::read(store, &plan).await.expect("readable records");
        assert_eq!(found.standing.values().map(|record| &record.job).collect::<Vec<_>>(), [&jobs.id(1)]);
        assert_eq!(keys(store, run).await.expect("a readable folder").len(), 2);
        found.drop_overruled(store).await.expect("a folder that can be written");
        assert_eq!(keys(store, run).await.expect("a readable folder"), found.standing.into_keys().collect());
    }

    #[tokio::test]
    async fn records_of_jobs_that_the_run_does_not_have_count_nowhere() {
        let bench = Bench::new();
        let plan = plan(2);
        let jobs = Jobs::extractions(&plan, bench.store.url(), &[0b111; 2]);
        let (store, id) = (bench.store.as_ref(), &plan.spec.id);
        testing::quarantine(store, &jobs.build(0)).await;
        let forged = |change: fn(&mut Job)| {
            let mut job = jobs.build(1);
            change(&mut job);
            job
        };
        let content = jhalak_common::hash::of_bytes(b"another");
        let forgeries = [
            forged(|job| job.id = "x-id".into()),
            forged(|job| {
                let Task::Extract(task) = &mut job.task else { panic!("an extraction") };
                task.trailer.subject.id = "../../../etc".into();
                job.id = "y-id".into();
            }),
            // Under the id of a real job.
            Job {
                task: {
                    let mut job = jobs.build(1);
                    let Task::Extract(task) = &mut job.task else { panic!("an extraction") };
                    task.trailer.subject.content = content;
                    job.task
                },
                ..jobs.build(1)
            },
        ];
        for job in &forgeries {
            testing::quarantine(store, job).await;
        }
        store.put(&run::quarantine_key(id, "z-id"), "{}".into()).await.expect("room on disk");
        let found = Quarantined::read(store, &plan).await.expect("no record stops the run");
        assert_eq!(found.standing.values().map(|record| &record.job).collect::<Vec<_>>(), [&jobs.id(0)]);
        assert_eq!((found.overruled.len(), found.foreign.len()), (0, 4));
    }
}
