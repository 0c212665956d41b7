//! The stages of a run in order: extraction, tables of embeddings, training.
//!
//! The store is the only truth. A coordinator that crashed is started again, looks at the store, and resumes. Messages only
//! make the run faster: a lost result is found in the store, and a lost job is sent again.

use std::collections::BTreeSet;

use jhalak_common::artifact::ArtifactKey;
use jhalak_common::job::QuarantineRecord;
use jhalak_common::run::{RunState, Stage};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Result, fault_point};

use crate::artifacts::embedding_tables::{self, GatheredTable};
use crate::plan::Plan;
use crate::run::context::{Ended, RunContext, state_of};
use crate::run::dispatch::{self, StageJobs};
use crate::run::missing::RecipeSet;
use crate::run::tasks::CellTasks;
use crate::run::{quarantined, remaining};

/// The outcome of all stages.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Tables of embeddings, for the modalities that have one.
    pub tables: Vec<GatheredTable>,
    /// The records of quarantined jobs, in the order of their ids.
    pub quarantined: Vec<QuarantineRecord>,
    /// The number of artifacts that this drive made; 0 when all were committed before.
    pub made: usize,
    /// The number of trailers that this drive sent jobs for.
    pub extracted: usize,
    /// The folds of all cells, and the cells that were left out.
    pub cells: CellTasks,
    /// The key of the final model; its job may be quarantined.
    pub model: Option<ArtifactKey>,
}

/// Runs all stages. Returns when every job is committed or quarantined.
pub async fn drive(context: &RunContext, plan: &Plan) -> Result<Ended<Summary>> {
    fault_point::reach("coordinator-planned");
    let store = context.store.as_ref();
    let nothing_again = BTreeSet::new();
    let mut made = 0;
    let extraction = remaining::extraction(store, plan, &nothing_again).await?;
    let extracted = extraction.jobs.len();
    let work = StageJobs {
        stage: Stage::Extracting,
        jobs: &extraction.jobs,
        all: extraction.all,
        quarantined: extraction.quarantined,
    };
    match dispatch::run(context, plan, work).await? {
        Ended::Completed(n) => made += n,
        Ended::Cancelled => return Ok(Ended::Cancelled),
        Ended::Superseded => return Ok(Ended::Superseded),
    }
    // Freed early: the jobs of a hundred thousand trailers take megabytes.
    drop(extraction.jobs);
    let missing = extraction.missing;
    fault_point::reach("coordinator-extracted");
    // When nothing was sent, the first look at the store still holds. It did not cover trailers outside the run's scope.
    let is_current = extracted == 0 && plan.spec.only.is_none();
    let tables = gather_all(store, plan, is_current.then_some(&missing)).await?;
    drop(missing);
    fault_point::reach("coordinator-gathered");
    let training = remaining::training(store, plan, &tables, &nothing_again).await?;
    let work = StageJobs {
        stage: Stage::Training,
        jobs: &training.jobs,
        all: training.all,
        quarantined: training.quarantined,
    };
    match dispatch::run(context, plan, work).await? {
        Ended::Completed(n) => made += n,
        Ended::Cancelled => return Ok(Ended::Cancelled),
        Ended::Superseded => return Ok(Ended::Superseded),
    }
    fault_point::reach("coordinator-trained");
    let quarantined = quarantined::records(store, &plan.spec.id).await?;
    let state = RunState { quarantined: quarantined.len(), ..state_of(Stage::Reporting) };
    context.write_state(&plan.spec.id, &state).await?;
    let (cells, model) = (training.cells, training.model);
    Ok(Ended::Completed(Summary { tables, quarantined, made, extracted, cells, model }))
}

/// Returns the run's tables of embeddings and makes those that are missing. `missing` holds the recipes that each trailer
/// lacks, where that is known.
async fn gather_all(
    store: &dyn ObjectStore,
    plan: &Plan,
    missing: Option<&Vec<RecipeSet>>,
) -> Result<Vec<GatheredTable>> {
    let mut tables = Vec::new();
    for (kind, source) in embedding_tables::sources(plan) {
        let subjects = match (missing, plan.spec.recipes.iter().position(|recipe| recipe == source)) {
            (Some(missing), Some(bit)) => {
                let trailers = plan.trailers.trailers.iter().zip(missing);
                let committed = trailers.filter(|(_, missing)| *missing & (1 << bit) == 0);
                committed.map(|(trailer, _)| &trailer.subject).collect()
            }
            _ => embedding_tables::committed_subjects(store, plan, source).await?,
        };
        tables.extend(embedding_tables::gather_these(store, plan, kind, source, subjects).await?);
    }
    Ok(tables)
}
