//! `jhalak report`: a run's main figures and where its report is.

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::run::run_key;
use jhalak_common::settings::Settings;
use jhalak_common::store;
use jhalak_common::{Error, ErrorKind, Result};

use crate::console::output::Output;
use crate::report::{Report, summary};

/// Shows a run's main figures and where its report is; with --json the whole report.
#[derive(Args)]
pub struct ReportCommand {
    /// The run.
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
