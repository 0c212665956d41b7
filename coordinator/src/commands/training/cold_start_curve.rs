//! `jhalak evaluate --known 0,1,2,5`: the figures by the number of known ratings.

use jhalak_common::evaluation::metrics;

use crate::measures::cold_start::Point;

/// Returns the table for a person; `what` has the known ratings.
pub fn table(points: &[Point], what: &str) -> Vec<String> {
    let mut lines = vec![format!(
        "{:>6} {:>14} {:>14} {:>14} {:>7} {:>7}",
        "known", "accuracy %", "macro F1 %", "log loss", "Brier", "ECE"
    )];
    for Point { known, metrics: m, .. } in points {
        let one = m.folds.len() == 1;
        let percent = |of: metrics::MeanSd| match one {
            true => format!("{:.1}", 100.0 * of.mean),
            false => format!("{:.1} ± {:.1}", 100.0 * of.mean, 100.0 * of.sd),
        };
        let (accuracy, f1) = (percent(m.accuracy), percent(m.macro_f1));
        let [loss, brier, ece] = m.calibration.map_or_else(Default::default, |c| {
            [
                match one {
                    true => format!("{:.3}", c.log_loss.mean),
                    false => format!("{:.3} ± {:.3}", c.log_loss.mean, c.log_loss.sd),
                },
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
