//! `jhalak evaluate`: one cell of the evaluation, in this process.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jhalak_common::counted::counted;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::metrics::{self, CellMetrics};
use jhalak_common::evaluation::{CellSpec, FoldResult, Model, Protocol, Split, predictions};
use jhalak_common::process::{exit, shutdown};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use jhalak_worker::recommend::draw_folds::movie_folds;
use jhalak_worker::recommend::features::embedding::{Features, TableRows};
use jhalak_worker::recommend::run_folds::run_folds;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::cell_args::{CellArgs, ProtocolArg, SplitArg};
use super::cold_start_curve;
use super::figures::{by_class, figure, figures};
use super::given_embeddings::{self, GivenEmbeddings};
use super::held_out::{self, FoldsFacts, TestPairs};
use super::ranking::RankingArgs;
use super::score;
use super::stop_soon::stop_soon;
use crate::artifacts::embeddings;
use crate::commands::args::DatasetArgs;
use crate::commands::{numbers, output_path};
use crate::console::files;
use crate::console::output::Output;
use crate::measures::cold_start::{self, Point};
use crate::plan::grid;

/// Evaluate one model by cross-validation, in this process
///
/// Trains and tests every fold, without servers. The modalities video and audio read the embeddings that `jhalak run`
/// stored; all others need only the dataset. Models that fit class weights are reported with both decision rules: most
/// probable class, and class-weighted.
#[derive(Args)]
#[command(after_help = "Examples:
  # Evaluate the ensemble on movies that have no ratings in training
  jhalak evaluate --dataset .local/demo/dataset --model ensemble --split movies
  # Measure how accuracy grows with the known ratings of a new user
  jhalak evaluate --dataset DIR --model bias --split users --known 0,1,2
  # Compare rankers on all movies that a user has not rated
  jhalak evaluate --dataset .local/demo/dataset --task ranking
  # Write its predictions to a file
  jhalak evaluate --dataset .local/demo/dataset --predictions ours.parquet
  # Judge the predictions of another program
  jhalak evaluate --dataset .local/demo/dataset --score theirs.parquet
  # Evaluate the classifier for 10 epochs on the trailers of the demo
  jhalak evaluate --dataset .local/demo/dataset --modality video --epochs 10")]
pub struct Evaluate {
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Task to evaluate
    ///
    /// [default: classes]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    task: Option<TaskArg>,
    #[command(flatten)]
    cell: CellArgs,
    #[command(flatten)]
    ranking: RankingArgs,
    /// Read the trailers' embeddings from a file instead of the store; repeatable
    ///
    /// FILE is Parquet or CSV with a column of movie ids, or NumPy (.npy) with the ids in NAME.ids.txt, one per line.
    /// For --modality audio+video, give video=FILE and audio=FILE. The ensemble keeps the pairs of movies without a
    /// row.
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
    /// Columns: fold, user, movie, actual, p_dislike, p_neutral, p_like; with --balanced also the class weights
    /// w_dislike, w_neutral, w_like: the class is the one with the largest p * w. `jhalak compare` compares two such
    /// files.
    #[arg(
        long,
        value_name = "FILE",
        value_parser = output_path::file("Parquet", &["parquet", "pq"]),
        help_heading = "Output"
    )]
    predictions: Option<PathBuf>,
    /// Judge the predictions in FILE (Parquet) instead of training a model
    ///
    /// FILE needs the columns user, movie, p_dislike, p_neutral and p_like, and may have fold. The classes are those of
    /// the dataset.
    #[arg(long, value_name = "FILE", help_heading = "Input", conflicts_with_all = NOT_SCORED)]
    score: Option<PathBuf>,
    /// Model in the file of --score, by its name in the column cell or row, if the file holds several
    #[arg(long = "cell", value_name = "NAME", requires = "score", help_heading = "Input")]
    score_cell: Option<String>,
    /// Number of trainings in parallel
    ///
    /// [default: one per core]
    #[arg(long, value_name = "N", value_parser = numbers::count::<usize>, help_heading = "Execution")]
    threads: Option<usize>,
}

/// Options that have no effect on `--score`.
const NOT_SCORED: [&str; 24] = [
    "task",
    "predictions",
    "balanced",
    "threads",
    "model",
    "modality",
    "protocol",
    "split",
    "test_share",
    "known",
    "folds",
    "seed",
    "errata",
    "control",
    "ablation",
    "rank_by",
    "top",
    "user_embedding",
    "no_gl_score",
    "hyperparameters",
    "embedding",
    "class_balance",
    "content_columns",
    "epochs",
];

/// The task of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TaskArg {
    /// Predict whether a user dislikes, is neutral to or likes a named movie
    Classes,
    /// Rank all unseen movies by how likely a user watches and likes them
    Ranking,
}

/// The printed answer: the figures, then their specification.
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

/// The answer for several numbers of known ratings.
#[derive(Serialize)]
struct Curve {
    /// One for each number, in the order of the option.
    points: Vec<Point>,
    cell: CellSpec,
    dataset: DatasetFacts,
}

impl Evaluate {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stopped = shutdown::on_signal()?;
        let ranking = self.task == Some(TaskArg::Ranking);
        let spec = if ranking { None } else { Some(self.cell.spec(&settings)?) };
        if let Some(spec) = &spec {
            self.check(spec)?;
        }
        let source = self.dataset.read(&settings).await?;
        crate::commands::dataset::report_rejects(&source.reading, &output);
        if let Some(path) = &self.score {
            return score::execute(path, self.score_cell.as_deref(), &source.reading, &output);
        }
        source.reading.check_trainable()?;
        let threads = match self.threads {
            Some(threads) => threads.max(1),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let Some(mut spec) = spec else {
            if self.balanced || self.predictions.is_some() || !self.embeddings.is_empty() {
                return Err(Error::usage(
                    "--balanced, --predictions and --embeddings have no effect on --task ranking: remove them",
                ));
            }
            let to = (&stopped, &output);
            return self.ranking.execute(&self.cell, threads, source.reading, &settings, to).await;
        };
        if spec.model == Model::Ensemble {
            grid::check_ensemble(&source.reading.dataset, &settings.evaluate)?;
        }
        let dataset = Arc::new(source.reading.dataset.clone());
        let (given, given_facts) = held_out::held_out(&self.cell, &mut spec, &dataset, &output)?;
        let mut given_embeddings = Vec::new();
        let features = if !self.embeddings.is_empty() && spec.reads_parts() {
            return Err(Error::usage(
                "--embeddings has one vector for each trailer, and trailer-attention looks at frames and windows: remove \
                 it, or use --model ensemble",
            ));
        } else if !self.embeddings.is_empty() {
            let features;
            (features, given_embeddings) = given_embeddings::read(&self.embeddings, spec.modality, &dataset, &output)?;
            features
        } else if spec.model.is_network() || spec.reads_trailers() {
            let store = store::open(&settings.store, &settings.s3).await?;
            let wanted = (TableRows::Rated, spec.reads_parts());
            embeddings::read(store.as_ref(), &source, spec.modality, wanted, &settings).await?.features
        } else {
            Features::default()
        };
        let facts = DatasetFacts {
            name: dataset.name.clone(),
            content: source.reading.dataset.write_canonical_json(&mut std::io::sink())?.to_string(),
            synthetic: dataset.synthetic,
            users: dataset.users.len(),
            movies: dataset.movies.len(),
            ratings: dataset.ratings.len(),
            rejected: source.reading.rejected,
        };
        let run = Run { stopped: &stopped, output: &output, dataset: &dataset, features: &Arc::new(features), threads };
        if self.cell.known.len() > 1 {
            return self.curve(&run, spec, facts).await;
        }
        let (spec, given) = match self.cell.known.first() {
            Some(known) if self.cell.split == Some(SplitArg::Movies) => known_movies(&spec, &dataset, *known)?,
            _ => (spec, given),
        };
        if let Some(path) = &self.predictions {
            files::make_folder_of(path)?;
        }
        let results = run.folds(&spec, given).await?;
        if let Some(path) = &self.predictions {
            predictions::write(path, &source.reading.dataset, &results, self.balanced)?;
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

    /// Refuses options that contradict each other or have no effect.
    fn check(&self, spec: &CellSpec) -> Result<()> {
        if let Some(option) = self.ranking.first_given() {
            return Err(Error::usage(format!("{option} needs --task ranking")));
        }
        if self.balanced && !spec.model.fits_class_weights() {
            return Err(Error::usage(format!(
                "--balanced needs class weights, which {} does not fit: use ensemble, bias, bias-class-weighted or matrix-factorisation",
                spec.model.name()
            )));
        }
        if self.cell.known.len() > 1 && (self.balanced || self.predictions.is_some()) {
            return Err(Error::usage(
                "--balanced and --predictions need one number in --known: evaluate once for each number",
            ));
        }
        Ok(())
    }

    /// Evaluates one cell for each number of known ratings.
    async fn curve(&self, run: &Run<'_>, spec: CellSpec, facts: DatasetFacts) -> Result<u8> {
        if self.cell.protocol() != ProtocolArg::Strict || self.cell.given_folds().is_some() {
            return Err(Error::usage("several numbers in --known need --split users or movies, and drawn folds"));
        }
        let movies = self.cell.split == Some(SplitArg::Movies);
        let mut numbers = self.cell.known.clone();
        numbers.sort_unstable();
        numbers.dedup();
        let mut results = Vec::new();
        for known in numbers {
            let (point, given) = if movies {
                known_movies(&spec, run.dataset, known)?
            } else {
                let mut point = spec.clone();
                point.protocol = Protocol::Strict { split: Split::Users { known } };
                (point, None)
            };
            results.push((known, run.folds(&point, given).await?));
        }
        let points = cold_start::points(&results)?;
        let what = if movies { "movie" } else { "user" };
        let mut lines = vec![format!("{}: {} by known ratings of each {what}", facts.name, spec.model.name())];
        if facts.synthetic {
            lines.push("SYNTHETIC feedback: generated by a program".into());
        }
        lines.extend(cold_start_curve::table(&points, what));
        lines.push(format!("{}, seed {}", counted(spec.folds as u64, "fold"), spec.seed));
        run.output.print(&Curve { points, cell: spec, dataset: facts }, &lines.join("\n"))?;
        Ok(exit::DONE)
    }
}

/// Returns the cell and the folds of a split by movies with `known` ratings of each in training.
fn known_movies(spec: &CellSpec, dataset: &Dataset, known: usize) -> Result<(CellSpec, Option<TestPairs>)> {
    if known == 0 {
        return Ok((spec.clone(), None));
    }
    let folds = movie_folds(dataset, spec.folds, known, spec.seed);
    if folds.iter().any(Vec::is_empty) {
        return Err(Error::invalid(format!(
            "no movie of some fold has more than {known} ratings: use smaller numbers in --known"
        )));
    }
    let mut cell = spec.clone();
    held_out::put(&mut cell, &folds);
    cell.protocol = Protocol::Strict { split: Split::Pairs };
    Ok((cell, Some(folds)))
}

/// The inputs that all cells of one command share.
struct Run<'a> {
    stopped: &'a CancellationToken,
    output: &'a Output,
    dataset: &'a Arc<Dataset>,
    features: &'a Arc<Features>,
    threads: usize,
}

impl Run<'_> {
    /// Runs the folds of a cell.
    async fn folds(&self, spec: &CellSpec, given: Option<TestPairs>) -> Result<Vec<FoldResult>> {
        let bar = self.output.progress.steps("folds", spec.folds);
        let (cell, threads) = (spec.clone(), self.threads);
        let (dataset, features) = (self.dataset.clone(), self.features.clone());
        let results = stop_soon(self.stopped, move |stop| {
            let step = |fold| bar.step(&format!("fold {fold}"));
            let results = run_folds(&dataset, &features, &cell, given.as_deref(), threads, stop, step);
            bar.end();
            results
        });
        results.await.map_err(|e| e.context(format!("evaluate {}", spec.name())))
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
        let folds = balanced.folds.len();
        let (accuracy, f1) = (figure(balanced.accuracy, folds), figure(balanced.macro_f1, folds));
        lines.push(format!("{:12} accuracy {accuracy} %, macro F1 {f1} % (details: --balanced)", "balanced"));
    }
    by_class(m, &mut lines);
    let (tested, left_out) = (m.tested_pairs(), m.left_out_pairs());
    lines.push(format!(
        "{}, {} tested, seed {}",
        counted(m.folds.len() as u64, "fold"),
        counted(tested as u64, "pair"),
        cell.seed
    ));
    if let Some(given) = &answer.given_folds {
        lines.push(given.line());
    }
    if left_out > 0 {
        lines.push(format!("left out: {left_out} pairs of movies without an embedding"));
    }
    lines.join("\n")
}
