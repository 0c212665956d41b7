//! `jhalak evaluate`: one cell of the evaluation, in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use jhalak_common::evaluation::metrics::{self, CellMetrics, MeanSd};
use jhalak_common::evaluation::{CellSpec, FoldResult};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, exit, shutdown, store};
use jhalak_worker::recommend::embedding::Features;
use jhalak_worker::recommend::folds::run_folds;
use serde::Serialize;

use super::cell::CellArgs;
use super::{DatasetArgs, Output};
use crate::{embeddings, plan, source};

/// Evaluates one model in one setting: every fold is trained and tested in this process, one a core, without servers. Genre and metadata need no
/// trailers; video and audio read the embeddings that `jhalak run` left in the store.
#[derive(Args)]
pub struct Evaluate {
    #[command(flatten)]
    dataset: DatasetArgs,
    #[command(flatten)]
    cell: CellArgs,
    /// Choose classes by the weights that bring the highest macro F1 on inner folds, instead of the most probable one (honest, bias,
    /// bias-class-weighted, matrix-factorisation).
    #[arg(long)]
    balanced: bool,
    /// Trainings side by side [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What is printed: the figures, then what they are figures of.
#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    metrics: CellMetrics,
    /// How probabilities became classes: `plain` or `balanced`.
    decision: &'static str,
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

impl Evaluate {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let stopped = shutdown::on_signal()?;
        let spec = self.cell.spec(&settings)?;
        let source = source::read(&self.dataset.dataset, self.dataset.movies.as_deref(), &settings).await?;
        super::dataset::tell_rejects(&source.reading, &output);
        let dataset = source.reading.dataset.clone();
        let features = if spec.model.is_network() {
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
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let bar = output.progress.steps("folds", spec.folds);
        let cell = spec.clone();
        let mut training = tokio::task::spawn_blocking(move || {
            let results =
                run_folds(&dataset, &features, &cell, threads, &asked, |fold| bar.step(&format!("fold {fold}")));
            bar.end();
            results
        });
        let results = tokio::select! {
            results = &mut training => results,
            () = stopped.cancelled() => {
                stop.store(true, Ordering::Relaxed);
                training.await
            }
        };
        let results = results.map_err(|e| Error::bug("the evaluation panicked").with_source(e))?;
        let results = results.map_err(|e| Error::from(e).context(format!("evaluate {}", spec.name())))?;
        let results = if self.balanced { balanced(&results, &spec)? } else { results };
        let answer = Answer {
            metrics: metrics::summarise(&results),
            decision: if self.balanced { "balanced" } else { "plain" },
            cell: spec,
            dataset: facts,
        };
        output.print(&answer, &text(&answer))?;
        Ok(exit::DONE)
    }
}

fn balanced(results: &[FoldResult], spec: &CellSpec) -> Result<Vec<FoldResult>> {
    results.iter().map(metrics::balanced).collect::<Option<_>>().ok_or_else(|| {
        Error::invalid(format!(
            "{} fits no class weights on inner folds: --balanced is for honest, bias, bias-class-weighted and matrix-factorisation",
            spec.model.name()
        ))
    })
}

/// The figures for a person.
fn text(answer: &Answer) -> String {
    let Answer { metrics: m, cell, dataset, .. } = answer;
    let percent = |share: f64| format!("{:.1}", 100.0 * share);
    let figure = |of: MeanSd| format!("{:>5} ± {}", percent(of.mean), percent(of.sd));
    let mut lines = vec![format!("{}: {}, {}", dataset.name, cell.name(), answer.decision)];
    if dataset.synthetic {
        lines.push("SYNTHETIC feedback: generated by a program".into());
    }
    lines.push(format!("{:12} {} %", "accuracy", figure(m.accuracy)));
    lines.push(format!("{:12} {} %", "macro F1", figure(m.macro_f1)));
    lines.push(format!("{:12} {} %", "weighted F1", figure(m.weighted_f1)));
    lines.push(format!("{:12} {:>9} {:>9} {:>9}", "", "dislike", "neutral", "like"));
    for (name, of) in [("recall %", m.recall), ("precision %", m.precision)] {
        let [a, b, c] = [of.dislike, of.neutral, of.like].map(percent);
        lines.push(format!("{name:12} {a:>9} {b:>9} {c:>9}"));
    }
    lines.push("confusion, rows actual, columns predicted".into());
    for (name, row) in ["dislike", "neutral", "like"].iter().zip(m.confusion) {
        lines.push(format!("{name:12} {:>9} {:>9} {:>9}", row[0], row[1], row[2]));
    }
    let tested: usize = m.folds.iter().map(|fold| fold.test_pairs).sum();
    let left_out = m.folds.iter().map(|fold| fold.left_out_pairs).max().unwrap_or(0);
    lines.push(format!("{} folds, {tested} pairs tested, seed {}", m.folds.len(), cell.seed));
    if left_out > 0 {
        lines.push(format!("{left_out} pairs left out: their movies have no embedding"));
    }
    lines.join("\n")
}
