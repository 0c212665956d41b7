//! `jhalak report`: the main results of a run and the location of its report.

use clap::Args;
#[cfg(feature = "local")]
use clap::builder::TypedValueParser;
use jhalak_common::process::exit;
#[cfg(feature = "local")]
use jhalak_common::process::shutdown;
use jhalak_common::run::run_key;
#[cfg(feature = "local")]
use jhalak_common::settings::Measure;
use jhalak_common::settings::{Images, Settings};
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, ErrorKind, Result};
#[cfg(feature = "local")]
use tokio_util::sync::CancellationToken;

#[cfg(feature = "local")]
use crate::commands::choices;
use crate::commands::run_id::RunArg;
use crate::console::output::Output;
#[cfg(feature = "local")]
use crate::console::progress::Progress;
#[cfg(feature = "local")]
use crate::measures;
use crate::plan;
use crate::plan::Plan;
#[cfg(feature = "local")]
use crate::report::Shown;
use crate::report::{Gallery, Report, render, summary};
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
  jhalak report RUN --trailer tt9900003
  # Add what is lost without each group of the ensemble's features
  jhalak report RUN --measures ablation")]
pub struct ReportCommand {
    #[command(flatten)]
    run: RunArg,
    /// Write the page again with the trailer of this movie shown as well; repeatable
    ///
    /// Its pictures, scenes and nearest trailers come first on the page. The other trailers are the run's own sample.
    #[arg(long = "trailer", value_name = "ID", help_heading = "Output")]
    trailers: Vec<String>,
    /// Compute these measures in this process and write the page again with them, separated by commas
    ///
    /// Those that the report has are not computed again. `report.measures` lists those that `jhalak run` adds itself.
    #[cfg(feature = "local")]
    #[arg(
        long,
        value_parser = measure(),
        value_delimiter = ',',
        value_name = "MEASURES",
        help_heading = "Output"
    )]
    measures: Vec<Measure>,
}

#[cfg(feature = "local")]
fn measure() -> impl TypedValueParser<Value = Measure> {
    let help = |measure| match measure {
        Measure::Ranking => "How well rankers order the movies that a user has not rated",
        Measure::ColdStart => "Accuracy for new users, by their number of known ratings",
        Measure::Ablation => "What is lost without each group of the ensemble's features (slow)",
    };
    choices::one_of(Measure::ALL, Measure::name, help)
}

/// Adds the measures in `wanted` that the stored report of a run lacks, and writes its page again.
#[cfg(feature = "local")]
pub(super) async fn add_measures(
    report: &mut Report,
    wanted: &[Measure],
    store: &dyn ObjectStore,
    plan: &Plan,
    stopped: &CancellationToken,
    progress: &Progress,
) -> Result<()> {
    if measures::add(&mut report.measures, wanted, store, plan, stopped, progress).await? {
        collect_pictures(report, store, plan).await?;
        write(store, &plan.spec.id, report).await?;
    }
    Ok(())
}

/// Reads the pictures of a report that was read from JSON, which has none.
#[cfg(feature = "local")]
async fn collect_pictures(report: &mut Report, store: &dyn ObjectStore, plan: &Plan) -> Result<()> {
    let Some(gallery) = &report.gallery else { return Ok(()) };
    let frames = |shown: &Shown| shown.view.sets.iter().flat_map(|set| &set.keyframes).any(|one| one.jpeg.is_empty());
    if !gallery.trailers.iter().any(frames) {
        return Ok(());
    }
    // Trailers that were named come first.
    let named = gallery.trailers.len().saturating_sub(pictures::SAMPLE);
    let also: Vec<String> = gallery.trailers[..named].iter().map(|shown| shown.view.movie.clone()).collect();
    report.gallery = Some(gallery_of(report, store, plan, &also).await?);
    Ok(())
}

async fn gallery_of(report: &Report, store: &dyn ObjectStore, plan: &Plan, also: &[String]) -> Result<Gallery> {
    let dataset = plan::frozen_dataset(store, plan).await?;
    let seed = report.run.seeds.values().next().copied().unwrap_or_default();
    pictures::collect(store, plan, &dataset, seed, also).await
}

async fn write(store: &dyn ObjectStore, run: &str, report: &Report) -> Result<()> {
    store.put(&run_key(run, "report/index.html"), render(report)?.into()).await?;
    store.put(&run_key(run, "report/report.json"), report.to_json()?.into()).await
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
        let mut plan = None;
        if !self.trailers.is_empty() {
            if settings.report.images == Images::None {
                return Err(Error::usage(
                    "report.images = none leaves pictures out: remove --trailer, or set it to sample",
                ));
            }
            let plan = plan.insert(plan::load(store.as_ref(), &run).await?);
            report.gallery = Some(gallery_of(&report, store.as_ref(), plan, &self.trailers).await?);
            write(store.as_ref(), &run, &report).await?;
        }
        #[cfg(feature = "local")]
        if !self.measures.is_empty() {
            let stopped = shutdown::on_signal()?;
            let plan = match plan {
                Some(plan) => plan,
                None => plan::load(store.as_ref(), &run).await?,
            };
            // An explicit request tries again what could not be computed.
            report.measures.not_computed.retain(|name, _| self.measures.iter().all(|wanted| wanted.name() != name));
            add_measures(&mut report, &self.measures, store.as_ref(), &plan, &stopped, &output.progress).await?;
        }
        let text = format!("{}\nreport: {}/{}", summary(&report), store.url(), run_key(&run, "report/index.html"));
        output.print(&report, &text)?;
        Ok(exit::DONE)
    }
}
