//! `jhalak dataset`: what a dataset holds, and what is wrong with it.

use clap::{Args, Subcommand};
use jhalak_common::Result;
use jhalak_common::dataset::Reading;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use serde_json::json;

use super::args::DatasetArgs;
use crate::console::output::Output;
use crate::plan::dataset_source;

/// Rejects that are told one by one; `dataset check` lists more.
const TOLD: usize = 5;

/// Looks at a dataset.
#[derive(Args)]
pub struct DatasetCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Lists everything that was left out, with the reason. Exit code 3 where something was.
    Check(DatasetArgs),
    /// Counts by class, users, movies, genres, and what is missing.
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

/// Says what a reading left out, so that nothing is skipped in silence.
pub(super) fn tell_rejects(reading: &Reading, output: &Output) {
    for reject in reading.rejects.iter().take(TOLD) {
        output.progress.say(&format!("left out: {reject}"));
    }
    if reading.rejected > TOLD as u64 {
        output
            .progress
            .say(&format!("left out: {} more; `jhalak dataset check` lists them", reading.rejected - TOLD as u64));
    }
}
