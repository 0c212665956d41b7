//! What remains to do in a run. The run, its dry run and reprocessing all use this one computation, so that a dry run lists
//! exactly the jobs that the run sends.

use std::collections::BTreeSet;

use jhalak_common::artifact::ArtifactKey;
use jhalak_common::run::quarantine_key;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::embedding_tables::GatheredTable;
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::missing::{self, RecipeSet};
use crate::run::quarantined;
use crate::run::tasks::{self, CellTasks};

/// The extraction that remains.
pub struct RemainingExtraction<'a> {
    /// The jobs to send.
    pub jobs: Jobs<'a>,
    /// The recipes whose artifact each trailer lacks, by the trailer's index in the plan, quarantined jobs included.
    pub missing: Vec<RecipeSet>,
    /// The number of trailers that the run extracts, done or not.
    pub all: usize,
    /// The number of jobs that are not sent because an earlier attempt quarantined them.
    pub quarantined: usize,
}

/// The training that remains.
pub struct RemainingTraining<'a> {
    /// The jobs to send.
    pub jobs: Jobs<'a>,
    /// The number of training jobs of the run, done or not.
    pub all: usize,
    /// The number of jobs that are not sent because an earlier attempt quarantined them.
    pub quarantined: usize,
    /// The folds of all cells, done or not.
    pub cells: CellTasks,
    /// The results of folds that are committed and not to be made again.
    pub committed: Vec<ArtifactKey>,
    /// The key of the final model; None when the run fits none.
    pub model: Option<ArtifactKey>,
}

/// Returns the extraction that remains. Artifacts in `again` count as missing although they are committed.
pub async fn extraction<'a>(
    store: &dyn ObjectStore,
    plan: &'a Plan,
    again: &BTreeSet<ArtifactKey>,
) -> Result<RemainingExtraction<'a>> {
    let mut missing = missing::of_trailers(store, plan).await?;
    if !again.is_empty() {
        for (trailer, missing) in plan.trailers.trailers.iter().zip(&mut missing) {
            for (bit, recipe) in plan.spec.recipes.iter().enumerate() {
                if again.contains(&ArtifactKey::new(recipe, &trailer.subject)) {
                    *missing |= 1 << bit;
                }
            }
        }
    }
    let mut jobs = Jobs::extractions(plan, store.url(), &missing);
    let quarantined = leave_out_quarantined(store, plan, &mut jobs).await?;
    check_contracts(plan, jobs.len())?;
    let all = plan.spec.only.as_ref().map_or(plan.trailers.trailers.len(), BTreeSet::len);
    Ok(RemainingExtraction { jobs, missing, all, quarantined })
}

/// Returns the training that remains over these tables. Artifacts in `again` count as missing although they are committed.
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
    let quarantined = leave_out_quarantined(store, plan, &mut jobs).await?;
    Ok(RemainingTraining { jobs, all, quarantined, cells, committed, model })
}

/// Removes the jobs that this run has quarantined: `jhalak retry` is what sends them again. Returns their number.
async fn leave_out_quarantined(store: &dyn ObjectStore, plan: &Plan, jobs: &mut Jobs<'_>) -> Result<usize> {
    let quarantined = quarantined::keys(store, &plan.spec.id).await?;
    let before = jobs.len();
    if !quarantined.is_empty() {
        jobs.retain(|id| !quarantined.contains(&quarantine_key(&plan.spec.id, id)));
    }
    Ok(before - jobs.len())
}

/// Refuses to extract for a slot's run that another version of this program planned: its committed artifacts stay valid, but no
/// worker of this version makes more of them.
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
