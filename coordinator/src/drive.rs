//! Drives a run to its end: sends the jobs whose artifacts are missing, waits for their end states, goes on to the next stage.
//!
//! Storage is the truth: what is missing is found by looking, so a coordinator that dies is started again, looks, and goes on. Messages only
//! make it faster: a lost result is found by looking again, and a lost job is sent again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe};
use jhalak_common::job::{CellTask, ExtractTask, Job, JobResult, MESSAGE_VERSION, Outcome, QuarantineRecord, Task};
use jhalak_common::queue::{Channel, Queue};
use jhalak_common::run::{self, RUN_VERSION, RunState, Stage, quarantine_folder, quarantine_key, run_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::gather::{self, GatheredTable};
use crate::plan::Plan;
use crate::progress::Progress;

/// Jobs of a run that are on the queue or with workers at once: the broker is not flooded.
const WINDOW: usize = 2_000;

/// Without a result for so long, the store is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Without any progress for so long, and with nothing on the queue, jobs are sent again: their messages were lost. Longer than any job may take.
const SEND_AGAIN: Duration = Duration::from_secs(1_800);

/// Requests to the store side by side.
const SIDE_BY_SIDE: usize = 32;

/// What drives a run.
pub struct Coordinator {
    /// Where artifacts are.
    pub store: Arc<dyn ObjectStore>,
    /// What carries jobs.
    pub queue: Arc<dyn Queue>,
    /// What a person sees.
    pub progress: Progress,
    /// Ends the drive; what is on the queue stays there.
    pub stop: CancellationToken,
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
}

/// What a stage has left to do.
struct Missing {
    /// Jobs to send.
    jobs: VecDeque<Job>,
    /// Jobs that the run gave up before.
    given_up: usize,
}

impl Coordinator {
    /// Brings the run to its report: returns once every job is committed or quarantined.
    pub async fn drive(&self, plan: &Plan) -> Result<Summary> {
        let mut made = 0;
        let missing = self.missing_extractions(plan).await?;
        let extracted = missing.jobs.len();
        made += self.stage(plan, Stage::Extracting, plan.trailers.trailers.len(), missing).await?;
        let mut tables = Vec::new();
        for (table, embedding) in [
            (ArtifactKind::VideoTable, ArtifactKind::VideoEmbedding),
            (ArtifactKind::AudioTable, ArtifactKind::AudioEmbedding),
        ] {
            tables.extend(gather::gather(self.store.as_ref(), plan, table, embedding).await?);
        }
        let (tasks, left_out) = cell_tasks(plan, &tables)?;
        let all = tasks.len();
        let missing = self.missing_cells(plan, tasks).await?;
        made += self.stage(plan, Stage::Training, all, missing).await?;
        let quarantined = self.quarantined(plan).await?;
        self.write_state(plan, Stage::Reporting, 0, 0, quarantined.len()).await?;
        Ok(Summary { tables, quarantined, made, extracted, left_out })
    }

    /// Writes down that the run is over.
    pub async fn finish(&self, plan: &Plan, summary: &Summary) -> Result<Stage> {
        let stage = if summary.quarantined.is_empty() { Stage::Done } else { Stage::DoneWithFailures };
        self.write_state(plan, stage, 0, 0, summary.quarantined.len()).await?;
        Ok(stage)
    }

    /// The records of the run's jobs that were given up and whose artifacts are still missing, in order.
    pub async fn quarantined(&self, plan: &Plan) -> Result<Vec<QuarantineRecord>> {
        let folder = quarantine_folder(&plan.spec.id);
        let keys: Vec<String> = self.store.list(&folder).map_ok(|o| o.key).try_collect().await?;
        let records = stream::iter(keys)
            .map(|key| async move { run::get_json::<QuarantineRecord>(self.store.as_ref(), &key).await });
        let records: Vec<QuarantineRecord> =
            records.buffered(SIDE_BY_SIDE).try_filter_map(|r| async move { Ok(r) }).try_collect().await?;
        let mut still = Vec::new();
        for record in records {
            // A copy of the job may have been committed after all: a commit outranks a quarantine.
            let committed = match serde_json::from_value::<Job>(record.message.clone()) {
                Ok(job) => self.is_committed(&job).await?,
                Err(_) => false,
            };
            if !committed {
                still.push(record);
            }
        }
        Ok(still)
    }

    async fn missing_extractions(&self, plan: &Plan) -> Result<Missing> {
        let mut committed: Vec<(&Recipe, BTreeSet<String>)> = Vec::new();
        for recipe in &plan.spec.recipes {
            let found = artifact::list_committed(self.store.as_ref(), recipe.kind, &recipe.hash()).await?;
            committed.push((recipe, found.into_iter().collect()));
        }
        let mut jobs = VecDeque::new();
        for trailer in &plan.trailers.trailers {
            let folder = ArtifactKey::subject_folder(&trailer.subject);
            let wanted: Vec<Recipe> = committed
                .iter()
                .filter(|(_, there)| !there.contains(&folder))
                .map(|(recipe, _)| (*recipe).clone())
                .collect();
            if !wanted.is_empty() {
                let id = format!("extract-{folder}");
                jobs.push_back(self.job(plan, id, Task::Extract(ExtractTask { trailer: trailer.clone(), wanted })));
            }
        }
        self.without_quarantined(plan, jobs).await
    }

    async fn missing_cells(&self, plan: &Plan, tasks: Vec<CellTask>) -> Result<Missing> {
        let looked = stream::iter(tasks).map(|task| async move {
            let key = ArtifactKey::new(&task.recipe, &task.dataset);
            Ok::<_, Error>((artifact::committed(self.store.as_ref(), &key).await?.is_none(), task))
        });
        let looked: Vec<(bool, CellTask)> = looked.buffered(SIDE_BY_SIDE).try_collect().await?;
        let missing = looked.into_iter().filter(|(missing, _)| *missing);
        let jobs = missing
            .map(|(_, task)| {
                self.job(plan, format!("cell-{}-{}", task.recipe.hash().short(), task.fold), Task::Cell(Box::new(task)))
            })
            .collect();
        self.without_quarantined(plan, jobs).await
    }

    fn job(&self, plan: &Plan, id: String, task: Task) -> Job {
        Job { version: MESSAGE_VERSION, id, run: plan.spec.id.clone(), store: self.store.url(), attempt: 0, task }
    }

    /// Leaves out the jobs that this run gave up before: `retry` is what tries them again.
    async fn without_quarantined(&self, plan: &Plan, jobs: VecDeque<Job>) -> Result<Missing> {
        let folder = quarantine_folder(&plan.spec.id);
        let given_up: BTreeSet<String> = self.store.list(&folder).map_ok(|o| o.key).try_collect().await?;
        let missing = jobs.len();
        let is_new = |job: &Job| !given_up.contains(&quarantine_key(&job.run, &job.id));
        let jobs: VecDeque<Job> = jobs.into_iter().filter(is_new).collect();
        Ok(Missing { given_up: missing - jobs.len(), jobs })
    }

    /// Sends `jobs` and waits until each has its end state. Returns how many artifacts were made.
    async fn stage(&self, plan: &Plan, stage: Stage, all: usize, missing: Missing) -> Result<usize> {
        let Missing { mut jobs, given_up: mut quarantined } = missing;
        let mut made = 0;
        let there = all - jobs.len() - quarantined;
        self.write_state(plan, stage, all, there, quarantined).await?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let bar = self.progress.stage(stage.name(), all, there);
        let mut results = self.queue.consume(&Channel::Results(plan.spec.id.clone()), 256).await?;
        let mut pending: BTreeMap<String, Job> = BTreeMap::new();
        let mut last_progress = Instant::now();
        let mut last_state = Instant::now();
        let mut heard = false;
        loop {
            while pending.len() < WINDOW && !jobs.is_empty() {
                let batch: Vec<Job> = jobs.drain(..jobs.len().min(WINDOW - pending.len()).min(500)).collect();
                stream::iter(&batch).map(Ok::<_, Error>).try_for_each_concurrent(256, |job| self.send(job)).await?;
                pending.extend(batch.into_iter().map(|job| (job.id.clone(), job)));
            }
            if pending.is_empty() {
                break;
            }
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Error::cancelled(format!("asked to stop; start the same command again, or `jhalak submit`, to go on with the run {}", plan.spec.id))),
                next = tokio::time::timeout(LOOK_AGAIN, results.next()) => next,
            };
            let ended = match next {
                Ok(delivery) => {
                    heard = true;
                    let delivery = delivery?.ok_or_else(|| Error::transient("the queue was closed"))?;
                    let result = JobResult::decode(&delivery.body);
                    delivery.ack().await?;
                    match result {
                        Ok(result) => vec![(result.job, result.outcome)],
                        Err(error) => {
                            tracing::warn!(error = %error.chain(), "a result was passed over: the store will tell");
                            Vec::new()
                        }
                    }
                }
                Err(_) => {
                    if !heard && !self.nothing_waits(&pending).await? {
                        heard = true;
                        self.progress
                            .say("jobs wait on the queue and none has ended yet: is a `jhalak-worker` running?");
                    }
                    self.look_again(&pending).await?
                }
            };
            for (id, outcome) in ended {
                let Some(job) = pending.remove(&id) else { continue };
                last_progress = Instant::now();
                match outcome {
                    Outcome::Committed { made: n, .. } => {
                        made += n;
                        bar.committed(&job);
                    }
                    Outcome::Quarantined { reason, .. } => {
                        quarantined += 1;
                        bar.quarantined(&job, &reason);
                    }
                }
            }
            if last_state.elapsed() > Duration::from_secs(2) {
                last_state = Instant::now();
                let committed = all - pending.len() - jobs.len() - quarantined;
                self.write_state(plan, stage, all, committed, quarantined).await?;
            }
            if last_progress.elapsed() > SEND_AGAIN && self.nothing_waits(&pending).await? {
                tracing::warn!(
                    jobs = pending.len(),
                    "no progress and nothing on the queue: sending what is missing again"
                );
                stream::iter(pending.values())
                    .map(Ok::<_, Error>)
                    .try_for_each_concurrent(256, |job| self.send(job))
                    .await?;
                last_progress = Instant::now();
            }
        }
        bar.end();
        self.write_state(plan, stage, all, all - quarantined, quarantined).await?;
        Ok(made)
    }

    async fn send(&self, job: &Job) -> Result<()> {
        self.queue.publish(&Channel::Work(job.task.work_kind()), job.encode()?).await
    }

    async fn nothing_waits(&self, pending: &BTreeMap<String, Job>) -> Result<bool> {
        let kinds: BTreeSet<_> = pending.values().map(|job| job.task.work_kind()).collect();
        for kind in kinds {
            if self.queue.depth(&Channel::Work(kind)).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds the end states of pending jobs whose results were lost.
    async fn look_again(&self, pending: &BTreeMap<String, Job>) -> Result<Vec<(String, Outcome)>> {
        let looked = stream::iter(pending.values()).map(|job| async move {
            if self.is_committed(job).await? {
                return Ok(Some((job.id.clone(), Outcome::Committed { made: 0, seconds: BTreeMap::new() })));
            }
            let record: Option<QuarantineRecord> =
                run::get_json(self.store.as_ref(), &quarantine_key(&job.run, &job.id)).await?;
            Ok::<_, Error>(record.map(|r| (job.id.clone(), Outcome::Quarantined { error: r.error, reason: r.reason })))
        });
        looked.buffered(SIDE_BY_SIDE).try_filter_map(|found| async move { Ok(found) }).try_collect().await
    }

    async fn is_committed(&self, job: &Job) -> Result<bool> {
        for key in job.task.artifacts() {
            if artifact::committed(self.store.as_ref(), &key).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn write_state(
        &self,
        plan: &Plan,
        stage: Stage,
        jobs: usize,
        committed: usize,
        quarantined: usize,
    ) -> Result<()> {
        let state =
            RunState { version: RUN_VERSION, stage, jobs, committed, quarantined, updated: jiff::Timestamp::now() };
        run::put_json(self.store.as_ref(), &run_key(&plan.spec.id, "state.json"), &state).await
    }
}

/// The folds of the cells whose inputs are there, and why the others are left out, by the cell's name.
pub fn cell_tasks(plan: &Plan, tables: &[GatheredTable]) -> Result<(Vec<CellTask>, BTreeMap<String, String>)> {
    let mut tasks = Vec::new();
    let mut left_out = BTreeMap::new();
    for cell in &plan.spec.cells {
        let wanted = cell.modality.tables();
        let found: Vec<&GatheredTable> = tables.iter().filter(|t| wanted.contains(&t.kind)).collect();
        if found.len() < wanted.len() {
            left_out.insert(cell.name(), format!("no trailer of the dataset has an embedding for {}", cell.modality));
            continue;
        }
        for fold in 0..cell.folds {
            let mut recipe = Recipe::new(ArtifactKind::Cell, json!({ "cell": cell, "fold": fold }))?;
            recipe.upstream = found.iter().map(|t| t.sha256).collect();
            tasks.push(CellTask {
                dataset: plan.spec.dataset.clone(),
                cell: cell.clone(),
                fold,
                recipe,
                tables: found.iter().map(|t| (t.kind, t.recipe)).collect(),
                table_subject: found.first().map_or_else(|| plan.spec.dataset.clone(), |t| t.subject.clone()),
            });
        }
    }
    Ok((tasks, left_out))
}
