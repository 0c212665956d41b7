//! `jhalak cancel`: stops a run and keeps its committed artifacts.

use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::run::{self, CANCELLED, Cancellation, RUN_VERSION, RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use serde_json::json;

use crate::commands::run_id::RunArg;
use crate::console::output::Output;
use crate::run::lease;

/// How long the run's coordinator may take to drain its jobs.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Cancel a run; committed artifacts are kept
///
/// Workers drop waiting jobs without counting an attempt; running jobs are stopped or finish. `jhalak retry` or
/// `submit --resume` resumes the run.
#[derive(Args)]
#[command(after_help = "Examples:
  # Cancel a run; `jhalak status` lists the run ids
  jhalak cancel RUN
  # Allow the cancelled run again; the same `run` or `submit` then resumes it
  jhalak retry RUN")]
pub struct Cancel {
    #[command(flatten)]
    run: RunArg,
}

impl Cancel {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let run = &self.run.find(store.as_ref()).await?;
        let store = store.as_ref();
        let state_key = run_key(run, "state.json");
        let read = async || run::get_json::<RunState>(store, &state_key).await;
        let Some(mut state) = read().await? else {
            return Err(Error::not_found(format!("the store {} has no run `{run}`: see `jhalak status`", store.url())));
        };
        if matches!(state.stage, Stage::Done | Stage::DoneWithFailures) {
            let text = format!("the run {run} has already ended ({}): nothing to cancel", state.stage.name());
            output.print(&json!({ "run": run, "cancelled": false, "state": state }), &text)?;
            return Ok(exit::DONE);
        }
        run::put_json_once(
            store,
            &run_key(run, CANCELLED),
            &Cancellation { version: RUN_VERSION, at: jiff::Timestamp::now() },
        )
        .await?;
        let began = Instant::now();
        while !state.stage.is_final() && began.elapsed() < DRAIN_TIMEOUT && lease::holder(store, run).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(300)).await;
            state = read().await?.unwrap_or(state);
        }
        if !state.stage.is_final() {
            // The run has no coordinator: workers drop its waiting jobs when they receive them.
            let open = state.jobs.saturating_sub(state.committed + state.quarantined);
            state = RunState { stage: Stage::Cancelled, cancelled: open, updated: jiff::Timestamp::now(), ..state };
            run::put_json(store, &state_key, &state).await?;
        }
        let text = format!("{run}: {}", super::status::words(&state));
        output.print(&json!({ "run": run, "cancelled": state.stage == Stage::Cancelled, "state": state }), &text)?;
        Ok(exit::DONE)
    }
}
