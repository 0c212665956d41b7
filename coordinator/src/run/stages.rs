//! The stages of a run in order: extraction, tables of embeddings, training.
//!
//! The store is the only truth. A coordinator that crashed is started again, looks at the store,
//! and resumes. Messages only make the run faster: a lost result is found in the store, and a lost
//! job is sent again.

use std::collections::BTreeSet;

use jhalak_common::Result;
use jhalak_common::artifact::ArtifactKey;
use jhalak_common::process::fault_point;
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{RunState, Stage};
use jhalak_common::store::ObjectStore;

use crate::artifacts::embedding_tables::{self, GatheredTable};
use crate::plan::Plan;
use crate::run::context::{Ended, RunContext};
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
    // When nothing was sent, the first look at the store still holds. It did not cover trailers
    // outside the run's scope.
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
    let state = RunState { quarantined: quarantined.len(), ..RunState::of(Stage::Reporting) };
    context.write_state(&plan.spec.id, &state).await?;
    let (cells, model) = (training.cells, training.model);
    Ok(Ended::Completed(Summary { tables, quarantined, made, extracted, cells, model }))
}

/// Returns the run's tables of embeddings and makes those that are missing. `missing` holds the
/// recipes that each trailer lacks, where that is known.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::testing::{Bench, plan};
    use jhalak_common::artifact::ArtifactKind;

    #[tokio::test]
    async fn a_run_makes_each_artifact_once_and_a_second_run_nothing() {
        let bench = Bench::with_workers();
        let plan = plan(3);
        let (summary, sent) = bench.drive(&plan).await;
        // 3 artifacts of each trailer, 2 folds of 2 cells, the final model.
        assert_eq!((summary.made, summary.extracted, sent.len()), (9 + 4 + 1, 3, 3 + 4 + 1));
        let kinds: Vec<ArtifactKind> = summary.tables.iter().map(|table| table.kind).collect();
        assert_eq!(kinds, [ArtifactKind::VideoTable, ArtifactKind::AudioTable]);
        assert!(summary.tables.iter().all(|table| table.rows == 3));
        assert!(summary.cells.left_out.is_empty() && summary.model.is_some() && summary.quarantined.is_empty());
        assert_eq!(bench.state(&plan).await.stage, Stage::Reporting);
        let commits = bench.commits().await;
        let (second, sent) = bench.drive(&plan).await;
        assert_eq!((second.made, second.extracted, sent.len()), (0, 0, 0));
        assert_eq!((second.model, bench.commits().await), (summary.model, commits));
    }

    #[tokio::test]
    async fn a_run_without_trailers_leaves_out_the_cells_that_need_them() {
        let bench = Bench::with_workers();
        let plan = plan(0);
        let (summary, sent) = bench.drive(&plan).await;
        assert_eq!(summary.cells.left_out.keys().collect::<Vec<_>>(), [&plan.spec.cells[1].name()]);
        assert_eq!((summary.tables.len(), sent.len()), (0, 2 + 1));
    }

    #[tokio::test]
    async fn a_run_of_new_trailers_extracts_no_other_and_still_gathers_all() {
        let bench = Bench::with_workers();
        let mut plan = plan(3);
        bench.drive(&plan).await;
        let commit = ArtifactKey::new(&plan.spec.recipes[2], &plan.trailers.trailers[0].subject).commit();
        bench.store.delete(&commit).await.expect("a folder that can be written");
        plan.spec.only = Some([ArtifactKey::subject_folder(&plan.trailers.trailers[1].subject)].into());
        let (summary, _) = bench.drive(&plan).await;
        assert_eq!((summary.extracted, summary.tables[0].rows, summary.tables[1].rows), (0, 3, 2));
    }

    #[tokio::test]
    async fn a_cancelled_run_ends_in_the_stage_that_it_had_reached() {
        let bench = Bench::new();
        let plan = plan(1);
        bench.signals.cancelled.cancel();
        let job = remaining::extraction(bench.store.as_ref(), &plan, &BTreeSet::new()).await.expect("readable");
        let job = job.jobs.build(0);
        let context = bench.context(16);
        let dropped = async {
            use jhalak_common::queue::{Channel, Queue};
            let channel = Channel::Work(job.task.work_kind());
            let mut deliveries = bench.queue.consume(&channel, 1).await.expect("an open queue");
            let delivery = deliveries.next().await.expect("an open queue").expect("a message");
            delivery.ack().await.expect("an open queue");
            crate::run::testing::publish_result(&bench.queue, &job, jhalak_common::run::job::Outcome::Cancelled).await;
        };
        let (ended, ()) = tokio::join!(drive(&context, &plan), dropped);
        assert!(matches!(ended.expect("a run"), Ended::Cancelled));
        let state = bench.state(&plan).await;
        assert_eq!((state.stage, state.cancelled), (Stage::Cancelled, 1));
    }
}
