//! `jhalak report`: the main results of a run and the location of its report.

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::run::run_key;
use jhalak_common::settings::Settings;
use jhalak_common::store;
use jhalak_common::{Error, ErrorKind, Result};

use crate::console::output::Output;
use crate::report::{Report, summary};

/// Show the main results of a run and the location of its report
///
/// With --json, prints the whole report.
#[derive(Args)]
#[command(after_help = "Examples:
  # Show the results of a run; `jhalak status` lists the run ids
  jhalak report RUN
  # Print the whole report as JSON
  jhalak report RUN --json")]
pub struct ReportCommand {
    /// Run id, as listed by `jhalak status`
    run: String,
}

impl ReportCommand {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let key = run_key(&self.run, "report/report.json");
        let bytes = store.get(&key).await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Error::not_found(format!("the run {} has no report yet: see `jhalak status`", self.run))
            }
            _ => e,
        })?;
        let report = Report::from_json(&bytes).map_err(|e| e.context(key))?;
        let text = format!("{}\nreport: {}/{}", summary(&report), store.url(), run_key(&self.run, "report/index.html"));
        output.print(&report, &text)?;
        Ok(exit::DONE)
    }
}
