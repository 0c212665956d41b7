//! `jhalak evaluate --task ranking`: rankers side by side, on the same users.

use clap::Args;
use clap::builder::TypedValueParser;
use jhalak_common::counted::counted;
use jhalak_common::dataset::{Dataset, Reading};
use jhalak_common::evaluation::ByTime;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::RecommendError;
use jhalak_worker::recommend::draw_folds::stratified_folds;
use jhalak_worker::recommend::ranking::{Ranker, RankingMetrics, RankingRequest, evaluate};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::cell_args::{CellArgs, FoldsArg, SplitArg};
use super::held_out::by_time_fold;
use super::stop_soon::stop_soon;
use crate::commands::args::given_folds;
use crate::commands::{choices, numbers};
use crate::console::output::Output;

/// Which rankers are evaluated, and how.
#[derive(Args)]
pub struct RankingArgs {
    /// Rankers to evaluate, separated by commas (--task ranking)
    ///
    /// [default: most-rated,bias,ease,recent,watch]
    #[arg(
        long,
        value_parser = rankers(),
        value_delimiter = ',',
        value_name = "RANKERS",
        help_heading = "Ranking (--task ranking)"
    )]
    rank_by: Vec<Ranker>,
    /// Length of the lists
    ///
    /// [default: 10]
    #[arg(long, value_name = "K", value_parser = numbers::count::<usize>, help_heading = "Ranking (--task ranking)")]
    top: Option<usize>,
}

fn rankers() -> impl TypedValueParser<Value = Ranker> {
    let help = |ranker| match ranker {
        Ranker::MostRated => "Number of ratings: one list for all users",
        Ranker::Ease => "Weights between movies, learned from likes (EASE)",
        Ranker::Recent => "Weights between movies, learned from all ratings, applied to recent ones most",
        Ranker::Watch => "As recent, blended with the bias model's probability of like: `recommend --rank watch`",
        Ranker::Bias => "The bias model's probability of like",
        Ranker::Ensemble => "The ensemble's probability of like: `recommend --rank like` (slow)",
    };
    choices::one_of(Ranker::ALL, Ranker::name, help)
}

/// One row of the table.
#[derive(Serialize)]
struct Row {
    ranker: &'static str,
    #[serde(flatten)]
    metrics: RankingMetrics,
}

#[derive(Serialize)]
struct Answer {
    dataset: String,
    synthetic: bool,
    /// The split: `last`, `temporal`, `pairs` or `given`.
    split: &'static str,
    folds: usize,
    test_pairs: usize,
    seed: u64,
    rankers: Vec<Row>,
}

impl RankingArgs {
    /// Returns the name of the first of these options that is given.
    pub fn first_given(&self) -> Option<&'static str> {
        match (self.rank_by.is_empty(), self.top) {
            (false, _) => Some("--rank-by"),
            (_, Some(_)) => Some("--top"),
            _ => None,
        }
    }

    /// Evaluates and prints.
    pub async fn execute(
        &self,
        cell: &CellArgs,
        threads: usize,
        reading: Reading,
        settings: &Settings,
        (stopped, output): (&CancellationToken, &Output),
    ) -> Result<u8> {
        check_options(cell)?;
        let k = self.top.unwrap_or(10);
        let seed = cell.seed.unwrap_or(settings.evaluate.seed);
        let dataset = reading.dataset;
        let (split, folds) = folds(cell, &dataset, settings, seed, output)?;
        let mut wanted = self.rank_by.clone();
        if wanted.is_empty() {
            wanted = vec![Ranker::MostRated, Ranker::Bias, Ranker::Ease, Ranker::Recent, Ranker::Watch];
        }
        wanted.dedup();
        let bar = output.progress.steps("rankers", wanted.len() * folds.len());
        let (name, synthetic) = (dataset.name.clone(), dataset.synthetic);
        let (fold_count, test_pairs) = (folds.len(), folds.iter().map(Vec::len).sum());
        let rows = stop_soon(stopped, move |stop| {
            let request = RankingRequest { dataset: &dataset, folds: &folds, k, seed, threads };
            let rows: Result<Vec<Row>, RecommendError> = (wanted.iter())
                .map(|&ranker| {
                    let metrics = evaluate(&request, ranker, stop, |_| bar.step(ranker.name()))?;
                    Ok(Row { ranker: ranker.name(), metrics })
                })
                .collect();
            bar.end();
            rows
        });
        let rankers = rows.await.map_err(|e| e.context("evaluate rankings"))?;
        let answer = Answer { dataset: name, synthetic, split, folds: fold_count, test_pairs, seed, rankers };
        output.print(&answer, &text(&answer))?;
        Ok(exit::DONE)
    }
}

fn check_options(cell: &CellArgs) -> Result<()> {
    let given = [
        ("--model", cell.model.is_some()),
        ("--modality", cell.modality.is_some()),
        ("--protocol", cell.protocol.is_some()),
        ("--known", !cell.known.is_empty()),
        ("--errata", cell.errata.is_some()),
        ("--control", cell.control.is_some()),
        ("--ablation", cell.ablation),
        ("--content-columns", !cell.content_columns.is_empty()),
    ];
    let network = cell.network.first_given();
    if let Some(option) = given.into_iter().find(|(_, given)| *given).map(|(name, _)| name).or(network) {
        return Err(Error::usage(format!(
            "{option} has no effect on --task ranking: remove it, and choose rankers with --rank-by"
        )));
    }
    if matches!(cell.split, Some(SplitArg::Movies | SplitArg::Users)) {
        return Err(Error::usage(
            "--task ranking needs known ratings of users and movies: use --split last, temporal or pairs, or --folds PATH",
        ));
    }
    Ok(())
}

fn folds(
    cell: &CellArgs,
    dataset: &Dataset,
    settings: &Settings,
    seed: u64,
    output: &Output,
) -> Result<(&'static str, Vec<Vec<u32>>)> {
    if let Some(path) = cell.given_folds() {
        if cell.split.is_some() {
            return Err(Error::usage("--folds PATH determines the held-out pairs: remove --split"));
        }
        let given = given_folds(path, dataset)?;
        given.validation_note().iter().for_each(|note| output.progress.warn(&format!("folds: {note}")));
        return Ok(("given", given.folds.into_iter().map(|fold| fold.test).collect()));
    }
    let default = if dataset.times().is_some() && cell.folds.is_none() { SplitArg::Last } else { SplitArg::Pairs };
    match cell.split.unwrap_or(default).by_time() {
        Some(by_time) => {
            if cell.folds.is_some() {
                return Err(Error::usage("a split by time has one fold: remove --folds, or use --split pairs"));
            }
            if !(0.0 < cell.test_share() && cell.test_share() < 1.0) {
                return Err(Error::usage("--test-share must be above 0 and below 100 percent"));
            }
            let name = if by_time == ByTime::Last { "last" } else { "temporal" };
            Ok((name, vec![by_time_fold(dataset, by_time, cell.test_share())?]))
        }
        None => {
            if cell.test_share.is_some() {
                return Err(Error::usage("--test-share needs --split last or temporal"));
            }
            let count = match cell.folds {
                Some(FoldsArg::Count(count)) => count,
                _ => settings.evaluate.folds,
            };
            if count < 2 {
                return Err(Error::usage("--folds must be at least 2"));
            }
            let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
            let random = &mut jhalak_worker::nn::seeded(seed, 2);
            Ok(("pairs", stratified_folds(dataset, &all, count, random)))
        }
    }
}

/// A figure, or a dash where one user alone has none.
fn or_dash(figure: Option<f64>) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.3}"))
}

fn text(answer: &Answer) -> String {
    let Answer { dataset, split, folds, test_pairs, seed, rankers, .. } = answer;
    let first = rankers.first().map(|row| &row.metrics);
    let (users, k) = first.map_or((0, 0), |of| (of.users, of.k));
    let held_out = match *split {
        "last" => "the last pairs of each user",
        "temporal" => "the latest pairs",
        "given" => "given folds",
        _ => "random pairs",
    };
    let mut lines = vec![format!("{dataset}: ranking of all unseen movies, lists of {k}, held out: {held_out}")];
    if answer.synthetic {
        lines.push("SYNTHETIC feedback: generated by a program".into());
    }
    lines.push(format!(
        "{:11} {:>12} {:>7} {:>6} {:>6} {:>6} {:>6} {:>9} {:>6} {:>8} {:>8} {:>9} {:>8}",
        "",
        "NDCG",
        "recall",
        "MAP",
        "MRR",
        "hit",
        "AUC",
        "coverage",
        "Gini",
        "novelty",
        "raters",
        "disliked",
        "overlap"
    ));
    for Row { ranker, metrics: m } in rankers {
        lines.push(format!(
            "{ranker:11} {:>5.3} ± {:<5} {:>7.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>9.3} {:>6.3} {:>8.2} {:>8.1} {:>9.3} {:>8}",
            m.ndcg,
            or_dash(m.ndcg_error),
            m.recall,
            m.map,
            m.mrr,
            m.hit_rate,
            m.auc,
            m.coverage,
            m.gini,
            m.novelty,
            m.popularity,
            m.disliked,
            or_dash(m.overlap)
        ));
    }
    lines.push(format!(
        "{} with a held-out like, {test_pairs} pairs held out in {}, seed {seed}",
        counted(users as u64, "user"),
        counted(*folds as u64, "fold")
    ));
    let whole = first.map_or(0.0, |of| of.whole_lists);
    if whole > 0.0 {
        lines.push(format!(
            "{:.1} % of the lists hold every movie that is left to rank: their recall and hit rate are 1 for any ranker. Take a \
             smaller --top.",
            100.0 * whole
        ));
    }
    let disliked = counted(first.map_or(0, |of| of.disliked_users as u64), "user");
    lines.push("± standard error over users; raters: mean ratings of the shown movies; disliked: shown movies that the user dislikes".into());
    lines.push(format!(
        "in the held-out pairs, of the {disliked} with one; overlap: share of the list that two users have in common"
    ));
    if users == 1 {
        lines.push("–: one user alone has no standard error and no overlap; the figures are of that user".into());
    }
    lines.join("\n")
}
