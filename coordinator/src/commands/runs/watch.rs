//! `jhalak watch`: the progress of a run, from any machine that reads the store.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use jhalak_common::process::{exit, shutdown};
use jhalak_common::run::job::QuarantineRecord;
use jhalak_common::run::{self, RunState, Stage, run_key};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, Result};
use serde_json::json;

use crate::commands::run_id::RunArg;
use crate::console::output::Output;
use crate::console::progress::Meter;
use crate::run::lease;
use crate::run::quarantined;

/// How often the store is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A state that stays the same for so long is worth a word.
const SILENT: Duration = Duration::from_secs(30);

/// Show the progress of a run until it ends
///
/// Shows the stage, jobs done, rate, time left and failures. Reads the store alone. With --json, prints one object per
/// line for each change. Exits with the result of the run: 0 done, 4 with quarantined jobs, 130 cancelled.
#[derive(Args)]
#[command(after_help = "Examples:
  # Follow a run; `jhalak status` lists the run ids
  jhalak watch RUN
  # Print one JSON object per line for each change
  jhalak watch RUN --json")]
pub struct Watch {
    #[command(flatten)]
    run: RunArg,
}

impl Watch {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stop = shutdown::on_signal()?;
        let store = store::open(&settings.store, &settings.s3).await?;
        let run = self.run.find(store.as_ref()).await?;
        let (mut last, mut shown): (Option<RunState>, BTreeSet<String>) = (None, BTreeSet::new());
        let (mut changed, mut warned) = (Instant::now(), false);
        let meter = Meter::new(&output.progress);
        loop {
            let state: Option<RunState> = run::get_json(store.as_ref(), &run_key(&run, "state.json")).await?;
            let Some(state) = state else {
                let words = format!("the store {} has no run `{}`: see `jhalak status`", store.url(), run);
                return Err(Error::not_found(words));
            };
            let failed = state.quarantined > shown.len() || state.stage.is_final();
            if failed && !output.json {
                show_failures(store.as_ref(), &run, &mut shown, &meter).await?;
            }
            if last.as_ref() != Some(&state) {
                (changed, warned) = (Instant::now(), false);
                if output.json {
                    let line = json!({ "run": run, "state": state, "rate": state.rate(), "left_s": state.left_s() });
                    println!("{line}");
                } else if !state.stage.is_final() {
                    meter.show(&state);
                }
            }
            if state.stage.is_final() {
                meter.end();
                if !output.json {
                    output.print(&state, &format!("{run}: {}", super::status::words(&state)))?;
                }
                return Ok(match state.stage {
                    Stage::Done => exit::DONE,
                    Stage::Cancelled => exit::INTERRUPTED,
                    _ => exit::QUARANTINED,
                });
            }
            if !warned && changed.elapsed() > SILENT {
                warned = true;
                let who = match lease::holder(store.as_ref(), &run).await? {
                    Some(holder) => format!("its last coordinator: {holder}"),
                    None => "it has no coordinator".into(),
                };
                let seconds = SILENT.as_secs();
                output.progress.say(&format!(
                    "no change for {seconds} s; {who}; to resume the run, start the same `submit` again"
                ));
            }
            last = Some(state);
            tokio::select! {
                () = stop.cancelled() => return Ok(exit::INTERRUPTED),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// Shows the quarantined jobs that are not among `shown`.
async fn show_failures(store: &dyn ObjectStore, run: &str, shown: &mut BTreeSet<String>, meter: &Meter) -> Result<()> {
    for key in quarantined::keys(store, run).await? {
        if shown.contains(&key) {
            continue;
        }
        if let Some(record) = run::get_json::<QuarantineRecord>(store, &key).await? {
            meter.say(&format!("quarantined: {}: {}", record.about, record.reason));
        }
        shown.insert(key);
    }
    Ok(())
}
