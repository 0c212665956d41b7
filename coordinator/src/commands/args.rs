//! Arguments that several commands share.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::counted::counted;
use jhalak_common::dataset::{Dataset, GivenFolds, read_folds};
use jhalak_common::evaluation::Modality;
use jhalak_common::settings::{Grid, Settings};
use jhalak_common::store::manifest;
use jhalak_common::{Error, Result};

use crate::commands::given_embeddings::{self, GivenFile};
use crate::console::output::Output;
use crate::plan::dataset_source::{self, Source};
use crate::plan::normal_form::NormalForm;
use crate::plan::{GivenRows, RunFolds};

/// A dataset on the command line.
#[derive(Args)]
pub struct DatasetArgs {
    /// Dataset folder: a path or s3://bucket/prefix
    ///
    /// Layouts: Flickscore, MovieLens and plain CSV.
    #[arg(long, value_name = "DIR", help_heading = "Input")]
    pub dataset: String,
    #[command(flatten)]
    /// Which part of it is read.
    pub part: PartArgs,
}

/// Which part of a dataset is read, and its list of objects.
#[derive(Args)]
pub struct PartArgs {
    /// Use only the movies in FILE, one movie id per line
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub movies: Option<PathBuf>,
    /// List of the dataset's objects, in place of a listing of s3://: a path or s3://bucket/key
    ///
    /// The manifest.json of S3 Inventory, or a table (CSV or Parquet) with the columns key, size and etag. A trailer
    /// that was replaced since is quarantined; one added since is ignored.
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub manifest: Option<String>,
}

impl DatasetArgs {
    /// Reads the dataset.
    pub async fn read(&self, settings: &Settings) -> Result<Source> {
        self.part.read(&self.dataset, settings).await
    }
}

impl PartArgs {
    /// Reads the dataset at `place`.
    pub async fn read(&self, place: &str, settings: &Settings) -> Result<Source> {
        let objects = match &self.manifest {
            Some(manifest) => Some(manifest::read(manifest, place, &settings.s3).await?),
            None => None,
        };
        dataset_source::read_listed(place, self.movies.as_deref(), objects, settings).await
    }
}

/// Whether a cancelled run is resumed.
#[derive(Args)]
pub struct ResumeArgs {
    /// Resume the run if it was cancelled
    ///
    /// Without this option, a cancelled run stays cancelled until `jhalak retry RUN`.
    #[arg(long, help_heading = "Execution")]
    pub resume: bool,
}

/// Whether quarantined trailers make a run fail.
#[derive(Args)]
pub struct ToleranceArgs {
    /// Exit with 0 if quarantined trailers are the only failures
    ///
    /// Quarantined training jobs, a lost final model and parts left out of it still exit with 4. For scheduled runs,
    /// where a trailer that nobody can repair must not fail every night.
    #[arg(long, help_heading = "Execution")]
    pub allow_quarantined: bool,
}

/// Which cells a run evaluates.
#[derive(Args)]
pub struct GridArgs {
    /// Cells to evaluate
    ///
    /// [default: setting evaluate.grid]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    grid: Option<GridArg>,
    /// File or folder with given folds, for every cell
    ///
    /// Same forms as `jhalak evaluate --folds`. Each fold tests exactly what it lists.
    ///
    /// [default: drawn folds, as many as the setting evaluate.folds]
    #[arg(long, value_name = "PATH", help_heading = "Evaluation")]
    folds: Option<PathBuf>,
    /// Read embeddings from a file, in place of the dataset's trailers; repeatable
    ///
    /// FILE is Parquet or CSV with a column of movie ids, or NumPy (.npy) with the ids in NAME.ids.txt, one per line.
    /// No trailer is extracted, and modalities without a file are left out.
    #[arg(long, value_name = "video=FILE|audio=FILE", help_heading = "Input")]
    embeddings: Vec<String>,
}

/// See [`Grid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GridArg {
    /// Classifier and ANN on each modality, baselines and the ensemble
    Standard,
    /// Tables II to VI and Figure 7 of the paper, cell by cell
    Paper,
}

/// Reads folds from a file or folder.
///
/// # Errors
/// InvalidInput if it does not exist; else those of [`read_folds`].
pub(super) fn given_folds(path: &Path, dataset: &Dataset) -> Result<GivenFolds> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(Error::invalid(format!(
            "cannot read --folds {}: {error}: give the number of folds, or a file or folder with folds",
            path.display()
        )));
    }
    read_folds(path, dataset)
}

impl GridArgs {
    /// Reads the given folds, and reports their rows that match nothing in the dataset.
    pub(super) fn folds(&self, dataset: &Dataset, output: &Output) -> Result<Option<RunFolds>> {
        let Some(path) = &self.folds else { return Ok(None) };
        let given = given_folds(path, dataset)?;
        given.validation_note().iter().for_each(|note| output.progress.warn(&format!("folds: {note}")));
        if given.passed_over_rows > 0 {
            let first = given.passed_over.first().map(ToString::to_string).unwrap_or_default();
            let rows = given.passed_over_rows;
            output.progress.say(&format!("skipped: {} of the folds, the first: {first}", counted(rows as u64, "row")));
        }
        Ok(Some(RunFolds::of(given, dataset)))
    }

    /// Reads the given embeddings: tables that take the place of the trailers.
    pub(super) fn given(&self, dataset: &Dataset, output: &Output) -> Result<Vec<GivenRows>> {
        let files = given_embeddings::read(&self.embeddings, &[Modality::Video, Modality::Audio], dataset, output)?;
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let subject = NormalForm::of(dataset)?.subject.clone();
        let table = |file: GivenFile| {
            let kind = match file.modality {
                Modality::Video => ArtifactKind::VideoTable,
                _ => ArtifactKind::AudioTable,
            };
            let name = file.path.file_name().unwrap_or(file.path.as_os_str()).to_string_lossy().into_owned();
            GivenRows::new(kind, file.rows, name, &subject)
        };
        files.into_iter().map(table).collect()
    }

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
