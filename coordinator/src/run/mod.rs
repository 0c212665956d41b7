//! Brings a planned run to its end under its lead: what `run` and `submit` share.

pub mod dispatch;
pub mod dry_run;
pub mod finish;
pub mod jobs;
pub mod lease;
pub mod missing;
pub mod reprocess;
pub mod stages;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jhalak_common::Result;
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::dataset::Reading;
use jhalak_common::process::exit;
use jhalak_common::queue::Queue;
use jhalak_common::run::{self, RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::console::output::Output;
use crate::plan::Plan;
use crate::run::lease::{Claim, Lead};
use crate::run::stages::{Coordinator, Driven, Halt};

/// How long the store or the broker may be away in the middle of a run before this process gives up.
const AWAY: Duration = Duration::from_secs(300);

/// The pause before it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// A run and what brings it to its end.
pub struct Conduct<'a> {
    /// The frozen run.
    pub plan: &'a Plan,
    /// The dataset as it was frozen.
    pub reading: &'a Reading,
    /// Where artifacts are.
    pub store: Arc<dyn ObjectStore>,
    /// What carries jobs.
    pub queue: Arc<dyn Queue>,
    /// The settings.
    pub settings: &'a Settings,
    /// How to answer.
    pub output: &'a Output,
    /// The process's own stop.
    pub stop: &'a CancellationToken,
    /// Wait while another coordinator drives the run; else say so and leave it alone.
    pub wait: bool,
    /// A kind of artifact that is to be made again although it is committed.
    pub reprocess: Option<ArtifactKind>,
}

impl Conduct<'_> {
    /// Does it. Returns the exit code.
    pub async fn go(mut self) -> Result<u8> {
        let run = &self.plan.spec.id;
        // A run that is cancelled from here on stays so; one that was before is gone on with, for that is what was asked, unless it has a slot.
        let mut revive = self.plan.spec.slot.is_none() && run::is_cancelled(self.store.as_ref(), run).await?;
        loop {
            let progress = &self.output.progress;
            let claim = lease::take(&self.store, run, self.wait, self.stop, |holder| {
                progress.say(&format!(
                    "the run {run} is led by {holder}: looking whether it lives, and waiting for it if so"
                ));
            });
            let lead = match claim.await? {
                Claim::Ours(lead) => lead,
                Claim::Theirs(holder) => {
                    let text =
                        format!("the run {run} is driven by {holder} already: `jhalak watch {run}` shows how it goes");
                    self.output.print(&json!({ "run": run, "found": true, "driven_by": holder }), &text)?;
                    return Ok(exit::DONE);
                }
            };
            if revive {
                progress.say("the run was cancelled before; going on with it");
                self.store.delete(&run_key(run, run::CANCELLED)).await?;
                revive = false;
            }
            let ended = self.lead_patiently(&lead).await;
            lead.release().await;
            match ended? {
                Some(code) => return Ok(code),
                None => progress.say("another coordinator has taken over the run"),
            }
        }
    }

    /// Drives the run, and again where the store or the broker was away for a while: what it comes to is found by looking.
    async fn lead_patiently(&mut self, lead: &Lead) -> Result<Option<u8>> {
        let mut away_since = None;
        loop {
            let began = Instant::now();
            let error = match self.lead(Halt::new(self.stop, lead)).await {
                Err(error) if error.kind().is_transient() => error,
                other => return other,
            };
            // A drive that got somewhere has met another outage.
            let since = *away_since.get_or_insert(began);
            if began.elapsed() > AWAY {
                away_since = None;
            } else if since.elapsed() > AWAY {
                return Err(error);
            }
            self.output.progress.say(&format!("{}: going on in {} s", error.chain(), AGAIN.as_secs()));
            tokio::select! {
                () = self.stop.cancelled() => return Err(error),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// Drives the run while this process leads; None where it does no more.
    async fn lead(&mut self, halt: Halt) -> Result<Option<u8>> {
        let (plan, run) = (self.plan, &self.plan.spec.id);
        if run::is_cancelled(self.store.as_ref(), run).await? {
            return self.say_cancelled().await.map(Some);
        }
        if let Some(kind) = self.reprocess.take() {
            let keys = reprocess::chosen(self.store.as_ref(), plan, kind).await?;
            self.output.progress.say(&format!("{} artifacts are made again", keys.len()));
            reprocess::retract(self.store.as_ref(), &keys).await?;
        }
        let coordinator = Coordinator {
            store: self.store.clone(),
            queue: self.queue.clone(),
            progress: self.output.progress.clone(),
            halt,
            window: self.settings.coordinator.window,
        };
        match coordinator.drive(plan).await? {
            Driven::Over(summary) => {
                finish::conclude(&coordinator, plan, self.reading, &summary, self.settings, self.output).await.map(Some)
            }
            Driven::Cancelled => self.say_cancelled().await.map(Some),
            Driven::Lost => Ok(None),
        }
    }

    async fn say_cancelled(&self) -> Result<u8> {
        let run = &self.plan.spec.id;
        let state: Option<RunState> = run::get_json(self.store.as_ref(), &run_key(run, "state.json")).await?;
        let text = format!("the run {run} was cancelled: `jhalak retry {run}` lets it go on");
        let answer = json!({ "run": run, "found": true, "state": Stage::Cancelled.name(), "at": state });
        self.output.print(&answer, &text)?;
        Ok(if self.plan.spec.slot.is_some() && !self.wait { exit::DONE } else { exit::INTERRUPTED })
    }
}
