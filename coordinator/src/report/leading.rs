//! The models that stand for others: the most accurate baseline, and the most accurate model of
//! each modality.

use jhalak_common::evaluation::Model;

use super::{Cell, Decision, Protocol, Split};

/// Returns the places of these cells: chosen under `strict` with random pairs, or under `paper`
/// where `strict` was not run. Models without a modality, such as the ensemble, are a group of
/// their own. Of equally accurate ones the first is taken.
pub fn leading(cells: &[Cell]) -> Vec<usize> {
    // The networks lead their modality, and the ensembles theirs.
    let is_ensemble = |cell: &Cell| cell.model == Model::Ensemble.stored_name();
    let group = |cell: &Cell| (cell.baseline, is_ensemble(cell), cell.modality.clone().filter(|_| !cell.baseline));
    let mut groups: Vec<(bool, bool, Option<String>)> = Vec::new();
    for cell in cells.iter().filter(|cell| cell.control.is_none()) {
        if !groups.contains(&group(cell)) {
            groups.push(group(cell));
        }
    }
    let best = |of: &(bool, bool, Option<String>), protocol: Protocol| {
        let same = |cell: &Cell| {
            group(cell) == *of
                && cell.protocol == protocol
                && cell.split == Split::Pairs
                && cell.decision == Decision::Plain
                && cell.control.is_none()
        };
        let run = cells.iter().enumerate().filter(|(_, cell)| same(cell));
        run.filter_map(|(place, cell)| Some((place, cell.accuracy()?.mean)))
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(place, _)| place)
    };
    groups.iter().filter_map(|of| best(of, Protocol::Strict).or_else(|| best(of, Protocol::Paper))).collect()
}
