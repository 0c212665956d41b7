//! The gain from each part of the stacked ensemble.

use jhalak_common::evaluation::PartKind;
use serde::Serialize;

use super::Report;
use super::cell::Decision;
use super::number::mean_sd;

/// The parts of one cell.
#[derive(Serialize)]
pub(super) struct Parts {
    /// The model and the column of the cell in the tables.
    pub cell: String,
    /// The number of settings that were tried before the choice.
    pub tried: usize,
    pub rows: Vec<Row>,
}

/// One part.
#[derive(Serialize)]
pub(super) struct Row {
    pub what: String,
    pub accuracy: String,
    pub macro_f1: String,
    pub log_loss: String,
    /// The weight in the stack; empty for a part that is not a member.
    pub weight: String,
}

/// Returns one entry for every cell with parts. A cell that is shown with both decision rules
/// appears once.
pub(super) fn of(report: &Report) -> Vec<Parts> {
    let plain = report.evaluation.iter().filter(|cell| cell.decision == Decision::default());
    let with = plain.filter_map(|cell| Some((cell, cell.metrics.as_ref()?))).filter(|(_, m)| !m.parts.is_empty());
    with.map(|(cell, metrics)| {
        let whole = Row {
            what: "the whole model".to_owned(),
            accuracy: mean_sd(metrics.accuracy),
            macro_f1: mean_sd(metrics.macro_f1),
            log_loss: String::new(),
            weight: String::new(),
        };
        let rows = metrics.parts.iter().map(|part| Row {
            what: match part.kind {
                PartKind::Member => format!("{} alone", part.name),
                PartKind::AllFeatures => "boosting, not stacked, on all features".to_owned(),
                PartKind::Without => format!("the same without {}", part.name),
            },
            accuracy: mean_sd(part.accuracy),
            macro_f1: mean_sd(part.macro_f1),
            log_loss: format!("{:.3}", part.log_loss.mean),
            weight: part.weight.map_or_else(String::new, |weight| format!("{weight:.2}")),
        });
        let name = format!("{}, {}", cell.row(), cell.column());
        Parts { cell: name, tried: metrics.settings_tried, rows: std::iter::once(whole).chain(rows).collect() }
    })
    .collect()
}
