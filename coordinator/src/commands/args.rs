//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jhalak_common::settings::{Grid, Settings};

/// A dataset on the command line.
#[derive(Args)]
pub struct DatasetArgs {
    /// Dataset folder: a path or s3://bucket/prefix
    ///
    /// Layouts: Flickscore, MovieLens and plain CSV.
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    pub dataset: String,
    /// Use only the movies in FILE, one movie id per line
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub movies: Option<PathBuf>,
}

/// What happens to a run that was cancelled.
#[derive(Args)]
pub struct ResumeArgs {
    /// Resume the run if it was cancelled
    ///
    /// Without this option, a cancelled run stays cancelled until `jhalak retry RUN`.
    #[arg(long, help_heading = "Execution")]
    pub resume: bool,
}

/// Which cells a run evaluates.
#[derive(Args)]
pub struct GridArgs {
    /// Cells to evaluate
    ///
    /// [default: setting evaluate.grid]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    grid: Option<GridArg>,
}

/// See [`Grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GridArg {
    /// Classifier and ANN on each modality, baselines and the ensemble
    Standard,
    /// Tables II to VI and Figure 7 of the paper, cell by cell
    Paper,
}

impl GridArgs {
    /// Returns the settings with the grid of the command line.
    pub(super) fn apply(&self, mut settings: Settings) -> Settings {
        settings.evaluate.grid = match self.grid {
            None => settings.evaluate.grid,
            Some(GridArg::Standard) => Grid::Standard,
            Some(GridArg::Paper) => Grid::Paper,
        };
        settings
    }
}
