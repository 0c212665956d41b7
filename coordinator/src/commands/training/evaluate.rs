//! `jhalak evaluate`: one cell of the evaluation, in this process.

use std::path::{Path, PathBuf};

use clap::Args;
use jhalak_common::dataset::{Dataset, FoldsBy, GivenFolds, read_folds};
use jhalak_common::evaluation::metrics::{self, CellMetrics};
use jhalak_common::evaluation::{CellSpec, FoldResult, predictions};
use jhalak_common::process::{exit, shutdown};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use jhalak_worker::blocking::compute_until;
use jhalak_worker::recommend::features::embedding::Features;
use jhalak_worker::recommend::folds::run_folds;
use serde::Serialize;

use super::cell_args::CellArgs;
use super::figures::{by_class, figure, figures};
use super::given_embeddings::{self, GivenEmbeddings};
use super::score;
use crate::artifacts::embeddings;
use crate::commands::args::DatasetArgs;
use crate::console::output::Output;
use crate::plan::{self, dataset_source};

/// Evaluate one model by cross-validation, in this process
///
/// Trains and tests every fold, without servers. The modalities video and audio read the embeddings that `jhalak run`
/// stored; all others need only the dataset. Models that fit class weights are reported with both decision rules: most
/// probable class, and class-weighted.
#[derive(Args)]
#[command(after_help = "Examples:
  # Evaluate the ensemble on movies that have no ratings in training
  jhalak evaluate --dataset .local/demo/dataset --model ensemble --split movies
  # Write its predictions to a file
  jhalak evaluate --dataset .local/demo/dataset --predictions ours.parquet
  # Judge the predictions of another program
  jhalak evaluate --dataset .local/demo/dataset --score theirs.parquet
  # Evaluate the classifier for 10 epochs on the trailers of the demo
  jhalak evaluate --dataset .local/demo/dataset --modality video --epochs 10")]
pub struct Evaluate {
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    cell: CellArgs,
    /// Read the trailers' embeddings from a file instead of the store; repeatable
    ///
    /// FILE is Parquet or CSV with a column of movie ids, or NumPy (.npy) with the ids in NAME.ids.txt, one per line. For
    /// --modality audio+video, give video=FILE and audio=FILE. The ensemble keeps the pairs of movies without a row.
    #[arg(long, value_name = "[MODALITY=]FILE", help_heading = "Input", conflicts_with = "score")]
    embeddings: Vec<String>,
    /// Report the class-weighted decision instead of the most probable class
    ///
    /// Chooses classes with the weights that give the highest macro F1 on inner folds. For ensemble, bias,
    /// bias-class-weighted and matrix-factorisation.
    #[arg(long, help_heading = "Evaluation")]
    balanced: bool,
    /// Write the prediction of every tested pair to FILE, in Parquet
    ///
    /// Columns: fold, user, movie, actual, p_dislike, p_neutral, p_like. `jhalak compare` compares two such files.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    predictions: Option<PathBuf>,
    /// Judge the predictions in FILE (Parquet) instead of training a model
    ///
    /// FILE needs the columns user, movie, p_dislike, p_neutral and p_like, and may have fold. The classes are those of
    /// the dataset.
    #[arg(long, value_name = "FILE", help_heading = "Input", conflicts_with_all = ["predictions", "balanced", "model", "split", "folds", "control", "protocol"])]
    score: Option<PathBuf>,
    /// Number of trainings in parallel
    ///
    /// [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Execution")]
    threads: Option<usize>,
}

/// Skipped rows of given folds that are listed.
const TOLD: usize = 5;

/// What is printed: the figures, then what they are figures of.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    metrics: CellMetrics,
    /// How probabilities became classes: `plain` or `balanced`.
    decision: &'static str,
    /// The figures with class weights, if the plain decision was requested and the model fits class weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    balanced: Option<CellMetrics>,
    /// Folds that were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    given_folds: Option<FoldsFacts>,
    /// Embeddings that were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    given_embeddings: Vec<GivenEmbeddings>,
    cell: CellSpec,
    dataset: DatasetFacts,
}

#[derive(Serialize)]
struct DatasetFacts {
    name: String,
    /// SHA-256 of its normal form.
    content: String,
    synthetic: bool,
    users: usize,
    movies: usize,
    ratings: usize,
    rejected: u64,
}

#[derive(Serialize)]
struct FoldsFacts {
    path: PathBuf,
    /// What its rows name.
    by: FoldsBy,
    /// Their names, in the order of the folds.
    names: Vec<String>,
    /// Rows that name nothing that the dataset has.
    passed_over_rows: u64,
    /// Pairs of the dataset that no fold tests: they always train.
    never_tested_pairs: usize,
}

impl Evaluate {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stopped = shutdown::on_signal()?;
        let mut spec = self.cell.spec(&settings)?;
        if self.balanced && !spec.model.fits_class_weights() {
            return Err(Error::usage(format!(
                "--balanced needs class weights, which {} does not fit: use ensemble, bias, bias-class-weighted or matrix-factorisation",
                spec.model.name()
            )));
        }
        let source = dataset_source::read(&self.dataset.dataset, self.dataset.movies.as_deref(), &settings).await?;
        crate::commands::dataset::report_rejects(&source.reading, &output);
        if let Some(path) = &self.score {
            return score::execute(path, &source.reading, &output);
        }
        source.reading.check_trainable()?;
        let dataset = source.reading.dataset.clone();
        let (given, given_facts) = match self.cell.given_folds() {
            None => (None, None),
            Some(path) => {
                let mut given = read_folds(path, &dataset)?;
                self.cell.take_folds(&mut spec, &mut given, &dataset)?;
                let facts = folds_facts(path, &given, &dataset, &output);
                (Some(given.folds.into_iter().map(|fold| fold.test).collect::<Vec<_>>()), Some(facts))
            }
        };
        let mut given_embeddings = Vec::new();
        let features = if !self.embeddings.is_empty() {
            let features;
            (features, given_embeddings) = given_embeddings::read(&self.embeddings, spec.modality, &dataset, &output)?;
            features
        } else if spec.model.is_network() || spec.reads_trailers() {
            let store = store::open(&settings.store, &settings.s3).await?;
            embeddings::read(store.as_ref(), &source, spec.modality, &settings).await?.features
        } else {
            Features::default()
        };
        let facts = DatasetFacts {
            name: dataset.name.clone(),
            content: plan::normal_form(&source.reading.dataset)?.0.content.to_string(),
            synthetic: dataset.synthetic,
            users: dataset.users.len(),
            movies: dataset.movies.len(),
            ratings: dataset.ratings.len(),
            rejected: source.reading.rejected,
        };
        let threads = match self.threads {
            Some(threads) => threads.max(1),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let bar = output.progress.steps("folds", spec.folds);
        let cell = spec.clone();
        let results = compute_until(&stopped, move |stop| {
            let step = |fold| bar.step(&format!("fold {fold}"));
            let results = run_folds(&dataset, &features, &cell, given.as_deref(), threads, stop, step);
            bar.end();
            results
        });
        let results = results.await.map_err(|e| e.context(format!("evaluate {}", spec.name())))?;
        if let Some(path) = &self.predictions {
            predictions::write(path, &source.reading.dataset, &results)?;
        }
        let balanced = || {
            let folds: Option<Vec<FoldResult>> = results.iter().map(metrics::balanced).collect();
            folds.map(|folds| metrics::summarise(&folds))
        };
        let plain = || metrics::summarise(&results);
        let (metrics, balanced) =
            if self.balanced { (balanced().unwrap_or_else(plain), None) } else { (plain(), balanced()) };
        let answer = Answer {
            metrics,
            decision: if self.balanced { "balanced" } else { "plain" },
            balanced,
            given_folds: given_facts,
            given_embeddings,
            cell: spec,
            dataset: facts,
        };
        output.print(&answer, &text(&answer))?;
        Ok(exit::DONE)
    }
}

/// Reports the skipped rows of given folds and returns the facts about the folds.
fn folds_facts(path: &Path, given: &GivenFolds, dataset: &Dataset, output: &Output) -> FoldsFacts {
    for reject in given.passed_over.iter().take(TOLD) {
        output.progress.say(&format!("skipped: {reject}"));
    }
    if given.passed_over_rows > TOLD as u64 {
        output.progress.say(&format!("skipped: {} more rows of the folds", given.passed_over_rows - TOLD as u64));
    }
    let tested: usize = given.folds.iter().map(|fold| fold.test.len()).sum();
    FoldsFacts {
        path: path.to_owned(),
        by: given.by,
        names: given.folds.iter().map(|fold| fold.name.clone()).collect(),
        passed_over_rows: given.passed_over_rows,
        never_tested_pairs: dataset.ratings.len() - tested,
    }
}

/// The figures for a person.
fn text(answer: &Answer) -> String {
    let Answer { metrics: m, cell, dataset, .. } = answer;
    let mut lines = vec![format!("{}: {}, {}", dataset.name, cell.name(), answer.decision)];
    if dataset.synthetic {
        lines.push("SYNTHETIC feedback: generated by a program".into());
    }
    figures(m, &mut lines);
    if let Some(balanced) = &answer.balanced {
        let (accuracy, f1) = (figure(balanced.accuracy), figure(balanced.macro_f1));
        lines.push(format!("{:12} accuracy {accuracy} %, macro F1 {f1} % (details: --balanced)", "balanced"));
    }
    by_class(m, &mut lines);
    let (tested, left_out) = (m.tested_pairs(), m.left_out_pairs());
    lines.push(format!("{} folds, {tested} pairs tested, seed {}", m.folds.len(), cell.seed));
    if let Some(given) = &answer.given_folds {
        let FoldsFacts { path, by, passed_over_rows, never_tested_pairs, .. } = given;
        lines.push(format!(
            "folds by {} from {}: {passed_over_rows} rows skipped, {never_tested_pairs} pairs never tested",
            by.name(),
            path.display()
        ));
    }
    if left_out > 0 {
        lines.push(format!("left out: {left_out} pairs of movies without an embedding"));
    }
    lines.join("\n")
}
