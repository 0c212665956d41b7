//! `jhalak status`: the status of runs.

use clap::Args;
use futures::TryStreamExt;
use jhalak_common::process::exit;
use jhalak_common::run::{self, RunState, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::console::output::Output;

/// Show the status of runs
///
/// Reads the store alone, so it works from any machine and needs no queue.
#[derive(Args)]
#[command(after_help = "Examples:
  # Show every run in the store
  jhalak status
  # Print the status as JSON, with job counts and times
  jhalak status --json")]
pub struct Status {
    /// Run id
    ///
    /// [default: every run in the store]
    run: Option<String>,
}

impl Status {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let runs = match self.run {
            Some(run) => vec![run],
            None => runs(store.as_ref()).await?,
        };
        let (mut answer, mut text) = (Vec::new(), String::new());
        for run in runs {
            let state: Option<RunState> = run::get_json(store.as_ref(), &run_key(&run, "state.json")).await?;
            let Some(state) = state else {
                return Err(Error::not_found(format!("the store {} has no run `{run}`", store.url())));
            };
            let cancelling = !state.stage.is_final() && run::is_cancelled(store.as_ref(), &run).await?;
            let more = match (cancelling, state.quarantined) {
                (true, _) => ", being cancelled".to_string(),
                (_, 0) => String::new(),
                _ => format!(" (jhalak quarantine ls {run})"),
            };
            text.push_str(&format!("{run}: {}{more}, {:.0}\n", words(&state), state.updated));
            answer.push(json!({ "run": run, "state": state }));
        }
        if answer.is_empty() {
            text = format!("the store {} has no runs yet", store.url());
        }
        output.print(&answer, &text)?;
        Ok(exit::DONE)
    }
}

/// A state in words.
pub(super) fn words(state: &RunState) -> String {
    let mut text = state.stage.name().to_string();
    if state.jobs > 0 {
        text.push_str(&format!(", {} of {} jobs committed", state.committed, state.jobs));
    }
    if state.quarantined > 0 {
        text.push_str(&format!(", {} quarantined", state.quarantined));
    }
    if state.cancelled > 0 {
        text.push_str(&format!(", {} cancelled", state.cancelled));
    }
    text
}

/// The ids of the store's runs, in order.
async fn runs(store: &dyn ObjectStore) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut objects = store.list("runs/");
    while let Some(object) = objects.try_next().await? {
        if let Some(run) = object.key.strip_prefix("runs/").and_then(|k| k.strip_suffix("/state.json")) {
            found.push(run.to_string());
        }
    }
    Ok(found)
}
