//! The ensemble without each group of its features.

use jhalak_common::evaluation::{Modality, Model, Protocol, Split, metrics};
use jhalak_common::{Error, Result};

use super::frame::Frame;
use crate::report::{Ablation, Cell};

/// Evaluates the run's own ensemble once more, without each group of features.
///
/// # Errors
/// InvalidInput when the run has no ensemble or given folds; cancelled.
pub(super) fn parts(frame: &Frame<'_>) -> Result<Ablation> {
    let is_own = |cell: &&jhalak_common::evaluation::CellSpec| {
        cell.model == Model::Ensemble
            && cell.modality == Modality::Genre
            && cell.protocol == Protocol::Strict { split: Split::Pairs }
    };
    let found = frame.cells.iter().find(is_own).ok_or_else(|| Error::invalid("the run has no ensemble on pairs"))?;
    if found.given_folds.is_some() {
        return Err(Error::invalid(
            "the run's folds were given: `jhalak evaluate --model ensemble --ablation --folds PATH` computes it",
        ));
    }
    let mut spec = found.clone();
    spec.ablation = true;
    let cell = Cell::of(&spec);
    let measured = metrics::summarise(&frame.run(&spec)?);
    Ok(Ablation { row: cell.row(), column: cell.column(), parts: measured.parts })
}
