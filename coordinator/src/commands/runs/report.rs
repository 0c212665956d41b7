//! `jhalak report`: the main results of a run and the location of its report.

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::run::run_key;
use jhalak_common::settings::{Images, Settings};
use jhalak_common::store;
use jhalak_common::{Error, ErrorKind, Result};

use super::run_id::RunArg;
use crate::console::output::Output;
use crate::plan;
use crate::report::{Report, render, summary};
use crate::run::report_data::pictures;

/// Show the main results of a run and the location of its report
///
/// With --json, prints the whole report.
#[derive(Args)]
#[command(after_help = "Examples:
  # Show the results of a run; `jhalak status` lists the run ids
  jhalak report RUN
  # Print the whole report as JSON
  jhalak report RUN --json
  # Show the trailer of one more movie on the page
  jhalak report RUN --trailer tt9900003")]
pub struct ReportCommand {
    #[command(flatten)]
    run: RunArg,
    /// Write the page again with the trailer of this movie shown as well; repeatable
    ///
    /// Its pictures, scenes and nearest trailers come first on the page. The other trailers are the run's own sample.
    #[arg(long = "trailer", value_name = "ID", help_heading = "Output")]
    trailers: Vec<String>,
}

impl ReportCommand {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let run = self.run.find(store.as_ref()).await?;
        let key = run_key(&run, "report/report.json");
        let bytes = store.get(&key).await.map_err(|e| match e.kind() {
            ErrorKind::NotFound => Error::not_found(format!("the run {run} has no report yet: see `jhalak status`")),
            _ => e,
        })?;
        let mut report = Report::from_json(&bytes).map_err(|e| e.context(&key))?;
        if !self.trailers.is_empty() {
            if settings.report.images == Images::None {
                return Err(Error::usage(
                    "report.images = none leaves pictures out: remove --trailer, or set it to sample",
                ));
            }
            let plan = plan::load(store.as_ref(), &run).await?;
            let dataset = plan::frozen_dataset(store.as_ref(), &plan).await?;
            let seed = report.run.seeds.values().next().copied().unwrap_or_default();
            report.gallery = Some(pictures::collect(store.as_ref(), &plan, &dataset, seed, &self.trailers).await?);
            store.put(&run_key(&run, "report/index.html"), render(&report)?.into()).await?;
            store.put(&key, report.to_json()?.into()).await?;
        }
        let text = format!("{}\nreport: {}/{}", summary(&report), store.url(), run_key(&run, "report/index.html"));
        output.print(&report, &text)?;
        Ok(exit::DONE)
    }
}
