//! The first chart: every model under every protocol, the most accurate first.

use super::Report;
use super::cell::Cell;
use super::comparison::{Comparison, Row};
use super::leading::leading;
use super::number::percent;
use crate::charts::{Dot, DotRow, Dots};

/// More models than this are reduced to the leading ones and the baselines.
const MAX_ROWS: usize = 32;

/// Returns the chart as HTML, and the number of models that it leaves out; `None` when nothing was
/// evaluated.
pub(super) fn chart(report: &Report, comparison: &Comparison<'_>) -> Option<(String, usize)> {
    let run = |row: &&Row<'_>| row.cells.iter().flatten().any(|cell| cell.accuracy().is_some());
    let mut rows: Vec<&Row<'_>> = comparison.rows.iter().filter(run).collect();
    let all = rows.len();
    if all > MAX_ROWS {
        let kept: Vec<String> =
            leading(&report.evaluation).into_iter().map(|place| report.evaluation[place].row()).collect();
        rows.retain(|row| row.baseline || kept.contains(&row.name));
    }
    let order = comparison.order();
    let accuracy = |row: &Row<'_>, place: usize| row.cells[place].and_then(Cell::accuracy).map(|of| of.mean);
    let first = |row: &Row<'_>| {
        let found = order.iter().find_map(|place| accuracy(row, *place));
        found.unwrap_or(f64::NEG_INFINITY)
    };
    rows.sort_by(|a, b| first(b).total_cmp(&first(a)));
    if rows.is_empty() {
        return None;
    }
    let majority = comparison.rows.iter().find(|row| row.baseline && row.name == "majority");
    let marks = order.iter().map(|place| majority.and_then(|row| accuracy(row, *place))).collect();
    let chart = Dots {
        title: "Accuracy by model and protocol".to_owned(),
        note: "In percent: means over the folds, the most accurate first. Lines: 95 % intervals over draws of viewers \
               where a model has predictions of five viewers or more, else one standard deviation over the folds. \
               Dashed: always saying the commonest class."
            .to_owned(),
        series: order.iter().map(|place| comparison.headings[*place].clone()).collect(),
        marks,
        rows: rows
            .iter()
            .map(|row| DotRow {
                name: row.name.clone(),
                soft: row.baseline,
                dots: order.iter().map(|place| row.cells[*place].and_then(dot)).collect(),
            })
            .collect(),
        format: percent,
    };
    Some((chart.chart().figure(), all - rows.len()))
}

fn dot(cell: &Cell) -> Option<Dot> {
    let accuracy = cell.accuracy()?;
    let interval = cell.compared.as_ref().and_then(|compared| compared.interval);
    let interval = match interval {
        Some(found) => Some([found.low, found.high]),
        None => (accuracy.sd > 0.0)
            .then(|| [(accuracy.mean - accuracy.sd).max(0.0), (accuracy.mean + accuracy.sd).min(1.0)]),
    };
    Some(Dot { value: accuracy.mean, interval })
}
