//! `jhalak status`: where runs stand.

use clap::Args;
use futures::TryStreamExt;
use jhalak_common::run::{self, RunState, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result, exit};
use serde_json::json;

use super::Output;

/// Says where runs stand, by what the store holds.
#[derive(Args)]
pub struct Status {
    /// The run; every run of the store where it is not given.
    run: Option<String>,
}

impl Status {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
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
            text.push_str(&format!("{run}: {}", state.stage.name()));
            if state.jobs > 0 {
                text.push_str(&format!(", {} of {} jobs committed", state.committed, state.jobs));
            }
            if state.quarantined > 0 {
                text.push_str(&format!(", {} quarantined (jhalak quarantine ls {run})", state.quarantined));
            }
            text.push_str(&format!(", {:.0}\n", state.updated));
            answer.push(json!({ "run": run, "state": state }));
        }
        if answer.is_empty() {
            text = format!("the store {} has no run yet", store.url());
        }
        output.print(&answer, &text)?;
        Ok(exit::DONE)
    }
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
