//! `jhalak status`: the status of runs, the jobs that workers hold, and the number of waiting jobs.

use std::time::Duration;

use clap::Args;
use jhalak_common::counted::counted;
use jhalak_common::process::exit;
use jhalak_common::queue::{self, Backlog, Channel, WorkKind};
use jhalak_common::redact::redact_message;
use jhalak_common::run::{self, AtWork, RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use serde::Serialize;
use serde_json::json;

use crate::commands::run_id;
use crate::console::output::Output;
use crate::run::{lease, quarantined};
use crate::utc;

/// How long the broker may take to answer.
const BROKER_TIMEOUT: Duration = Duration::from_secs(10);

/// A worker's record that is older than this is marked: the worker may be gone.
const SILENT_S: i64 = 30;

/// Show the status of runs
///
/// Reads the store. With --jobs, also reads the number of waiting jobs from the broker, unless the queue is `memory:`;
/// exits with 5 if only the broker does not answer.
#[derive(Args)]
#[command(after_help = "Examples:
  # Show every run in the store
  jhalak status
  # Print the status as JSON, with job counts and times
  jhalak status --json")]
pub struct Status {
    /// Run id, or the start of one that no other run shares
    ///
    /// [default: every run in the store]
    run: Option<String>,
    /// Show the jobs that workers hold, the oldest first, and the number of waiting jobs
    #[arg(long, help_heading = "Output")]
    jobs: bool,
}

/// The jobs that wait on the broker.
#[derive(Serialize)]
struct Waiting {
    extract: Backlog,
    train: Backlog,
    dead_letters: u64,
    /// The broker's reason if it takes no messages.
    blocked: Option<String>,
}

/// A job that a worker holds.
#[derive(Serialize)]
struct Held {
    job: String,
    about: String,
    step: String,
    /// Seconds since the worker took it, and in its step.
    held_s: i64,
    step_s: i64,
    worker: String,
    host: String,
    process: u32,
    /// Seconds since the worker wrote its record.
    silent_s: i64,
}

impl Status {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let runs = match self.run {
            Some(run) => vec![run_id::find(store.as_ref(), Some(&run)).await?],
            None => run_id::all(store.as_ref()).await?,
        };
        let (mut answer, mut text, mut broker_error) = (Vec::new(), String::new(), None);
        for run in runs {
            let state: Option<RunState> = run::get_json(store.as_ref(), &run_key(&run, "state.json")).await?;
            let Some(state) = state else {
                return Err(Error::not_found(format!(
                    "the store {} has no state of the run `{run}`: repeat the command that started it, or list the runs with `jhalak status`",
                    store.url()
                )));
            };
            let cancelling = !state.stage.is_final() && run::is_cancelled(store.as_ref(), &run).await?;
            let records = match state.quarantined {
                0 => 0,
                _ => quarantined::keys(store.as_ref(), &run).await?.len(),
            };
            let more = match (cancelling, state.quarantined) {
                (true, _) => ", being cancelled".to_string(),
                _ if !state.stage.is_final() && lease::holder(store.as_ref(), &run).await?.is_none() => {
                    ", no coordinator: start the same `run` or `submit` again".to_string()
                }
                (_, 0) => String::new(),
                _ if records == 0 => ", to be tried again: start the same `run` or `submit` again".to_string(),
                _ => format!(" (jhalak quarantine ls {run})"),
            };
            let has_report = matches!(state.stage, Stage::Done | Stage::DoneWithFailures);
            let page = format!("{}/{}", store.url().trim_end_matches('/'), run_key(&run, "report/index.html"));
            let page = has_report.then_some(page);
            let shown = page.as_ref().map(|page| format!("  {page}\n")).unwrap_or_default();
            text.push_str(&format!("{run}: {}{more}, {}\n{shown}", words(&state), utc::to_the_second(state.updated)));
            let mut entry = json!({ "run": run, "state": state, "report": page });
            if self.jobs {
                let held = held(store.as_ref(), &run).await?;
                text.push_str(&held.iter().map(Held::line).collect::<String>());
                entry["at_work"] = json!(held);
            }
            answer.push(entry);
        }
        if self.jobs && settings.queue != "memory:" {
            let waiting = tokio::time::timeout(BROKER_TIMEOUT, Waiting::ask(&settings)).await;
            let waiting = waiting.unwrap_or_else(|_| Err(Error::transient("the broker does not answer")));
            let queue = match &waiting {
                Ok(waiting) => json!(waiting),
                Err(error) => json!({ "error": redact_message(&error.chain()) }),
            };
            for entry in &mut answer {
                entry["queue"] = queue.clone();
            }
            match waiting {
                Ok(waiting) => text.push_str(&waiting.lines()),
                Err(error) => broker_error = Some(error),
            }
        }
        if answer.is_empty() {
            text = format!("the store {} has no runs yet", store.url());
        }
        output.print(&answer, &text)?;
        if let Some(error) = broker_error {
            // What the store knows is printed: this command is for runs whose broker is lost, too.
            output.progress.warn(&format!("the jobs that wait are not known: {}", error.chain()));
            return Ok(exit::code(error.kind()));
        }
        Ok(exit::DONE)
    }
}

/// The jobs of a run that workers hold, the oldest first.
async fn held(store: &dyn ObjectStore, run: &str) -> Result<Vec<Held>> {
    let now = jiff::Timestamp::now().as_second();
    let mut found = Vec::new();
    for record in AtWork::of_run(store, run).await? {
        let (silent_s, AtWork { worker, process, jobs, .. }) = (record.age_s(), record);
        if process.is_dead() {
            continue;
        }
        found.extend(jobs.into_iter().map(|(job, at_work)| Held {
            job,
            about: at_work.about,
            step: at_work.step,
            held_s: now - at_work.since.as_second(),
            step_s: now - at_work.step_since.as_second(),
            worker: worker.clone(),
            host: process.host.clone(),
            process: process.process,
            silent_s,
        }));
    }
    found.sort_by(|a, b| (b.held_s, &a.job).cmp(&(a.held_s, &b.job)));
    Ok(found)
}

impl Held {
    fn line(&self) -> String {
        let silent = match self.silent_s > SILENT_S {
            true => format!(", silent for {} s", self.silent_s),
            false => String::new(),
        };
        format!(
            "  {:>6} s  {} ({} for {} s)  process {} on {}{silent}\n",
            self.held_s, self.about, self.step, self.step_s, self.process, self.host
        )
    }
}

impl Waiting {
    async fn ask(settings: &Settings) -> Result<Waiting> {
        let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
        let asked = async {
            Ok(Waiting {
                extract: queue.backlog(WorkKind::Extract).await?,
                train: queue.backlog(WorkKind::Train).await?,
                dead_letters: queue.depth(&Channel::Quarantine).await?,
                blocked: queue.blocked(),
            })
        }
        .await;
        queue.close().await;
        asked
    }

    fn lines(&self) -> String {
        let line = |kind: WorkKind, backlog: &Backlog| {
            let Backlog { ready, delayed, consumers } = backlog;
            let kind = kind.name();
            format!("queue {kind:8} {ready} waiting, {delayed} waiting for a retry, {consumers} workers\n")
        };
        let mut text = line(WorkKind::Extract, &self.extract) + &line(WorkKind::Train, &self.train);
        text.push_str(&format!("dead letters   {}\n", self.dead_letters));
        if let Some(reason) = &self.blocked {
            text.push_str(&format!("the broker takes no messages: {reason}\n"));
        }
        text
    }
}

/// A state in words.
pub(super) fn words(state: &RunState) -> String {
    let mut text = state.stage.name().to_string();
    if state.jobs > 0 {
        text.push_str(&format!(", {} of {} committed", state.committed, counted(state.jobs as u64, "job")));
    }
    if state.quarantined > 0 {
        text.push_str(&format!(", {} quarantined", state.quarantined));
    }
    if state.cancelled > 0 {
        text.push_str(&format!(", {} cancelled", state.cancelled));
    }
    text
}
