//! The figures of a model for a person.

use jhalak_common::evaluation::metrics::{CellMetrics, MeanSd};

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A mean with its standard deviation, in percent.
pub(super) fn figure(of: MeanSd) -> String {
    format!("{:>5} ± {}", percent(of.mean), percent(of.sd))
}

/// Adds accuracy, F1 and the losses of the probabilities.
pub(super) fn figures(m: &CellMetrics, lines: &mut Vec<String>) {
    lines.push(format!("{:12} {} %", "accuracy", figure(m.accuracy)));
    lines.push(format!("{:12} {} %", "macro F1", figure(m.macro_f1)));
    lines.push(format!("{:12} {} %", "weighted F1", figure(m.weighted_f1)));
    if let Some(of) = m.calibration {
        lines.push(format!("{:12} {:>5.3} ± {:.3}", "log loss", of.log_loss.mean, of.log_loss.sd));
        if of.cut_pairs > 0 {
            let pairs = if of.cut_pairs == 1 { "pair" } else { "pairs" };
            lines.push(format!("{:12} cut: {} {pairs} had a probability of 0", "", of.cut_pairs));
        }
        lines.push(format!("{:12} {:>5.3} ± {:.3}", "Brier score", of.brier.mean, of.brier.sd));
        lines.push(format!("{:12} {:>5.3} (expected calibration error)", "ECE", of.ece));
    }
}

/// Adds recall, precision and the confusion matrix.
pub(super) fn by_class(m: &CellMetrics, lines: &mut Vec<String>) {
    lines.push(format!("{:12} {:>9} {:>9} {:>9}", "", "dislike", "neutral", "like"));
    for (name, of) in [("recall %", m.recall), ("precision %", m.precision)] {
        let [a, b, c] = [of.dislike, of.neutral, of.like].map(percent);
        lines.push(format!("{name:12} {a:>9} {b:>9} {c:>9}"));
    }
    lines.push("confusion, rows actual, columns predicted".into());
    for (name, row) in ["dislike", "neutral", "like"].iter().zip(m.confusion) {
        lines.push(format!("{name:12} {:>9} {:>9} {:>9}", row[0], row[1], row[2]));
    }
}
