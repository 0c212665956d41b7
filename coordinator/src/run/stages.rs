//! The stages of a run in order: extraction, tables of embeddings, training.
//!
//! The store is the only truth. A coordinator that crashed is started again, looks at the store,
//! and resumes. Messages only make the run faster: a lost result is found in the store, and a lost
//! job is sent again.

use std::collections::BTreeSet;
use std::time::Duration;

use jhalak_common::artifact::ArtifactKey;
use jhalak_common::process::fault_point;
use jhalak_common::run::job::{QuarantineRecord, Trailer};
use jhalak_common::run::{AtWork, RunState, Stage};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::embedding_tables::{self, GatheredTable, Subjects};
use crate::plan::Plan;
use crate::run::context::{Ended, RunContext};
use crate::run::dispatch::{self, StageJobs};
use crate::run::jobs::Jobs;
use crate::run::missing::RecipeSet;
use crate::run::quarantined::Quarantined;
use crate::run::remaining::{self, RemainingTraining};
use crate::run::tasks::CellTasks;

/// The outcome of all stages.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Tables of embeddings, for the modalities that have one.
    pub tables: Vec<GatheredTable>,
    /// The number of jobs of all stages, done before or now.
    pub jobs: usize,
    /// The records of quarantined jobs, in the order of their ids.
    pub quarantined: Vec<QuarantineRecord>,
    /// The number of artifacts that this drive made; 0 when all were committed before.
    pub made: usize,
    /// The number of trailers that this drive sent jobs for.
    pub extracted: usize,
    /// The trailers of the plan by their state in the store, when the tables were made.
    pub trailers: TrailerCounts,
    /// The folds of all cells, and the cells that were left out.
    pub cells: CellTasks,
    /// The key of the final model; its job may be quarantined.
    pub model: Option<ArtifactKey>,
}

/// The trailers of a plan by their state in the store. Their sum is the number of trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailerCounts {
    /// All artifacts are committed.
    pub committed: u64,
    /// The run extracts them and they lack artifacts.
    pub missing: u64,
    /// The run does not extract them (`--only-new`) and they lack artifacts.
    pub out_of_scope: u64,
}

impl TrailerCounts {
    /// Counts the trailers of `plan`, given the recipes that each lacks.
    pub fn of(plan: &Plan, missing: &[RecipeSet]) -> TrailerCounts {
        let mut counts = TrailerCounts { committed: 0, missing: 0, out_of_scope: 0 };
        for (trailer, missing) in plan.trailers.trailers.scan().zip(missing) {
            match (missing, plan.extracts(&trailer)) {
                (0, _) => counts.committed += 1,
                (_, true) => counts.missing += 1,
                (_, false) => counts.out_of_scope += 1,
            }
        }
        counts
    }
}

/// The number of rounds in a row in which workers report every job as done and the store holds none
/// of their artifacts, after which the run fails.
const MAX_EMPTY_ROUNDS: u32 = 3;

/// Pause before a round that follows an empty one.
const ROUND_PAUSE: Duration = Duration::from_secs(2);

/// Runs all stages. Returns when the store holds the artifacts of every job, or its quarantine
/// record (invariant 1 in ARCHITECTURE.md): what workers report never decides.
pub async fn drive(context: &RunContext, plan: &Plan) -> Result<Ended<Summary>> {
    fault_point::reach("coordinator-planned");
    let store = context.store.as_ref();
    let mut work = Work::default();
    loop {
        let missing = match extract(context, plan, &mut work).await? {
            Ended::Completed(missing) => missing,
            Ended::Cancelled => return Ok(Ended::Cancelled),
            Ended::Superseded => return Ok(Ended::Superseded),
        };
        fault_point::reach("coordinator-extracted");
        let tables = gather_all(store, plan, &missing).await?;
        let trailers = TrailerCounts::of(plan, &missing);
        drop(missing);
        fault_point::reach("coordinator-gathered");
        let training = match train(context, plan, &tables, &mut work).await? {
            Ended::Completed(training) => training,
            Ended::Cancelled => return Ok(Ended::Cancelled),
            Ended::Superseded => return Ok(Ended::Superseded),
        };
        fault_point::reach("coordinator-trained");
        let mut quarantined = Quarantined::read(store, plan).await?;
        quarantined.keep_training_jobs(&training.ids);
        if !quarantined.overruled.is_empty() {
            // Their artifacts are in no table yet.
            let jobs = quarantined.overruled.len();
            context.progress.say(&format!("{jobs} quarantined jobs were committed after all: taking them in"));
            quarantined.drop_overruled(store).await?;
            continue;
        }
        if !quarantined.foreign.is_empty() {
            context.progress.say(&format!(
                "{} quarantine records of jobs that this run does not have: see `jhalak quarantine ls {run}`, remove them with \
                 `jhalak quarantine drop {run} JOB`",
                quarantined.foreign.len(),
                run = plan.spec.id
            ));
        }
        let quarantined: Vec<QuarantineRecord> = quarantined.standing.into_values().collect();
        let state = RunState { quarantined: quarantined.len(), ..RunState::of(Stage::Reporting) };
        context.write_state(&plan.spec.id, &state).await?;
        let (cells, model) = (training.cells, training.model);
        let Work { made, extracted, extractions } = work;
        let jobs = extractions + training.all;
        return Ok(Ended::Completed(Summary { tables, jobs, quarantined, made, extracted, trailers, cells, model }));
    }
}

/// The work of this drive so far.
#[derive(Default)]
struct Work {
    /// Artifacts made, as workers report them.
    made: usize,
    /// Trailers that jobs were sent for.
    extracted: usize,
    /// Jobs of the first stage.
    extractions: usize,
}

/// Extracts until the store holds each trailer's artifacts or its quarantine record. Returns the
/// recipes that each trailer lacks.
async fn extract(context: &RunContext, plan: &Plan, work: &mut Work) -> Result<Ended<Vec<RecipeSet>>> {
    let store = context.store.as_ref();
    let mut rounds = Rounds::default();
    loop {
        let extraction = remaining::extraction(store, plan, &BTreeSet::new()).await?;
        extraction.records.drop_overruled(store).await?;
        work.extractions = extraction.all;
        rounds.begin(context, &plan.spec.id, &extraction.jobs).await?;
        let stage = StageJobs {
            stage: Stage::Extracting,
            jobs: &extraction.jobs,
            all: extraction.all,
            quarantined: extraction.quarantined,
        };
        match dispatch::run(context, plan, stage).await? {
            Ended::Completed(_) if extraction.jobs.is_empty() => return Ok(Ended::Completed(extraction.missing)),
            Ended::Completed(made) => work.made = work.made.saturating_add(made),
            Ended::Cancelled => return Ok(Ended::Cancelled),
            Ended::Superseded => return Ok(Ended::Superseded),
        }
        if rounds.count == 1 {
            work.extracted += extraction.jobs.len();
        }
    }
}

/// Trains until the store holds the result of each fold and the model, or the quarantine record.
async fn train<'a>(
    context: &RunContext,
    plan: &'a Plan,
    tables: &[GatheredTable],
    work: &mut Work,
) -> Result<Ended<RemainingTraining<'a>>> {
    let store = context.store.as_ref();
    let mut rounds = Rounds::default();
    loop {
        let training = remaining::training(store, plan, tables, &BTreeSet::new()).await?;
        rounds.begin(context, &plan.spec.id, &training.jobs).await?;
        let stage = StageJobs {
            stage: Stage::Training,
            jobs: &training.jobs,
            all: training.all,
            quarantined: training.quarantined,
        };
        match dispatch::run(context, plan, stage).await? {
            Ended::Completed(_) if training.jobs.is_empty() => return Ok(Ended::Completed(training)),
            Ended::Completed(made) => work.made = work.made.saturating_add(made),
            Ended::Cancelled => return Ok(Ended::Cancelled),
            Ended::Superseded => return Ok(Ended::Superseded),
        }
    }
}

/// The rounds of a stage: each sends the jobs that the store still lacks.
#[derive(Default)]
struct Rounds {
    count: u32,
    /// Jobs of the last round.
    jobs: usize,
    /// Rounds in a row after which as many jobs were missing as before.
    empty: u32,
}

impl Rounds {
    /// Begins a round of `jobs`. After an empty one, waits first: results may be forged while
    /// workers are at work.
    ///
    /// # Errors
    /// InvalidInput when round after round is reported as done, no worker is at work on the jobs,
    /// and nothing arrives in the store.
    async fn begin(&mut self, context: &RunContext, run: &str, jobs: &Jobs<'_>) -> Result<()> {
        let number = jobs.len();
        if self.count > 0 && number > 0 {
            let store = context.store.as_ref();
            let workers = AtWork::of_run(store, run).await?;
            let is_held = |id: &str| workers.iter().any(|record| record.jobs.contains_key(id));
            let is_at_work = (0..number).any(|i| is_held(&jobs.id(i)));
            self.empty = if number < self.jobs || is_at_work { 0 } else { self.empty + 1 };
            if self.empty >= MAX_EMPTY_ROUNDS {
                return Err(Error::invalid(format!(
                    "workers report {number} jobs as done, and {} does not hold their artifacts: check that every \
                     worker has the same store and s3.endpoint as this command",
                    store.url()
                )));
            }
            let message = format!("{number} jobs were reported as done and are not in the store: sending them again");
            tracing::warn!(jobs = number, "jobs were reported as done and are not in the store");
            context.progress.say(&message);
            if number >= self.jobs {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
        }
        self.count += 1;
        self.jobs = number;
        Ok(())
    }
}

/// Returns the run's tables of embeddings and makes those that are missing. `missing` holds the
/// recipes that each trailer lacks.
///
/// A trailer that the run extracts is in the tables if all its artifacts are committed, so that the
/// tables hold exactly the trailers that the report counts.
async fn gather_all(store: &dyn ObjectStore, plan: &Plan, missing: &[RecipeSet]) -> Result<Vec<GatheredTable>> {
    let mut tables = embedding_tables::given(store, plan).await?;
    if tables.len() < plan.spec.given.len() {
        return Err(Error::invalid(
            "a table of given embeddings was deleted from the store: repeat the command with its --embeddings",
        ));
    }
    for (kind, source) in plan.embeddings() {
        let bit = plan.spec.recipes.iter().position(|recipe| recipe == source);
        let bit: RecipeSet = bit.map(|bit| 1 << bit).ok_or_else(|| Error::bug("a table of no recipe of the run"))?;
        let is_in = |trailer: &Trailer, missing: RecipeSet| match plan.extracts(trailer) {
            true => missing == 0,
            false => missing & bit == 0,
        };
        let trailers = (0u32..).zip(plan.trailers.trailers.scan()).zip(missing);
        let rows = trailers.filter(|((_, trailer), missing)| is_in(trailer, **missing)).map(|((row, _), _)| row);
        let subjects = Subjects { plan, rows: rows.collect() };
        tables.extend(embedding_tables::gather_these(store, kind, source, &subjects).await?);
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
    async fn results_are_not_believed_without_the_store() {
        let bench = Bench::with_workers();
        bench.lying.store(true, std::sync::atomic::Ordering::SeqCst);
        let plan = plan(3);
        let driving = bench.drive(&plan);
        let mending = async {
            // Two rounds of lies are not enough to give up.
            bench.until_sent(3 + 2).await;
            bench.lying.store(false, std::sync::atomic::Ordering::SeqCst);
        };
        let ((summary, _), ()) = tokio::join!(driving, mending);
        let counts = summary.trailers;
        assert_eq!((counts.committed, counts.missing, counts.out_of_scope), (3, 0, 0));
        assert!(summary.tables.iter().all(|table| table.rows == 3), "{:?}", summary.tables);
    }

    #[tokio::test]
    async fn a_run_fails_if_workers_report_artifacts_that_the_store_lacks() {
        let bench = Bench::with_workers();
        bench.lying.store(true, std::sync::atomic::Ordering::SeqCst);
        let error = drive(&bench.context(16), &plan(2)).await.expect_err("nothing arrives in the store");
        assert!(error.chain().contains("s3.endpoint"), "{}", error.chain());
    }

    #[tokio::test]
    async fn a_trailer_that_is_committed_after_it_was_quarantined_is_taken_in() {
        let bench = Bench::with_workers();
        let plan = plan(3);
        bench.poisoned.lock().expect("no panic").insert("m1".into());
        let (summary, _) = bench.drive(&plan).await;
        assert_eq!((summary.trailers.committed, summary.trailers.missing, summary.tables[0].rows), (2, 1, 2));
        // A copy of the job ends well after all.
        let store = bench.store.as_ref();
        for recipe in &plan.spec.recipes {
            crate::plan::testing::commit_one(store, recipe, &plan.trailers.trailers[1].subject).await;
        }
        let (summary, _) = bench.drive(&plan).await;
        assert_eq!((summary.trailers.committed, summary.trailers.missing, summary.tables[0].rows), (3, 0, 3));
        assert!(summary.quarantined.is_empty());
        assert!(crate::run::quarantined::keys(store, &plan.spec.id).await.expect("readable").is_empty());
    }

    #[tokio::test]
    async fn a_quarantined_trailer_is_in_no_table_although_it_has_some_artifacts() {
        let bench = Bench::with_workers();
        let plan = plan(3);
        let store = bench.store.as_ref();
        crate::plan::testing::commit_one(store, &plan.spec.recipes[1], &plan.trailers.trailers[1].subject).await;
        bench.poisoned.lock().expect("no panic").insert("m1".into());
        let (summary, _) = bench.drive(&plan).await;
        assert!(summary.tables.iter().all(|table| table.rows == 2), "{:?}", summary.tables);
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
