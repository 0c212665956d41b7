//! `jhalak dataset`: the contents of a dataset and its rejected rows.

use clap::{Args, Subcommand};
use jhalak_common::Result;
use jhalak_common::dataset::{Reading, alike_ids};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use serde_json::json;

use super::args::PartArgs;
use crate::console::output::Output;
use crate::plan::dataset_source::Source;

/// Rejected rows that are listed; `dataset check` lists more.
const MAX_LISTED: usize = 5;

/// Check or describe a dataset
#[derive(Args)]
#[command(after_help = "Examples:
  # List the rows of the demo that are left out
  jhalak dataset check .local/demo/dataset
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
    /// The first line states how the ratings were read. Exits with 3 if anything is left out, or nothing can be learned
    /// from the ratings. Columns and files that are not read are listed too.
    #[command(after_help = "Examples:
  # List what is left out of the demo
  jhalak dataset check .local/demo/dataset
  # Decode its trailers too
  jhalak dataset check --dataset .local/demo/dataset --probe
  # Print it as JSON
  jhalak dataset check --dataset .local/demo/dataset --json")]
    Check(CheckArgs),
    /// Count ratings by class, users, movies, genres and missing values
    #[command(after_help = "Examples:
  # Describe the demo
  jhalak dataset describe --dataset .local/demo/dataset
  # Print the counts as JSON
  jhalak dataset describe --dataset .local/demo/dataset --json")]
    Describe(ExaminedArgs),
}

/// The dataset that is examined.
#[derive(Args)]
struct ExaminedArgs {
    /// Dataset: a folder, s3://bucket/prefix, or a catalogue that is one file
    #[arg(value_name = "DATASET", required_unless_present = "dataset", conflicts_with = "dataset")]
    place: Option<String>,
    /// The same as the argument DATASET
    ///
    /// Layouts: Flickscore, MovieLens and plain CSV.
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    dataset: Option<String>,
    #[command(flatten)]
    part: PartArgs,
}

impl ExaminedArgs {
    async fn read(&self, settings: &Settings) -> Result<Source> {
        let place = self.place.as_ref().or(self.dataset.as_ref());
        self.part.read(place.map_or("", String::as_str), settings).await
    }
}

#[derive(Args)]
struct CheckArgs {
    #[command(flatten)]
    dataset: ExaminedArgs,
    /// Also decode each trailer, and list those that do not open or are damaged
    #[cfg(feature = "local")]
    #[arg(long, help_heading = "Input")]
    probe: bool,
}

impl DatasetCommand {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        match self.command {
            Action::Check(args) => {
                #[cfg_attr(not(feature = "local"), expect(unused_mut))]
                let mut source = args.dataset.read(&settings).await?;
                #[cfg(feature = "local")]
                let stop = jhalak_common::process::shutdown::on_signal()?;
                #[cfg(feature = "local")]
                super::probe::take_those_that_open(&mut source, &stop, &settings).await?;
                let reading = &source.reading;
                let mut found = source.found.clone();
                found.extend(alike_ids(&reading.dataset));
                if !reading.dataset.ratings.is_empty() {
                    let trainable =
                        reading.check_trainable().and_then(|()| reading.check_folds(settings.evaluate.folds));
                    found.extend(trainable.err().iter().map(ToString::to_string));
                }
                #[cfg(feature = "local")]
                if args.probe {
                    found.extend(probe(&source, &stop, &settings, &output).await?);
                }
                let mut text = format!("{}\n", reading.read_as);
                text.extend(reading.rejects.iter().map(|reject| format!("{reject}\n")));
                text.extend(found.iter().chain(&reading.notes).map(|line| format!("{line}\n")));
                text.push_str(&match (reading.rejected, found.len()) {
                    (0, 0) => "nothing was left out".to_string(),
                    (0, n) => format!("no row was left out, but a run would meet the problems above: {n}"),
                    (n, _) => format!("{n} left out in all"),
                });
                let answer = json!({
                    "read_as": reading.read_as, "rejected": reading.rejected, "rejects": reading.rejects,
                    "found": found, "unread": reading.notes,
                });
                output.print(&answer, &text)?;
                Ok(if reading.rejected == 0 && found.is_empty() { exit::DONE } else { exit::INVALID })
            }
            Action::Describe(args) => {
                let reading = args.read(&settings).await?.reading;
                let description = reading.describe();
                output.print(&description, &description.to_string())?;
                Ok(exit::DONE)
            }
        }
    }
}

/// Opens each trailer and lists those that do not open. Objects are fetched to the scratch folder, one
/// at a time.
#[cfg(feature = "local")]
async fn probe(
    source: &Source,
    stop: &tokio_util::sync::CancellationToken,
    settings: &Settings,
    output: &Output,
) -> Result<Vec<String>> {
    let trailers = source.readable_trailers().await?;
    let bar = output.progress.steps("trailers", trailers.len());
    let mut found = Vec::new();
    for (id, location) in trailers {
        let file = source.local_file(&location, &settings.worker.scratch).await?;
        let fault = match super::probe::opens(stop, file.path(), settings).await {
            Ok(damage) => damage,
            Err(error) if error.kind() == jhalak_common::ErrorKind::InvalidInput => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        if let Some(fault) = fault {
            // A copy in the scratch folder has a name that nobody knows.
            let fault = fault.replace(&file.path().display().to_string(), &location);
            found.push(format!("trailers: movie {id}, {}: {fault}", location.escape_debug()));
        }
        bar.step(&id);
    }
    bar.end();
    Ok(found)
}

/// Reports how the ratings were read and the rows that were left out, so that nothing happens
/// silently.
pub(super) fn report_rejects(reading: &Reading, output: &Output) {
    output.progress.warn(&reading.read_as);
    alike_ids(&reading.dataset).iter().for_each(|line| output.progress.warn(line));
    for reject in reading.rejects.iter().take(MAX_LISTED) {
        output.progress.warn(&format!("left out: {reject}"));
    }
    if reading.rejected > MAX_LISTED as u64 {
        output.progress.warn(&format!(
            "left out: {} more; `jhalak dataset check` lists them",
            reading.rejected - MAX_LISTED as u64
        ));
    }
}
