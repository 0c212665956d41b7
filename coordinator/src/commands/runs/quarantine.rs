//! `jhalak quarantine` and `jhalak retry`: jobs that were given up.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures::TryStreamExt;
use jhalak_common::process::exit;
use jhalak_common::queue::{self, Channel, Queue};
use jhalak_common::run::job::{Job, QuarantineRecord};
use jhalak_common::run::{self, CANCELLED, RunState, Stage, quarantine_folder, quarantine_key, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::console::output::Output;
use crate::run::quarantined;

/// Dead letters that are looked through at a time.
const DEAD_LETTERS: u16 = 1_000;

/// The next dead letter comes within this time, or there is none.
const NEXT_LETTER: Duration = Duration::from_millis(500);

/// Jobs that were given up, each with its reason.
#[derive(Args)]
pub struct Quarantine {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Subcommand)]
enum QuarantineCommand {
    /// A line a job.
    Ls {
        /// The run [default: every run of the store]
        run: Option<String>,
    },
    /// Everything known of one job: the run, the reason with its causes, the message.
    Show {
        /// The run.
        run: String,
        /// The job, as `ls` names it.
        job: String,
    },
    /// Sends jobs to the workers again, as if they had never been tried. Needs the queue; the next `submit` of the run finds what they made.
    Requeue(Chosen),
    /// Forgets jobs: their records and their dead letters are removed. The next `submit` of the run plans what is missing anew.
    Drop(Chosen),
}

#[derive(Args)]
struct Chosen {
    /// The run.
    run: String,
    /// The jobs, as `ls` names them; all of them where none is named.
    jobs: Vec<String>,
}

/// Lets the jobs that a run gave up, and a run that was cancelled, be tried again by the next `run` or `submit`.
#[derive(Args)]
pub struct Retry {
    #[command(flatten)]
    chosen: Chosen,
}

impl Quarantine {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let store = store.as_ref();
        match self.command {
            QuarantineCommand::Ls { run } => {
                let records = match &run {
                    Some(run) => records(store, run).await?,
                    None => read_all(store, keys_of_all_runs(store).await?).await?,
                };
                let line = |r: &QuarantineRecord| {
                    let of_run = if run.is_none() { format!("{}  ", r.run) } else { String::new() };
                    format!("{of_run}{}  {} attempts  {}: {}\n", r.job, r.attempts, r.about, r.reason)
                };
                let text = match (&run, records.is_empty()) {
                    (_, false) => records.iter().map(line).collect(),
                    (Some(run), true) => format!("no job of the run {run} is quarantined"),
                    (None, true) => format!("no job of any run in {} is quarantined", store.url()),
                };
                output.print(&records, &text)?;
            }
            QuarantineCommand::Show { run, job } => {
                let record: Option<QuarantineRecord> = run::get_json(store, &quarantine_key(&run, &job)).await?;
                let record = record.ok_or_else(|| unknown(&run, &job))?;
                let message = serde_json::to_string_pretty(&record.message).unwrap_or_default();
                let text = format!(
                    "job       {}\nrun       {}\nabout     {}\nattempts  {}\nkind      {:?}\nreason    {}\nmessage\n{message}",
                    record.job, record.run, record.about, record.attempts, record.error, record.reason
                );
                output.print(&record, &text)?;
            }
            QuarantineCommand::Requeue(chosen) => return requeue(chosen, store, &settings, &output).await,
            QuarantineCommand::Drop(chosen) => {
                let records = chosen.records(store).await?;
                for record in &records {
                    store.delete(&quarantine_key(&chosen.run, &record.job)).await?;
                }
                let letters = match settings.queue.as_str() {
                    "memory:" => 0,
                    _ => {
                        let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
                        let removed = remove_letters(queue.as_ref(), &chosen.run, &records).await;
                        queue.close().await;
                        removed?
                    }
                };
                let jobs: Vec<&String> = records.iter().map(|r| &r.job).collect();
                let text = format!("{} jobs forgotten, {letters} dead letters removed", jobs.len());
                output.print(&json!({ "run": chosen.run, "jobs": jobs, "dead_letters": letters }), &text)?;
            }
        }
        Ok(exit::DONE)
    }
}

impl Retry {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let (store, run) = (store.as_ref(), &self.chosen.run);
        let records = self.chosen.records(store).await?;
        for record in &records {
            store.delete(&quarantine_key(run, &record.job)).await?;
        }
        let cancelled = self.chosen.jobs.is_empty() && run::is_cancelled(store, run).await?;
        if cancelled {
            store.delete(&run_key(run, CANCELLED)).await?;
            let key = run_key(run, "state.json");
            if let Some(state) = run::get_json::<RunState>(store, &key).await? {
                let open = RunState { stage: Stage::Planned, cancelled: 0, updated: jiff::Timestamp::now(), ..state };
                run::put_json(store, &key, &open).await?;
            }
        }
        let revived = if cancelled { "the run is cancelled no more, and " } else { "" };
        let text =
            format!("{revived}{} jobs may be tried again: start the same `run` or `submit` once more", records.len());
        let jobs: Vec<&String> = records.iter().map(|r| &r.job).collect();
        output.print(&json!({ "run": run, "jobs": jobs, "revived": cancelled }), &text)?;
        Ok(exit::DONE)
    }
}

async fn requeue(chosen: Chosen, store: &dyn ObjectStore, settings: &Settings, output: &Output) -> Result<u8> {
    if settings.queue == "memory:" {
        return Err(Error::invalid(
            "requeue needs the broker of the workers: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak retry` and `jhalak run`",
        ));
    }
    let records = chosen.records(store).await?;
    // What is no job of this version cannot be run: it stays.
    let (jobs, kept): (Vec<_>, Vec<_>) = records.into_iter().partition(|r| job(r).is_some());
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let sent = async {
        // Sent last: the job may fail again at once, and what it leaves then must stay. What dies in between is planned anew by the next submit.
        let letters = remove_letters(queue.as_ref(), &chosen.run, &jobs).await?;
        for record in &jobs {
            let Some(job) = job(record) else { continue };
            store.delete(&quarantine_key(&chosen.run, &record.job)).await?;
            queue.publish(&Channel::Work(job.task.work_kind()), job.encode()?).await?;
        }
        Ok::<_, Error>(letters)
    }
    .await;
    queue.close().await;
    let letters = sent?;
    let names = |records: &[QuarantineRecord]| records.iter().map(|r| r.job.clone()).collect::<Vec<_>>();
    let mut text =
        format!("{} jobs sent again; `jhalak submit` once more takes their results into the report\n", jobs.len());
    for record in &kept {
        text.push_str(&format!("kept: {} is no job that this version can send ({})\n", record.job, record.reason));
    }
    let answer = json!({ "run": chosen.run, "jobs": names(&jobs), "kept": names(&kept), "dead_letters": letters });
    output.print(&answer, &text)?;
    Ok(if kept.is_empty() { exit::DONE } else { exit::QUARANTINED })
}

/// The job of a record, as if it had never been tried.
fn job(record: &QuarantineRecord) -> Option<Job> {
    let job = Job::decode(record.message.to_string().as_bytes()).ok()?;
    Some(Job { attempt: 0, ..job })
}

/// Removes the dead letters of these jobs from the broker, and leaves all others. Returns how many.
async fn remove_letters(queue: &dyn Queue, run: &str, records: &[QuarantineRecord]) -> Result<usize> {
    let jobs: BTreeSet<&str> = records.iter().map(|r| r.job.as_str()).collect();
    if jobs.is_empty() {
        return Ok(0);
    }
    let mut letters = queue.consume(&Channel::Quarantine, DEAD_LETTERS).await?;
    let (mut removed, mut others) = (0, Vec::new());
    // Those of others are held until the end, so that each is met once.
    while others.len() < usize::from(DEAD_LETTERS) {
        let Ok(letter) = tokio::time::timeout(NEXT_LETTER, letters.next()).await else { break };
        let Some(letter) = letter? else { break };
        let message: serde_json::Value = serde_json::from_slice(&letter.body).unwrap_or_default();
        let id = message["id"].as_str();
        let ours = match id {
            Some(id) => message["run"] == run && jobs.contains(id),
            None => false,
        };
        if ours {
            removed += usize::from(letter.ack().await?);
        } else {
            others.push(letter);
        }
    }
    drop(letters);
    for letter in others {
        letter.requeue().await?;
    }
    Ok(removed)
}

impl Chosen {
    /// The records of the chosen jobs.
    async fn records(&self, store: &dyn ObjectStore) -> Result<Vec<QuarantineRecord>> {
        let records = records(store, &self.run).await?;
        if let Some(job) = self.jobs.iter().find(|job| !records.iter().any(|r| r.job == **job)) {
            return Err(unknown(&self.run, job));
        }
        Ok(records.into_iter().filter(|r| self.jobs.is_empty() || self.jobs.contains(&r.job)).collect())
    }
}

fn unknown(run: &str, job: &str) -> Error {
    Error::not_found(format!("the run {run} has no quarantined job {job}: see `jhalak quarantine ls {run}`"))
}

async fn records(store: &dyn ObjectStore, run: &str) -> Result<Vec<QuarantineRecord>> {
    jhalak_common::store::check_prefix(&quarantine_folder(run))?;
    read_all(store, quarantined::keys(store, run).await?).await
}

async fn read_all(store: &dyn ObjectStore, keys: BTreeSet<String>) -> Result<Vec<QuarantineRecord>> {
    let mut records = Vec::new();
    for key in keys {
        records.extend(run::get_json::<QuarantineRecord>(store, &key).await?);
    }
    Ok(records)
}

/// The keys of the quarantine records of every run.
async fn keys_of_all_runs(store: &dyn ObjectStore) -> Result<BTreeSet<String>> {
    let keys = store.list("runs/").map_ok(|object| object.key);
    keys.try_filter(|key| std::future::ready(key.contains("/quarantine/"))).try_collect().await
}
