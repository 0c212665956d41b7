//! `jhalak cancel`: ends a run before its end.

use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::run::{self, CANCELLED, Cancellation, RUN_VERSION, RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use serde_json::json;

use crate::console::output::Output;
use crate::run::lease;

/// How long the run's coordinator may take to drain its jobs.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Cancels a run: its jobs that wait are dropped by the workers without an attempt burned, those that run are stopped or finish, and what is
/// committed stays. `jhalak retry`, or the same submit once more, lets it go on.
#[derive(Args)]
pub struct Cancel {
    /// The run.
    run: String,
}

impl Cancel {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let (store, run) = (store.as_ref(), &self.run);
        let state_key = run_key(run, "state.json");
        let read = async || run::get_json::<RunState>(store, &state_key).await;
        let Some(mut state) = read().await? else {
            return Err(Error::not_found(format!("the store {} has no run `{run}`: see `jhalak status`", store.url())));
        };
        if matches!(state.stage, Stage::Done | Stage::DoneWithFailures) {
            let text = format!("the run {run} has ended ({}): there is nothing to cancel", state.stage.name());
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
            // Nobody drives it: the jobs that wait are dropped whenever a worker meets them.
            let open = state.jobs.saturating_sub(state.committed + state.quarantined);
            state = RunState { stage: Stage::Cancelled, cancelled: open, updated: jiff::Timestamp::now(), ..state };
            run::put_json(store, &state_key, &state).await?;
        }
        let text = format!("{run}: {}", super::status::words(&state));
        output.print(&json!({ "run": run, "cancelled": state.stage == Stage::Cancelled, "state": state }), &text)?;
        Ok(exit::DONE)
    }
}
