//! Arguments that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jhalak_common::settings::{Grid, Settings};

/// A dataset on the command line.
#[derive(Args)]
pub struct DatasetArgs {
    /// The dataset's folder: a path or s3://bucket/prefix. Layouts: Flickscore, MovieLens, plain CSV.
    #[arg(long, value_name = "DIR")]
    pub dataset: String,
    /// A file with movie ids, one a line: only these movies are taken.
    #[arg(long, value_name = "FILE")]
    pub movies: Option<PathBuf>,
}

/// Which cells a run evaluates.
#[derive(Args)]
pub struct GridArgs {
    /// standard: each modality through classifier and ANN, baselines and the honest model; paper: Tables II to VI and Figure 7 of the paper, cell by cell
    /// [default: evaluate.grid of the settings]
    #[arg(long, value_enum)]
    grid: Option<GridArg>,
}

/// See [`Grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GridArg {
    /// Each modality.
    Standard,
    /// The paper's tables.
    Paper,
}

impl GridArgs {
    /// The settings with the grid that is asked for.
    pub(super) fn apply(&self, mut settings: Settings) -> Settings {
        settings.evaluate.grid = match self.grid {
            None => settings.evaluate.grid,
            Some(GridArg::Standard) => Grid::Standard,
            Some(GridArg::Paper) => Grid::Paper,
        };
        settings
    }
}
