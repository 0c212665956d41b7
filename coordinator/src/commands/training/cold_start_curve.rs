//! `jhalak evaluate --known 0,1,2,5`: the figures by the number of known ratings.

use std::collections::BTreeSet;

use jhalak_common::evaluation::metrics::{self, CellMetrics};
use jhalak_common::evaluation::{FoldResult, paired};
use jhalak_common::{Error, Result};
use serde::Serialize;

/// One point of the curve.
#[derive(Serialize)]
pub struct Point {
    /// Known ratings of each test user or movie.
    pub known: usize,
    /// Pairs that were tested at this point, of which the figures use those of all points.
    pub tested_pairs: usize,
    /// The figures, over the pairs of all points.
    pub metrics: CellMetrics,
}

/// Returns the points over the pairs that all of them test.
///
/// # Errors
/// No pair is tested at every point.
pub fn points(results: &[(usize, Vec<FoldResult>)]) -> Result<Vec<Point>> {
    let mut common: Option<BTreeSet<(u32, u32)>> = None;
    for (_, folds) in results {
        let tested = paired::tested_pairs(folds);
        common = Some(common.map_or(tested.clone(), |common| &common & &tested));
    }
    let common = common.unwrap_or_default();
    if common.is_empty() {
        return Err(Error::invalid(
            "no pair is tested at every number of known ratings: use smaller numbers in --known",
        ));
    }
    let point = |(known, folds): &(usize, Vec<FoldResult>)| Point {
        known: *known,
        tested_pairs: folds.iter().map(|fold| fold.test_pairs).sum(),
        metrics: metrics::summarise(&paired::on_pairs(folds.as_slice().into(), &common)),
    };
    Ok(results.iter().map(point).collect())
}

/// Returns the table for a person; `what` has the known ratings.
pub fn table(points: &[Point], what: &str) -> Vec<String> {
    let mut lines = vec![format!(
        "{:>6} {:>14} {:>14} {:>14} {:>7} {:>7}",
        "known", "accuracy %", "macro F1 %", "log loss", "Brier", "ECE"
    )];
    for Point { known, metrics: m, .. } in points {
        let percent = |of: metrics::MeanSd| format!("{:.1} ± {:.1}", 100.0 * of.mean, 100.0 * of.sd);
        let (accuracy, f1) = (percent(m.accuracy), percent(m.macro_f1));
        let [loss, brier, ece] = m.calibration.map_or_else(Default::default, |c| {
            [
                format!("{:.3} ± {:.3}", c.log_loss.mean, c.log_loss.sd),
                format!("{:.3}", c.brier.mean),
                format!("{:.3}", c.ece),
            ]
        });
        lines.push(format!("{known:>6} {accuracy:>14} {f1:>14} {loss:>14} {brier:>7} {ece:>7}"));
    }
    let pairs = points.first().map_or(0, |point| point.metrics.tested_pairs());
    lines.push(format!("known: ratings of each test {what} in training; all rows are of the same {pairs} pairs"));
    lines
}
