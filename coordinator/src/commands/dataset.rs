//! `jhalak dataset`: the contents of a dataset and its rejected rows.

use clap::{Args, Subcommand};
use jhalak_common::Result;
use jhalak_common::dataset::Reading;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use serde_json::json;

use super::args::DatasetArgs;
use crate::console::output::Output;
use crate::plan::dataset_source;

/// Rejected rows that are listed; `dataset check` lists more.
const MAX_LISTED: usize = 5;

/// Check or describe a dataset
#[derive(Args)]
#[command(after_help = "Examples:
  # List the rows of the demo that are left out
  jhalak dataset check --dataset .local/demo/dataset
  # Count its users, movies and ratings
  jhalak dataset describe --dataset .local/demo/dataset")]
pub struct DatasetCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the rows and files that are left out, each with its reason
    ///
    /// Exits with 3 if anything is left out.
    #[command(after_help = "Examples:
  # List what is left out of the demo
  jhalak dataset check --dataset .local/demo/dataset
  # Print it as JSON
  jhalak dataset check --dataset .local/demo/dataset --json")]
    Check(DatasetArgs),
    /// Count ratings by class, users, movies, genres and missing values
    #[command(after_help = "Examples:
  # Describe the demo
  jhalak dataset describe --dataset .local/demo/dataset
  # Print the counts as JSON
  jhalak dataset describe --dataset .local/demo/dataset --json")]
    Describe(DatasetArgs),
}

impl DatasetCommand {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        match self.command {
            Action::Check(args) => {
                let reading = dataset_source::read(&args.dataset, args.movies.as_deref(), &settings).await?.reading;
                let mut text: String = reading.rejects.iter().map(|r| format!("{r}\n")).collect();
                text.push_str(&match reading.rejected {
                    0 => "nothing was left out".to_string(),
                    n => format!("{n} left out in all"),
                });
                output.print(&json!({ "rejected": reading.rejected, "rejects": reading.rejects }), &text)?;
                Ok(if reading.rejected == 0 { exit::DONE } else { exit::INVALID })
            }
            Action::Describe(args) => {
                let reading = dataset_source::read(&args.dataset, args.movies.as_deref(), &settings).await?.reading;
                let description = reading.describe();
                output.print(&description, &description.to_string())?;
                Ok(exit::DONE)
            }
        }
    }
}

/// Reports the rows that a reading left out, so that nothing is skipped silently.
pub(super) fn report_rejects(reading: &Reading, output: &Output) {
    for reject in reading.rejects.iter().take(MAX_LISTED) {
        output.progress.say(&format!("left out: {reject}"));
    }
    if reading.rejected > MAX_LISTED as u64 {
        output.progress.say(&format!(
            "left out: {} more; `jhalak dataset check` lists them",
            reading.rejected - MAX_LISTED as u64
        ));
    }
}
