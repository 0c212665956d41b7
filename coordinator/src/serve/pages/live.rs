//! The state of a run now, and a stream of it: one reader of the store for all who watch a run.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{self, AtWork, Stage};
use jhalak_common::{Error, ErrorKind};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Mutex, watch};

use super::runs::{STAGES, state_of};
use crate::run::quarantined;
use crate::serve::answer::{self, Form};
use crate::serve::failure::Failure;
use crate::serve::query::Names;
use crate::serve::site::Site;
use crate::serve::svg;

/// How often the store is read while somebody watches.
const INTERVAL: Duration = Duration::from_secs(2);

/// States of which the curve of progress is drawn.
const HISTORY: usize = 300;

/// Runs that are watched at once.
const MAX_WATCHED: usize = 64;

/// Failures that are shown.
const MAX_FAILURES: usize = 5;

/// A worker that has not written for this long is marked.
const SILENT_S: i64 = 30;

/// Width and height of the curve.
const CURVE: (f64, f64) = (600.0, 80.0);

/// The state of a run now.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Live {
    /// The run's id.
    run: String,
    /// The stages, in order.
    stages: Vec<StageLine>,
    /// The stage of the run.
    stage: String,
    /// Whether it has ended.
    is_final: bool,
    /// Whether it was cancelled and has not ended yet.
    is_cancelling: bool,
    /// Jobs of the stage.
    jobs: u64,
    /// Committed jobs of the stage.
    committed: u64,
    /// Quarantined jobs of the stage.
    quarantined: u64,
    /// Jobs that ended per minute; null while unknown.
    per_minute: Option<f64>,
    /// Estimated seconds until the end of the stage; null while unknown.
    left_s: Option<f64>,
    /// Seconds without the end of a job, if the stage has stalled.
    stalled_s: Option<f64>,
    /// When the state was written, RFC 3339.
    updated: String,
    /// Seconds since then; the coordinator is gone where they grow.
    age_s: i64,
    /// The points of the curve of ended jobs since somebody watches, over 600 by 80.
    curve: String,
    /// The workers with their jobs.
    workers: Vec<Worker>,
    /// The last failures.
    failures: Vec<FailureLine>,
}

/// A stage of a run.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StageLine {
    /// Its name.
    name: String,
    /// `done`, `now` or `next`.
    state: String,
}

/// A worker.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Worker {
    /// Its id.
    id: String,
    /// Its host.
    host: String,
    /// Jobs that it runs at once.
    slots: u64,
    /// Whether it has not written for a while.
    is_silent: bool,
    /// Why it cannot do jobs of this run.
    unable: Option<String>,
    /// The jobs that it holds, the oldest first.
    jobs: Vec<Job>,
}

/// A job that a worker holds.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Job {
    /// Its id.
    id: String,
    /// The trailer or the fold.
    about: String,
    /// The current step of the worker.
    step: String,
    /// Seconds since it was taken.
    held_s: i64,
    /// Seconds in the step.
    step_s: i64,
}

/// A quarantined job.
#[derive(Clone, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FailureLine {
    /// The job's id.
    job: String,
    /// Its subject.
    about: String,
    /// Why.
    reason: String,
}

/// The watched runs, each with one reader of the store.
#[derive(Default)]
pub struct Watched(Mutex<BTreeMap<String, watch::Receiver<Arc<Live>>>>);

/// The sources of a stream.
#[derive(Clone)]
pub struct Streams {
    /// The site.
    pub site: Arc<Site>,
    /// The watched runs.
    pub watched: Arc<Watched>,
}

/// Shows the state of a run: the part of its page that changes.
pub async fn show(
    State(site): State<Arc<Site>>,
    form: Form,
    Names([run]): Names<[String; 1]>,
) -> Result<Response, Failure> {
    site.answer(form, "live.html", &read(&site, &run, &mut Vec::new()).await?)
}

/// Streams the state of a run: as JSON below `/api/v1`, else rendered.
pub async fn events(
    State(Streams { site, watched }): State<Streams>,
    form: Form,
    Names([run]): Names<[String; 1]>,
) -> Result<Response, Failure> {
    let permit = site.stream()?;
    let receiver = watched.watch(&site, &run).await?;
    let events = changes(receiver).map(move |live| {
        // Held as long as the stream.
        let _ = &permit;
        let text = match form {
            Form::Json => serde_json::to_string(live.as_ref()).unwrap_or_default(),
            Form::Page => answer::page(&site.templates, "live.html", live.as_ref()).unwrap_or_default(),
        };
        let name = if live.is_final { "end" } else { "state" };
        Ok::<_, Infallible>(Event::default().event(name).data(text))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// The values of a watch, the present one first, until it is closed or the run has ended.
fn changes(receiver: watch::Receiver<Arc<Live>>) -> impl Stream<Item = Arc<Live>> {
    stream::unfold((receiver, true), |(mut receiver, is_first)| async move {
        if is_first {
            receiver.mark_unchanged();
        } else {
            receiver.changed().await.ok()?;
        }
        let live = receiver.borrow_and_update().clone();
        Some((live, (receiver, false)))
    })
}

impl Watched {
    /// Returns the states of a run, from the one reader.
    async fn watch(&self, site: &Arc<Site>, run: &str) -> Result<watch::Receiver<Arc<Live>>, Failure> {
        let mut watched = self.0.lock().await;
        watched.retain(|_, receiver| receiver.has_changed().is_ok());
        if let Some(receiver) = watched.get(run) {
            return Ok(receiver.clone());
        }
        if watched.len() >= MAX_WATCHED {
            return Err(Error::new(ErrorKind::Throttled, "too many runs are watched: close a page").into());
        }
        let mut history = Vec::new();
        let first = Arc::new(read(site, run, &mut history).await?);
        let (sender, receiver) = watch::channel(first);
        watched.insert(run.to_owned(), receiver.clone());
        let (site, run) = (site.clone(), run.to_owned());
        tokio::spawn(async move {
            // The map of watched runs holds one receiver.
            while sender.receiver_count() > 1 && !sender.borrow().is_final {
                tokio::select! {
                    () = site.stop.cancelled() => return,
                    () = tokio::time::sleep(INTERVAL) => {}
                }
                match read(&site, &run, &mut history).await {
                    Ok(live) => drop(sender.send(Arc::new(live))),
                    Err(failure) => tracing::warn!(run, error = failure.message, "cannot read the state of a run"),
                }
            }
        });
        Ok(receiver)
    }
}

/// Reads the state of a run.
pub async fn read(site: &Site, run: &str, history: &mut Vec<f64>) -> Result<Live, Failure> {
    let store = site.store.as_ref();
    let state = state_of(site, run).await?;
    let is_cancelling = !state.stage.is_final() && run::is_cancelled(store, run).await?;
    let at_work = if state.stage.is_final() { Vec::new() } else { AtWork::of_run(store, run).await? };
    let failures = if state.quarantined == 0 { Vec::new() } else { failures(site, run).await? };
    let ended = (state.committed + state.quarantined) as f64;
    // Another stage counts other jobs.
    if history.last().is_some_and(|last| *last > ended) {
        history.clear();
    }
    history.push(ended);
    if history.len() > HISTORY {
        history.remove(0);
    }
    let now = jiff::Timestamp::now().as_second();
    Ok(Live {
        run: run.to_owned(),
        stages: stages(state.stage),
        stage: state.stage.name().to_owned(),
        is_final: state.stage.is_final(),
        is_cancelling,
        jobs: state.jobs as u64,
        committed: state.committed as u64,
        quarantined: state.quarantined as u64,
        per_minute: state.rate().map(|rate| 60.0 * rate).filter(|_| !state.stage.is_final()),
        left_s: state.left_s().filter(|_| !state.stage.is_final()),
        stalled_s: state.stalled_s(),
        updated: format!("{:.0}", state.updated),
        age_s: (now - state.updated.as_second()).max(0),
        curve: svg::curve(history, CURVE.0, CURVE.1, (state.jobs as f64).max(1.0)),
        workers: workers(at_work, now),
        failures,
    })
}

fn stages(now: Stage) -> Vec<StageLine> {
    let at = STAGES.iter().position(|stage| *stage == now);
    let state = |i: usize| match at {
        // It has ended; a cancelled run has no stage that is done for certain.
        None if now == Stage::Cancelled => "next",
        None => "done",
        Some(at) if i < at => "done",
        Some(at) if i == at => "now",
        Some(_) => "next",
    };
    let mut lines: Vec<StageLine> = STAGES
        .iter()
        .enumerate()
        .map(|(i, stage)| StageLine { name: stage.name().to_owned(), state: state(i).to_owned() })
        .collect();
    let (name, state) = match at {
        Some(_) => ("done", "next"),
        None => (now.name(), "now"),
    };
    lines.push(StageLine { name: name.to_owned(), state: state.to_owned() });
    lines
}

fn workers(at_work: Vec<AtWork>, now: i64) -> Vec<Worker> {
    let alive = at_work.into_iter().filter(|record| !record.process.is_dead());
    let worker = |record: AtWork| {
        let is_silent = record.age_s() > SILENT_S;
        let mut jobs: Vec<Job> = record
            .jobs
            .into_iter()
            .map(|(id, job)| Job {
                id,
                about: job.about,
                step: job.step,
                held_s: (now - job.since.as_second()).max(0),
                step_s: (now - job.step_since.as_second()).max(0),
            })
            .collect();
        jobs.sort_by(|a, b| b.held_s.cmp(&a.held_s).then_with(|| a.id.cmp(&b.id)));
        Worker {
            id: record.worker,
            host: record.process.host,
            slots: record.slots as u64,
            is_silent,
            unable: record.unable,
            jobs,
        }
    };
    alive.map(worker).collect()
}

/// The last of a run's quarantine records.
async fn failures(site: &Site, run: &str) -> Result<Vec<FailureLine>, Failure> {
    let keys = quarantined::keys(site.store.as_ref(), run).await?;
    let mut found = Vec::new();
    for key in keys.into_iter().rev().take(MAX_FAILURES) {
        if let Some(record) = run::get_json::<QuarantineRecord>(site.store.as_ref(), &key).await? {
            found.push(FailureLine { job: record.job, about: record.about, reason: record.reason });
        }
    }
    Ok(found)
}
