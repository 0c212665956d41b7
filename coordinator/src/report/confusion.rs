//! Confusion matrices with the right names: rows are the actual class, columns the predicted one.

use jhalak_common::dataset::Label;
use serde::Serialize;

use super::comparison::Comparison;
use super::number::{count, percent, share};
use super::{Cell, Protocol, Split};

/// A matrix as the page shows it.
#[derive(Serialize)]
pub(super) struct Matrix {
    name: String,
    rows: Vec<MatrixRow>,
}

#[derive(Serialize)]
struct MatrixRow {
    actual: &'static str,
    total: String,
    cells: Vec<MatrixCell>,
}

#[derive(Serialize)]
struct MatrixCell {
    predicted: &'static str,
    count: String,
    percent: String,
    /// The share of the row, from 0 to 1 with two decimals: how dark the cell is.
    share: String,
    right: bool,
}

/// The matrices that are shown: of every modality the most accurate model under `strict` with random pairs, beside the same model under
/// `paper`; then the most accurate baseline. Where `strict` was not run, the same under `paper` alone.
pub(super) fn chosen(comparison: &Comparison<'_>) -> Vec<Matrix> {
    let mut taken: Vec<Option<&str>> = Vec::new();
    let mut matrices = Vec::new();
    for row in &comparison.rows {
        let Some(first) = row.cells.iter().flatten().next() else { continue };
        let modality = first.modality.as_deref().filter(|_| !row.baseline);
        if taken.contains(&modality) {
            continue;
        }
        taken.push(modality);
        let same =
            |cell: &&Cell| cell.baseline == row.baseline && (row.baseline || cell.modality.as_deref() == modality);
        let best = |protocol: Protocol| {
            let cells =
                comparison.rows.iter().flat_map(|row| row.cells.iter().flatten().copied().map(move |cell| (row, cell)));
            cells
                .filter(|(_, cell)| same(cell) && cell.protocol == protocol && cell.split == Split::Pairs)
                .filter_map(|(row, cell)| Some((row, cell.accuracy()?.mean)))
                .reduce(|best, next| if next.1 > best.1 { next } else { best })
                .map(|(row, _)| row)
        };
        let Some(best) = best(Protocol::Strict).or_else(|| best(Protocol::Paper)) else { continue };
        let shown = best.cells.iter().flatten().filter(|cell| cell.split == Split::Pairs);
        matrices.extend(shown.filter_map(|cell| matrix(cell)));
    }
    matrices
}

fn matrix(cell: &Cell) -> Option<Matrix> {
    let confusion = cell.metrics.as_ref()?.confusion;
    let rows = Label::ALL.into_iter().map(|actual| {
        let counts = confusion[actual.index()];
        let total: u64 = counts.iter().sum();
        let cells = Label::ALL.into_iter().map(|predicted| {
            let part = share(counts[predicted.index()], total);
            MatrixCell {
                predicted: predicted.name(),
                count: count(counts[predicted.index()]),
                percent: if total == 0 { "–".to_owned() } else { percent(part) + " %" },
                share: format!("{part:.2}"),
                right: actual == predicted,
            }
        });
        MatrixRow { actual: actual.name(), total: count(total), cells: cells.collect() }
    });
    Some(Matrix { name: format!("{}: {}", cell.column(), cell.row()), rows: rows.collect() })
}
