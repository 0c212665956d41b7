//! The figures of a model for a person.

use jhalak_common::evaluation::metrics::{CellMetrics, MeanSd};

fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A mean over `folds` with its standard deviation, in percent. One fold has no deviation.
pub(super) fn figure(of: MeanSd, folds: usize) -> String {
    match folds {
        1 => format!("{:>5}", percent(of.mean)),
        _ => format!("{:>5} ± {}", percent(of.mean), percent(of.sd)),
    }
}

/// The same of a loss, with three decimals.
fn loss(of: MeanSd, folds: usize) -> String {
    match folds {
        1 => format!("{:>5.3}", of.mean),
        _ => format!("{:>5.3} ± {:.3}", of.mean, of.sd),
    }
}

/// Adds accuracy, F1 and the losses of the probabilities.
pub(super) fn figures(m: &CellMetrics, lines: &mut Vec<String>) {
    lines.push(format!("{:12} {} %", "accuracy", figure(m.accuracy, m.folds.len())));
    lines.push(format!("{:12} {} %", "macro F1", figure(m.macro_f1, m.folds.len())));
    lines.push(format!("{:12} {} %", "weighted F1", figure(m.weighted_f1, m.folds.len())));
    if let Some(of) = m.calibration {
        lines.push(format!("{:12} {}", "log loss", loss(of.log_loss, m.folds.len())));
        if of.cut_pairs > 0 {
            let pairs = if of.cut_pairs == 1 { "pair" } else { "pairs" };
            lines.push(format!("{:12} cut: {} {pairs} had a probability of 0", "", of.cut_pairs));
        }
        lines.push(format!("{:12} {}", "Brier score", loss(of.brier, m.folds.len())));
        lines.push(format!("{:12} {:>5.3} (expected calibration error)", "ECE", of.ece));
    }
}

/// Adds recall, precision and the confusion matrix.
pub(super) fn by_class(m: &CellMetrics, lines: &mut Vec<String>) {
    lines.push(format!("{:12} {:>9} {:>9} {:>9}", "", "dislike", "neutral", "like"));
    let actual = m.confusion.map(|row| row.iter().sum::<u64>());
    let predicted: [u64; 3] = std::array::from_fn(|class| m.confusion.iter().map(|row| row[class]).sum());
    let row = |name: &str, [a, b, c]: [String; 3]| format!("{name:12} {a:>9} {b:>9} {c:>9}");
    lines.push(row("pairs", actual.map(|pairs| pairs.to_string())));
    for (name, of, pairs) in [("recall %", m.recall, actual), ("precision %", m.precision, predicted)] {
        let of = [of.dislike, of.neutral, of.like];
        let figure = |class: usize| if pairs[class] == 0 { "–".to_owned() } else { percent(of[class]) };
        lines.push(row(name, [figure(0), figure(1), figure(2)]));
    }
    for (pairs, what) in [(actual, "tested pair"), (predicted, "prediction")] {
        if pairs.contains(&0) {
            let classes: Vec<&str> = ["dislike", "neutral", "like"]
                .into_iter()
                .zip(pairs)
                .filter(|(_, n)| *n == 0)
                .map(|(c, _)| c)
                .collect();
            lines.push(format!("–: no {what} is a {}", classes.join(" or a ")));
        }
    }
    lines.push("confusion, rows actual, columns predicted".into());
    for (name, row) in ["dislike", "neutral", "like"].iter().zip(m.confusion) {
        lines.push(format!("{name:12} {:>9} {:>9} {:>9}", row[0], row[1], row[2]));
    }
}
