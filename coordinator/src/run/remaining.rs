//! Computes the remaining work of a run. The run, its dry run and reprocessing all use this one
//! computation, so that a dry run lists exactly the jobs that the run sends.

use std::collections::BTreeSet;

use jhalak_common::artifact::ArtifactKey;
use jhalak_common::run::quarantine_key;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::embedding_tables::GatheredTable;
use crate::plan::Plan;
use crate::run::jobs::{Jobs, cell_id, fit_id};
use crate::run::missing::{self, RecipeSet};
use crate::run::quarantined::Quarantined;
use crate::run::tasks::{self, CellTasks};

/// The extraction that remains.
pub struct RemainingExtraction<'a> {
    /// The jobs to send.
    pub jobs: Jobs<'a>,
    /// The recipes whose artifact each trailer lacks, by the trailer's index in the plan,
    /// quarantined trailers and those outside the run's scope included.
    pub missing: Vec<RecipeSet>,
    /// The number of trailers that the run extracts, done or not.
    pub all: usize,
    /// The number of jobs that are not sent because an earlier attempt quarantined them.
    pub quarantined: usize,
    /// The quarantine records of the run.
    pub records: Quarantined,
}

/// The training that remains.
pub struct RemainingTraining<'a> {
    /// The jobs to send.
    pub jobs: Jobs<'a>,
    /// The number of training jobs of the run, done or not.
    pub all: usize,
    /// The ids of these jobs.
    pub ids: BTreeSet<String>,
    /// The number of jobs that are not sent because an earlier attempt quarantined them.
    pub quarantined: usize,
    /// The folds of all cells, done or not.
    pub cells: CellTasks,
    /// The results of folds that are committed and not to be made again.
    pub committed: Vec<ArtifactKey>,
    /// The key of the final model; None when the run fits none.
    pub model: Option<ArtifactKey>,
}

/// Returns the extraction that remains. Artifacts in `again` count as missing although they are
/// committed.
pub async fn extraction<'a>(
    store: &dyn ObjectStore,
    plan: &'a Plan,
    again: &BTreeSet<ArtifactKey>,
) -> Result<RemainingExtraction<'a>> {
    let mut missing = missing::of_trailers(store, plan).await?;
    if !again.is_empty() {
        for (trailer, missing) in plan.trailers.trailers.scan().zip(&mut missing) {
            for (bit, recipe) in plan.spec.recipes.iter().enumerate() {
                if again.contains(&ArtifactKey::new(recipe, &trailer.subject)) {
                    *missing |= 1 << bit;
                }
            }
        }
    }
    let in_scope: Vec<RecipeSet> = plan
        .trailers
        .trailers
        .scan()
        .zip(&missing)
        .map(|(trailer, missing)| if plan.extracts(&trailer) { *missing } else { 0 })
        .collect();
    let mut jobs = Jobs::extractions(plan, store.url(), &in_scope);
    drop(in_scope);
    let records = Quarantined::read(store, plan).await?;
    let quarantined = leave_out_quarantined(plan, &records, &mut jobs);
    check_contracts(plan, jobs.len())?;
    let all = plan.spec.only.as_ref().map_or(plan.trailers.trailers.len(), BTreeSet::len);
    Ok(RemainingExtraction { jobs, missing, all, quarantined, records })
}

/// Returns the training that remains over these tables. Artifacts in `again` count as missing
/// although they are committed.
pub async fn training<'a>(
    store: &dyn ObjectStore,
    plan: &'a Plan,
    tables: &[GatheredTable],
    again: &BTreeSet<ArtifactKey>,
) -> Result<RemainingTraining<'a>> {
    let cells = tasks::cell_tasks(plan, tables)?;
    let fit = tasks::fit_task(plan, tables)?;
    let model = fit.as_ref().map(|task| ArtifactKey::new(&task.recipe, &task.dataset));
    let all = cells.tasks.len() + usize::from(model.is_some());
    let ids = cells.tasks.iter().map(cell_id).chain(fit.as_ref().map(fit_id)).collect();
    let fit = match &model {
        Some(key) if !again.contains(key) && missing::all_committed(store, std::slice::from_ref(key)).await? => None,
        _ => fit,
    };
    let keys: Vec<ArtifactKey> = cells.tasks.iter().map(|task| ArtifactKey::new(&task.recipe, &task.dataset)).collect();
    let are_committed = missing::are_committed(store, &keys).await?;
    let (mut open, mut committed) = (Vec::new(), Vec::new());
    for ((task, key), is_committed) in cells.tasks.iter().zip(keys).zip(are_committed) {
        if is_committed && !again.contains(&key) {
            committed.push(key);
        } else {
            open.push(task.clone());
        }
    }
    let mut jobs = Jobs::training(plan, store.url(), fit, open);
    let records = Quarantined::read(store, plan).await?;
    let quarantined = leave_out_quarantined(plan, &records, &mut jobs);
    Ok(RemainingTraining { jobs, all, ids, quarantined, cells, committed, model })
}

/// Removes the jobs that this run has quarantined: `jhalak retry` is what sends them again. Returns
/// their number.
fn leave_out_quarantined(plan: &Plan, records: &Quarantined, jobs: &mut Jobs<'_>) -> usize {
    let before = jobs.len();
    if !records.standing.is_empty() {
        jobs.retain(|id| !records.standing.contains_key(&quarantine_key(&plan.spec.id, id)));
    }
    before - jobs.len()
}

/// Refuses to extract for a slot's run that another version of this program planned: its committed
/// artifacts stay valid, but no worker of this version makes more of them.
fn check_contracts(plan: &Plan, jobs: usize) -> Result<()> {
    let old = plan.spec.recipes.iter().find(|recipe| recipe.contract != recipe.kind.contract());
    match old {
        Some(recipe) if jobs > 0 => Err(Error::invalid(format!(
            "{jobs} trailers of the run {} are not extracted, and another version of this program planned the run and made \
             {} differently: submit again with another slot",
            plan.spec.id,
            recipe.kind.name()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, plan};
    use crate::run::{dry_run, reprocess};
    use jhalak_common::artifact::ArtifactKind;

    /// The ids of the jobs that a dry run lists.
    async fn listed(bench: &Bench, plan: &Plan, again: &[ArtifactKey]) -> BTreeSet<String> {
        let dry_run = dry_run::describe(bench.store.as_ref(), plan, again).await.expect("a readable store");
        dry_run.extract.into_iter().chain(dry_run.train).map(|job| job.job).collect()
    }

    #[tokio::test]
    async fn the_run_sends_exactly_the_jobs_that_the_dry_run_lists() {
        let bench = Bench::with_workers();
        // Without inputs from trailers, so that the training is known before the extraction.
        let mut plan = plan(3);
        plan.spec.cells.truncate(1);
        plan.spec.fit.as_mut().expect("a final model").network = None;
        let expected = listed(&bench, &plan, &[]).await;
        assert_eq!(expected.len(), 3 + 2 + 1, "{expected:?}");
        assert_eq!(bench.drive(&plan).await.1, expected);
        // Everything is committed now.
        assert!(listed(&bench, &plan, &[]).await.is_empty());
        assert!(bench.drive(&plan).await.1.is_empty());
        // One keyframe set and one fold are lost.
        let commits = bench.commits().await;
        for kind in ["keyframes", "cell"] {
            let commit = commits.iter().find(|key| key.starts_with(&format!("artifacts/{kind}/"))).expect(kind);
            bench.store.delete(commit).await.expect("a folder that can be written");
        }
        let expected = listed(&bench, &plan, &[]).await;
        assert_eq!(expected.len(), 2, "{expected:?}");
        assert_eq!(bench.drive(&plan).await.1, expected);
    }

    #[tokio::test]
    async fn a_reprocessing_run_sends_exactly_the_jobs_that_its_dry_run_lists() {
        let bench = Bench::with_workers();
        let plan = plan(3);
        bench.drive(&plan).await;
        let everything = bench.commits().await;
        let cases = [
            (ArtifactKind::Keyframes, 3),
            (ArtifactKind::VideoEmbedding, 3),
            (ArtifactKind::AudioTable, 0),
            (ArtifactKind::Cell, 4),
        ];
        for (kind, jobs) in cases {
            let again = reprocess::select(bench.store.as_ref(), &plan, kind).await.expect("a kind of this run");
            let expected = listed(&bench, &plan, &again).await;
            assert_eq!(expected.len(), jobs, "{kind:?}: {expected:?}");
            reprocess::retract(bench.store.as_ref(), &again).await.expect("a folder that can be written");
            assert_eq!(bench.drive(&plan).await.1, expected, "{kind:?}");
            assert_eq!(bench.commits().await, everything, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn neither_the_run_nor_the_dry_run_has_a_quarantined_job() {
        let bench = Bench::with_workers();
        let plan = plan(3);
        bench.poisoned.lock().expect("no panic").insert("m1".into());
        let (summary, sent) = bench.drive(&plan).await;
        assert_eq!((summary.quarantined.len(), summary.tables[0].rows), (1, 2));
        assert_eq!(sent.iter().filter(|id| id.starts_with("extract-")).count(), 3);
        let dry_run = dry_run::describe(bench.store.as_ref(), &plan, &[]).await.expect("a readable store");
        assert_eq!((dry_run.given_up, dry_run.extract.len(), dry_run.train.len()), (1, 0, 0));
        assert!(bench.drive(&plan).await.1.is_empty());
        // Reprocessing the other trailers does not send it either.
        let again = reprocess::select(bench.store.as_ref(), &plan, ArtifactKind::Keyframes).await.expect("a kind");
        let expected = listed(&bench, &plan, &again).await;
        assert_eq!(expected.len(), 2, "{expected:?}");
        reprocess::retract(bench.store.as_ref(), &again).await.expect("a folder that can be written");
        assert_eq!(bench.drive(&plan).await.1, expected);
    }

    #[tokio::test]
    async fn a_plan_of_another_contract_is_refused_while_trailers_remain() {
        let bench = Bench::new();
        let mut plan = plan(1);
        plan.spec.recipes[0].contract += 1;
        let error = extraction(bench.store.as_ref(), &plan, &BTreeSet::new()).await.err().expect("a refusal");
        assert!(error.chain().contains("slot"), "{}", error.chain());
        for recipe in &plan.spec.recipes {
            let subject = &plan.trailers.trailers[0].subject;
            crate::plan::testing::commit_one(bench.store.as_ref(), recipe, subject).await;
        }
        assert!(extraction(bench.store.as_ref(), &plan, &BTreeSet::new()).await.is_ok());
    }
}
