//! The accuracy for new users, by the number of their ratings that are known.

use std::collections::BTreeSet;

use jhalak_common::evaluation::metrics::{self, CellMetrics};
use jhalak_common::evaluation::{CellSpec, FoldResult, Modality, Model, Split, UserEmbedding, paired};
use jhalak_common::{Error, Result};
use serde::Serialize;

use super::frame::Frame;
use crate::report::{ColdStart, ColdStartCurve, ColdStartPoint};

/// Numbers of known ratings; those are used that leave half of the users at least as many to test.
const KNOWN: [usize; 6] = [0, 1, 2, 5, 10, 20];
/// The models: those whose fit takes seconds at any size.
const MODELS: [Model; 2] = [Model::Majority, Model::Bias];

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
/// InvalidInput when no pair is tested at every point.
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

/// Evaluates the models on users that training does not know, or knows by a few ratings.
///
/// # Errors
/// InvalidInput when the users have too few ratings; cancelled.
pub(super) fn curves(frame: &Frame<'_>) -> Result<ColdStart> {
    let numbers = numbers(frame)?;
    let (mut test_pairs, mut curves) = (0, Vec::new());
    for model in MODELS {
        let mut results = Vec::new();
        for &known in &numbers {
            let split = Split::Users { known };
            let mut spec = CellSpec::strict(split, Modality::Genre, model, UserEmbedding::Liked, true);
            (spec.seed, spec.folds) = (frame.seed, frame.folds);
            results.push((known, frame.run(&spec)?));
        }
        // The split does not depend on the model: all curves are of the same pairs.
        let points = points(&results)?;
        test_pairs = points.first().map_or(0, |point| point.metrics.tested_pairs());
        let point = |point: &Point| ColdStartPoint {
            known: point.known,
            accuracy: point.metrics.accuracy,
            macro_f1: point.metrics.macro_f1,
        };
        curves.push(ColdStartCurve { model: model.name().to_owned(), points: points.iter().map(point).collect() });
    }
    Ok(ColdStart { test_pairs, curves })
}

/// Returns the numbers of known ratings that half of the users have twice.
fn numbers(frame: &Frame<'_>) -> Result<Vec<usize>> {
    let mut ratings = vec![0usize; frame.dataset.users.len()];
    for rating in &frame.dataset.ratings {
        if let Some(count) = ratings.get_mut(rating.user as usize) {
            *count += 1;
        }
    }
    ratings.retain(|count| *count > 0);
    ratings.sort_unstable();
    let median = ratings.get(ratings.len() / 2).copied().unwrap_or(0);
    let numbers: Vec<usize> = KNOWN.into_iter().filter(|known| 2 * known <= median).collect();
    match numbers.len() {
        0 | 1 => Err(Error::invalid(format!("half of the viewers have {median} ratings or fewer"))),
        _ => Ok(numbers),
    }
}
