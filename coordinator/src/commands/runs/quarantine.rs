//! `jhalak quarantine` and `jhalak retry`: jobs that failed for good.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};
use futures::TryStreamExt;
use jhalak_common::counted::counted;
use jhalak_common::process::exit;
use jhalak_common::queue::{self, Channel, Queue};
use jhalak_common::run::job::{Job, QuarantineRecord};
use jhalak_common::run::{self, CANCELLED, RunState, SigningKey, Stage, encode_signed, quarantine_folder, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, ErrorKind, Result};
use serde_json::json;

use crate::commands::run_id;
use crate::console::output::Output;
use crate::run::quarantined;
use crate::utc;

/// Dead letters that are inspected at a time.
const DEAD_LETTERS: u16 = 1_000;

/// Wait for the next dead letter; after it the queue counts as empty.
const NEXT_LETTER: Duration = Duration::from_millis(500);

/// Inspect, resend or forget quarantined jobs
///
/// A job is quarantined when its input is not valid or its attempts are used up. The rest of the run continues.
#[derive(Args)]
#[command(after_help = "Examples:
  # List the quarantined jobs of every run
  jhalak quarantine ls
  # Allow the quarantined jobs of a run again; the same `run` then retries them
  jhalak retry RUN")]
pub struct Quarantine {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Subcommand)]
enum QuarantineCommand {
    /// List quarantined jobs with their reasons, one per line
    #[command(after_help = "Examples:
  # List the quarantined jobs of every run in the store
  jhalak quarantine ls
  # List those of one run, as JSON
  jhalak quarantine ls RUN --json")]
    Ls {
        /// Run id, or the start of one that no other run shares
        ///
        /// [default: every run in the store]
        run: Option<String>,
    },
    /// Show one quarantined job: run, reason with its causes, and message
    #[command(after_help = "Examples:
  # Show a job; `jhalak quarantine ls` lists the runs and jobs
  jhalak quarantine show RUN JOB
  # Print it as JSON
  jhalak quarantine show RUN JOB --json")]
    Show {
        /// Run id, or the start of one that no other run shares
        run: String,
        /// Job id or movie id, as listed by `jhalak quarantine ls`
        job: String,
    },
    /// Send quarantined jobs to the workers again, with new attempts
    ///
    /// Needs the broker. The next `submit` of the run takes their results into the report.
    #[command(after_help = "Examples:
  # Send every quarantined job of a run again
  jhalak quarantine requeue RUN --queue amqp://localhost
  # Send one job again
  jhalak quarantine requeue RUN JOB --queue amqp://localhost")]
    Requeue(Chosen),
    /// Remove the records and dead letters of quarantined jobs
    ///
    /// The next `submit` of the run plans the missing work again.
    #[command(after_help = "Examples:
  # Drop every quarantined job of a run
  jhalak quarantine drop RUN
  # Drop one job
  jhalak quarantine drop RUN JOB")]
    Drop(Chosen),
}

#[derive(Args)]
struct Chosen {
    /// Run id, or the start of one that no other run shares
    run: String,
    /// Job ids or movie ids, as listed by `jhalak quarantine ls`
    ///
    /// [default: every quarantined job of the run]
    jobs: Vec<String>,
}

/// Allow quarantined jobs and cancelled runs to be tried again
///
/// Starts nothing itself: the next `run` or `submit` of the same dataset and settings tries the jobs again. Without job
/// ids, it also revokes the cancellation of the run.
#[derive(Args)]
#[command(after_help = "Examples:
  # Allow every quarantined job of a run; `jhalak status` lists the run ids
  jhalak retry RUN
  # Start the run again
  jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml")]
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
                let run = match run {
                    Some(run) => Some(run_id::find_quarantined(store, &run).await?),
                    None => None,
                };
                let records = match &run {
                    Some(run) => records(store, run).await?,
                    None => read_all(store, keys_of_all_runs(store).await?).await?,
                };
                let records: Vec<QuarantineRecord> = records.into_iter().map(|stored| stored.record).collect();
                let line = |r: &QuarantineRecord| {
                    let of_run = if run.is_none() { format!("{}  ", r.run) } else { String::new() };
                    let attempts = counted(r.attempts.into(), "attempt");
                    format!("{of_run}{}  {attempts}  {}: {}\n", r.job, r.about, r.reason)
                };
                let text = match (&run, records.is_empty()) {
                    (_, false) => records.iter().map(line).collect(),
                    (Some(run), true) => format!("the run {run} has no quarantined jobs"),
                    (None, true) => format!("the store {} has no quarantined jobs", store.url()),
                };
                output.print(&records, &text)?;
            }
            QuarantineCommand::Show { run, job } => {
                let run = run_id::find_quarantined(store, &run).await?;
                let record = record(store, &run, &job).await?;
                let message = serde_json::to_string_pretty(&record.message).unwrap_or_default();
                let seconds = record.seconds.iter().map(|(step, s)| format!("{step} {s:.1} s")).collect::<Vec<_>>();
                let mut origin = String::new();
                if let (Some(at), Some(worker)) = (&record.at, &record.worker) {
                    let program = record.program.as_deref().unwrap_or("of an unknown version");
                    origin =
                        format!("when      {}\nworker    {worker}, jhalak-worker {program}\n", utc::to_the_second(*at));
                    if !seconds.is_empty() {
                        origin.push_str(&format!("steps     {}\n", seconds.join(", ")));
                    }
                }
                let text = format!(
                    "job       {}\nrun       {}\nabout     {}\nattempts  {}\nkind      {}\nreason    {}\n{origin}message\n{message}",
                    record.job,
                    record.run,
                    record.about,
                    record.attempts,
                    record.error.name(),
                    record.reason
                );
                output.print(&record, &text)?;
            }
            QuarantineCommand::Requeue(chosen) => return requeue(chosen, store, &settings, &output).await,
            QuarantineCommand::Drop(chosen) => {
                let chosen = chosen.found(store).await?;
                let records = chosen.records(store).await?;
                for stored in &records {
                    store.delete(&stored.key).await?;
                }
                let dead_letters = match settings.queue.as_str() {
                    "memory:" => 0,
                    _ => {
                        let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
                        let removed = remove_dead_letters(queue.as_ref(), &chosen.run, &records).await;
                        queue.close().await;
                        removed?
                    }
                };
                let jobs: Vec<&String> = records.iter().map(|stored| &stored.record.job).collect();
                let text = format!(
                    "{} dropped, {} removed",
                    counted(jobs.len() as u64, "job"),
                    counted(dead_letters as u64, "dead letter")
                );
                output.print(&json!({ "run": chosen.run, "jobs": jobs, "dead_letters": dead_letters }), &text)?;
            }
        }
        Ok(exit::DONE)
    }
}

impl Retry {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let store = store.as_ref();
        let chosen = self.chosen.found(store).await?;
        let run = &chosen.run;
        let records = chosen.records(store).await?;
        for stored in &records {
            store.delete(&stored.key).await?;
        }
        let cancelled = chosen.jobs.is_empty() && run::is_cancelled(store, run).await?;
        if cancelled {
            store.delete(&run_key(run, CANCELLED)).await?;
            let key = run_key(run, "state.json");
            if let Some(state) = run::get_json::<RunState>(store, &key).await? {
                let open = RunState { stage: Stage::Planned, cancelled: 0, updated: jiff::Timestamp::now(), ..state };
                run::put_json(store, &key, &open).await?;
            }
        }
        let revived = if cancelled { "the run is no longer cancelled; " } else { "" };
        let text = match records.len() {
            0 if !cancelled => "no quarantined job is left: what was released before waits for the next run".to_owned(),
            n => format!(
                "{revived}{} can be tried again: start the same `run` or `submit` again",
                counted(n as u64, "job")
            ),
        };
        let jobs: Vec<&String> = records.iter().map(|stored| &stored.record.job).collect();
        output.print(&json!({ "run": run, "jobs": jobs, "revived": cancelled }), &text)?;
        Ok(exit::DONE)
    }
}

async fn requeue(chosen: Chosen, store: &dyn ObjectStore, settings: &Settings, output: &Output) -> Result<u8> {
    if settings.queue == "memory:" {
        return Err(Error::invalid(
            "requeue needs the broker: set queue (JHALAK__QUEUE) to amqp://..., or use `jhalak retry`, then `jhalak run`",
        ));
    }
    let chosen = chosen.found(store).await?;
    let records = chosen.records(store).await?;
    // Messages of another version cannot be run: their records stay.
    let (jobs, kept): (Vec<_>, Vec<_>) = records.into_iter().partition(|stored| job(&stored.record).is_some());
    let key = SigningKey::load(settings.rabbitmq.signing_key_file.as_deref())?;
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let sent = async {
        // Sent last: the job may fail again at once, and its new record must stay. If this process
        // ends in between, the next submit plans the job again.
        let dead_letters = remove_dead_letters(queue.as_ref(), &chosen.run, &jobs).await?;
        for stored in &jobs {
            let Some(job) = job(&stored.record) else { continue };
            store.delete(&stored.key).await?;
            queue.publish(&Channel::Work(job.task.work_kind()), encode_signed(job, key.as_ref())?).await?;
        }
        Ok::<_, Error>(dead_letters)
    }
    .await;
    queue.close().await;
    let dead_letters = sent?;
    let names = |records: &[Stored]| records.iter().map(|stored| stored.record.job.clone()).collect::<Vec<_>>();
    let mut text = format!(
        "{} sent again; start the same `submit` again to take the results into the report\n",
        counted(jobs.len() as u64, "job")
    );
    for Stored { record, .. } in &kept {
        text.push_str(&format!("kept: this version cannot send the job {} ({})\n", record.job, record.reason));
    }
    let answer = json!({ "run": chosen.run, "jobs": names(&jobs), "kept": names(&kept), "dead_letters": dead_letters });
    output.print(&answer, &text)?;
    Ok(if kept.is_empty() { exit::DONE } else { exit::QUARANTINED })
}

/// Returns the job of a record with its attempts reset.
fn job(record: &QuarantineRecord) -> Option<Job> {
    let job = Job::decode(record.message.to_string().as_bytes()).ok()?;
    Some(Job { attempt: 0, failed_on: BTreeSet::new(), signature: None, ..job })
}

/// Removes the dead letters of these jobs from the broker, leaves all others, and returns the number removed.
async fn remove_dead_letters(queue: &dyn Queue, run: &str, records: &[Stored]) -> Result<usize> {
    let jobs: BTreeSet<&str> = records.iter().map(|stored| stored.record.job.as_str()).collect();
    if jobs.is_empty() {
        return Ok(0);
    }
    let mut dead_letters = queue.consume(&Channel::Quarantine, DEAD_LETTERS).await?;
    let (mut removed, mut others) = (0, Vec::new());
    // Other dead letters are held until the end, so that each is delivered once.
    while others.len() < usize::from(DEAD_LETTERS) {
        let Ok(dead_letter) = tokio::time::timeout(NEXT_LETTER, dead_letters.next()).await else { break };
        let Some(dead_letter) = dead_letter? else { break };
        let message: serde_json::Value = serde_json::from_slice(&dead_letter.body).unwrap_or_default();
        let id = message["id"].as_str();
        let ours = match id {
            Some(id) => message["run"] == run && jobs.contains(id),
            None => false,
        };
        if ours {
            removed += usize::from(dead_letter.ack().await?);
        } else {
            others.push(dead_letter);
        }
    }
    drop(dead_letters);
    for dead_letter in others {
        dead_letter.requeue().await?;
    }
    Ok(removed)
}

impl Chosen {
    /// The same jobs, with the id of an existing run.
    async fn found(self, store: &dyn ObjectStore) -> Result<Chosen> {
        Ok(Chosen { run: run_id::find_quarantined(store, &self.run).await?, ..self })
    }

    /// The records of the chosen jobs, which are named by id or by the movie that they are about.
    async fn records(&self, store: &dyn ObjectStore) -> Result<Vec<Stored>> {
        let records = records(store, &self.run).await?;
        if let Some(job) = self.jobs.iter().find(|job| !records.iter().any(|stored| stored.is(job))) {
            return Err(unknown(&self.run, job));
        }
        let is_chosen = |stored: &Stored| self.jobs.is_empty() || self.jobs.iter().any(|job| stored.is(job));
        Ok(records.into_iter().filter(is_chosen).collect())
    }
}

/// A quarantine record and its key.
struct Stored {
    key: String,
    record: QuarantineRecord,
}

impl Stored {
    /// Whether `name` is the job's id, or the movie that the job is about.
    fn is(&self, name: &str) -> bool {
        self.record.job == name || self.record.about.split_whitespace().any(|word| word == name)
    }
}

/// Reads the record of a job, named by its id or by the only movie it is about.
async fn record(store: &dyn ObjectStore, run: &str, job: &str) -> Result<QuarantineRecord> {
    let mut found = records(store, run).await?.into_iter().filter(|stored| stored.is(job)).map(|stored| stored.record);
    match (found.next(), found.next()) {
        (Some(record), None) => Ok(record),
        (Some(_), Some(_)) => Err(Error::usage(format!(
            "several quarantined jobs are about {job}: name one of those that `jhalak quarantine ls {run}` lists"
        ))),
        (None, _) => Err(unknown(run, job)),
    }
}

fn unknown(run: &str, job: &str) -> Error {
    Error::not_found(format!("the run {run} has no quarantined job {job}: see `jhalak quarantine ls {run}`"))
}

async fn records(store: &dyn ObjectStore, run: &str) -> Result<Vec<Stored>> {
    jhalak_common::store::check_prefix(&quarantine_folder(run))?;
    read_all(store, quarantined::keys(store, run).await?).await
}

/// Reads the records. One that cannot be read is listed with the name of its file as its job, so
/// that it can be dropped.
async fn read_all(store: &dyn ObjectStore, keys: BTreeSet<String>) -> Result<Vec<Stored>> {
    let mut records = Vec::new();
    for key in keys {
        let record = match run::get_json::<QuarantineRecord>(store, &key).await {
            Ok(record) => record,
            Err(error) if error.kind() == ErrorKind::InvalidInput => Some(unreadable(&key, &error)),
            Err(error) => return Err(error),
        };
        records.extend(record.map(|record| Stored { key, record }));
    }
    Ok(records)
}

fn unreadable(key: &str, error: &Error) -> QuarantineRecord {
    let (folder, name) = key.rsplit_once('/').unwrap_or(("", key));
    let run = folder.strip_prefix("runs/").and_then(|folder| folder.split('/').next()).unwrap_or_default();
    let job = name.strip_suffix(".json").unwrap_or(name);
    QuarantineRecord {
        at: None,
        ..QuarantineRecord::new(run, job, "a record".into(), error, 0, serde_json::Value::Null)
    }
}

/// The keys of the quarantine records of every run.
async fn keys_of_all_runs(store: &dyn ObjectStore) -> Result<BTreeSet<String>> {
    let keys = store.list("runs/").map_ok(|object| object.key);
    keys.try_filter(|key| std::future::ready(key.contains("/quarantine/"))).try_collect().await
}
