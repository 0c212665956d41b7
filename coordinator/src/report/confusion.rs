//! Confusion matrices: rows are the actual class, columns the predicted class.

use jhalak_common::dataset::Label;
use serde::Serialize;

use super::comparison::Comparison;
use super::leading::leading;
use super::number::{count, counted, percent, share};
use super::{Cell, Protocol, Report, Split};

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

/// The matrices of one model, side by side.
#[derive(Serialize)]
pub(super) struct Group {
    name: String,
    matrices: Vec<Matrix>,
}

/// Returns the matrices of the models that the headline names and of the leading ones, each model's
/// under `strict` next to those under `paper`; with `published` those of the paper after them.
pub(super) fn shown(report: &Report, comparison: &Comparison<'_>, with_published: bool) -> Vec<Group> {
    let mut names: Vec<String> = Vec::new();
    let leading = leading(&report.evaluation).into_iter().map(|place| report.evaluation[place].row());
    for name in comparison.named_in_headline().into_iter().chain(leading) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut groups = Vec::new();
    for name in names {
        let Some(row) = comparison.rows.iter().find(|row| row.name == name) else { continue };
        let mut cells: Vec<&Cell> =
            row.cells.iter().flatten().copied().filter(|cell| cell.split == Split::Pairs).collect();
        cells.sort_by_key(|cell| cell.protocol == Protocol::Paper);
        let matrices: Vec<Matrix> = cells.into_iter().filter_map(matrix).collect();
        if !matrices.is_empty() {
            groups.push(Group { name, matrices });
        }
    }
    if with_published {
        groups.push(Group { name: "published: Figure 8 of the paper".to_owned(), matrices: published() });
    }
    groups
}

/// Figure 8 of the paper, the sum over its five splits divided by five. The figure swaps the names
/// of like and neutral (its rows named `like` sum to a fifth of the neutral pairs); they are
/// corrected here.
fn published() -> Vec<Matrix> {
    const FIGURE_8: [(&str, [[f64; 3]; 3]); 3] = [
        ("video", [[962.0, 207.2, 155.8], [143.6, 1196.2, 235.2], [133.8, 210.8, 1051.4]]),
        ("audio", [[984.8, 174.4, 165.8], [106.8, 1287.4, 180.8], [118.4, 148.4, 1129.2]]),
        ("audio+video", [[989.0, 212.0, 124.0], [127.0, 1265.0, 183.0], [121.0, 210.0, 1065.0]]),
    ];
    let rows = |counts: [[f64; 3]; 3]| {
        Label::ALL.into_iter().map(move |actual| {
            let counts = counts[actual.index()];
            let total: f64 = counts.iter().sum();
            let cells = Label::ALL.into_iter().map(|predicted| {
                let part = counts[predicted.index()] / total;
                MatrixCell {
                    predicted: predicted.name(),
                    count: format!("{}", counts[predicted.index()]),
                    percent: percent(part) + " %",
                    share: format!("{part:.2}"),
                    right: actual == predicted,
                }
            });
            MatrixRow { actual: actual.name(), total: format!("{}", total.round()), cells: cells.collect() }
        })
    };
    FIGURE_8
        .into_iter()
        .map(|(modality, counts)| Matrix {
            name: format!("published: {modality}, Figure 8"),
            rows: rows(counts).collect(),
        })
        .collect()
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
    let all: u64 = confusion.as_flattened().iter().sum();
    Some(Matrix { name: format!("{}, {}", cell.column(), counted(all, "prediction")), rows: rows.collect() })
}
