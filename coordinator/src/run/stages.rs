//! Drives a run to its end: sends the jobs whose artifacts are missing, waits for their end states, goes on to the next stage.
//!
//! Storage is the truth: what is missing is found by looking, so a coordinator that dies is started again, looks, and goes on. Messages only
//! make it faster: a lost result is found by looking again, and a lost job is sent again.

use std::collections::BTreeMap;
use std::sync::Arc;

use jhalak_common::artifact::ArtifactKey;
use jhalak_common::process::fault_point;
use jhalak_common::queue::Queue;
use jhalak_common::run::job::{FitTask, QuarantineRecord};
use jhalak_common::run::{RUN_VERSION, RunState, Stage, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use tokio_util::sync::CancellationToken;

use crate::artifacts::embedding_tables::{self, GatheredTable, Named};
use crate::console::progress::Progress;
use crate::plan::{Plan, final_model};
use crate::run::dispatch::Ended;
use crate::run::jobs::{Jobs, RecipeSet};
use crate::run::lease::Lead;
use crate::run::missing::{self, inputs};

/// What drives a run.
pub struct Coordinator {
    /// Where artifacts are.
    pub store: Arc<dyn ObjectStore>,
    /// What carries jobs.
    pub queue: Arc<dyn Queue>,
    /// What a person sees.
    pub progress: Progress,
    /// What ends the drive early; what is on the queue stays there.
    pub halt: Halt,
    /// Jobs that are on the queue or with workers at once.
    pub window: usize,
}

/// What ends a drive early.
#[derive(Debug, Clone)]
pub struct Halt {
    /// This process was told to stop.
    pub stop: CancellationToken,
    /// Another coordinator leads the run.
    pub lost: CancellationToken,
    /// The run was cancelled.
    pub cancelled: CancellationToken,
}

impl Halt {
    /// By the process's own signal and by what happens to its lead of the run.
    pub fn new(stop: &CancellationToken, lead: &Lead) -> Halt {
        Halt { stop: stop.clone(), lost: lead.lost.clone(), cancelled: lead.cancelled.clone() }
    }
}

/// How a drive ended.
pub enum Driven {
    /// Every job is committed or quarantined.
    Over(Summary),
    /// The run was cancelled: what was committed until then stays.
    Cancelled,
    /// Another coordinator leads.
    Lost,
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Tables of embeddings, for the modalities that have one.
    pub tables: Vec<GatheredTable>,
    /// Jobs that were given up, in order of job id.
    pub quarantined: Vec<QuarantineRecord>,
    /// Artifacts made by this drive: 0 where all were there.
    pub made: usize,
    /// Trailers that this drive sent jobs for.
    pub extracted: usize,
    /// Cells that were not planned for want of an input, with the reason.
    pub left_out: BTreeMap<String, String>,
    /// Where the final model is, unless its job was given up.
    pub model: Option<ArtifactKey>,
}

impl Coordinator {
    /// Brings the run to its report: returns once every job is committed or quarantined.
    pub async fn drive(&self, plan: &Plan) -> Result<Driven> {
        fault_point::reach("coordinator-planned");
        let store = self.store.as_ref();
        let mut made = 0;
        let missing = missing::of_trailers(store, plan).await?;
        let mut jobs = Jobs::extractions(plan, store.url(), &missing);
        let given_up = self.leave_out_quarantined(plan, &mut jobs).await?;
        let extracted = jobs.len();
        // A slot's run may have been planned before the program was renewed: what is committed is good, and no worker makes more of it.
        let old = plan.spec.recipes.iter().find(|recipe| recipe.contract != recipe.kind.contract());
        if let (Some(recipe), true) = (old, extracted > 0) {
            return Err(Error::invalid(format!(
                "{extracted} trailers of the run {} are not extracted, and it was planned by another version of this program, which made {} otherwise: \
                 submit again, with another slot",
                plan.spec.id,
                recipe.kind.name()
            )));
        }
        match self.stage(plan, Stage::Extracting, &jobs, missing::in_scope(plan), given_up).await? {
            Ended::Over(n) => made += n,
            Ended::Cancelled => return Ok(Driven::Cancelled),
            Ended::Lost => return Ok(Driven::Lost),
        }
        drop(jobs);
        fault_point::reach("coordinator-extracted");
        // Where nothing was sent, what was looked up at the start still holds; of trailers outside the run's scope nothing was looked up.
        let holds = extracted == 0 && plan.spec.only.is_none();
        let tables = gather_all(store, plan, holds.then_some(&missing)).await?;
        drop(missing);
        fault_point::reach("coordinator-gathered");
        let (tasks, left_out) = missing::cell_tasks(plan, &tables)?;
        let model = fit_task(plan, &tables)?;
        let all = tasks.len() + usize::from(model.is_some());
        let fit = match &model {
            Some(task)
                if !missing::all_committed(store, vec![ArtifactKey::new(&task.recipe, &task.dataset)]).await? =>
            {
                Some(task.clone())
            }
            _ => None,
        };
        let mut jobs = Jobs::training(plan, store.url(), fit, missing::of_cells(store, tasks).await?);
        let given_up = self.leave_out_quarantined(plan, &mut jobs).await?;
        match self.stage(plan, Stage::Training, &jobs, all, given_up).await? {
            Ended::Over(n) => made += n,
            Ended::Cancelled => return Ok(Driven::Cancelled),
            Ended::Lost => return Ok(Driven::Lost),
        }
        fault_point::reach("coordinator-trained");
        let quarantined = missing::quarantined(store, &plan.spec.id).await?;
        self.write_state(plan, &state(Stage::Reporting, quarantined.len())).await?;
        let model = model.map(|task| ArtifactKey::new(&task.recipe, &task.dataset));
        Ok(Driven::Over(Summary { tables, quarantined, made, extracted, left_out, model }))
    }

    /// Writes down that the run is over.
    pub async fn finish(&self, plan: &Plan, summary: &Summary) -> Result<Stage> {
        let stage = if summary.quarantined.is_empty() { Stage::Done } else { Stage::DoneWithFailures };
        self.write_state(plan, &state(stage, summary.quarantined.len())).await?;
        Ok(stage)
    }

    /// Leaves out the jobs that this run gave up before: `retry` is what tries them again. Returns how many.
    async fn leave_out_quarantined(&self, plan: &Plan, jobs: &mut Jobs<'_>) -> Result<usize> {
        let given_up = missing::quarantine_keys(self.store.as_ref(), &plan.spec.id).await?;
        let before = jobs.len();
        if !given_up.is_empty() {
            jobs.retain(|id| !given_up.contains(&quarantine_key(&plan.spec.id, id)));
        }
        Ok(before - jobs.len())
    }
}

/// The run's tables of embeddings, made where they are missing. `missing`: what each trailer misses, where that is known.
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
                trailers
                    .filter(|(_, missing)| *missing & (1 << bit) == 0)
                    .map(|(trailer, _)| &trailer.subject)
                    .collect()
            }
            _ => embedding_tables::committed_subjects(store, plan, source).await?,
        };
        tables.extend(embedding_tables::gather_these(store, plan, kind, source, subjects).await?);
    }
    Ok(tables)
}

fn state(stage: Stage, quarantined: usize) -> RunState {
    RunState {
        version: RUN_VERSION,
        stage,
        jobs: 0,
        committed: 0,
        quarantined,
        cancelled: 0,
        before: 0,
        since: None,
        updated: jiff::Timestamp::now(),
    }
}

/// The job of the final model. A network whose tables are not there is left out of it; none where nothing is left.
pub fn fit_task(plan: &Plan, tables: &[GatheredTable]) -> Result<Option<FitTask>> {
    let Some(mut fit) = plan.spec.fit.clone() else { return Ok(None) };
    let inputs = fit.network.as_ref().map(|cell| inputs(plan, cell, tables));
    let found = match inputs {
        Some(Some(found)) if found.iter().all(|table| table.rows > 0) => found,
        Some(_) => {
            fit.network = None;
            Vec::new()
        }
        None => Vec::new(),
    };
    if fit.parts() == 0 {
        return Ok(None);
    }
    let hashes: Vec<_> = found.iter().map(|table| table.sha256).collect();
    let Named { tables, subject: table_subject, others: subjects } = Named::of(&found, &plan.spec.dataset);
    let dataset = plan.spec.dataset.clone();
    Ok(Some(FitTask { dataset, recipe: final_model::recipe(&fit, &hashes)?, fit, tables, table_subject, subjects }))
}
