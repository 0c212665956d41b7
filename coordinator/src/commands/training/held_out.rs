//! The pairs that a fold tests, where they are not drawn by the cell itself.

use std::path::{Path, PathBuf};

use jhalak_common::dataset::{Dataset, FoldsBy, GivenFolds};
use jhalak_common::evaluation::{ByTime, CellSpec};
use jhalak_common::{Error, Result, hash};
use jhalak_worker::recommend::time_order::TimeOrder;
use serde::Serialize;

use super::cell_args::{CellArgs, SplitArg};
use crate::commands::args::given_folds;
use crate::console::output::Output;

/// Skipped rows of given folds that are listed.
const LISTED: usize = 5;

/// The test pairs of each fold, sorted.
pub type TestPairs = Vec<Vec<u32>>;

/// Folds that were given.
#[derive(Serialize)]
pub struct FoldsFacts {
    path: PathBuf,
    /// The unit that its rows name.
    by: FoldsBy,
    /// Their names, in the order of the folds.
    names: Vec<String>,
    /// Rows that name nothing that the dataset has.
    passed_over_rows: u64,
    /// Rows and parts that are marked as validation: they train.
    validation: u64,
    /// Pairs of the dataset that no fold tests: they always train.
    never_tested_pairs: usize,
}

impl FoldsFacts {
    /// Returns the line for a person.
    pub fn line(&self) -> String {
        format!(
            "folds by {} from {}: {} rows skipped, {} pairs never tested",
            self.by.name(),
            self.path.display(),
            self.passed_over_rows,
            self.never_tested_pairs
        )
    }
}

/// Returns the test pairs of each fold that the options give or choose by time, and puts them into
/// the cell; `None` where the cell draws its folds.
///
/// # Errors
/// Folds that cannot be read or contradict other options; a split by time of a dataset without
/// times.
pub fn held_out(
    cell: &CellArgs,
    spec: &mut CellSpec,
    dataset: &Dataset,
    output: &Output,
) -> Result<(Option<TestPairs>, Option<FoldsFacts>)> {
    if let Some(by_time) = cell.split.and_then(SplitArg::by_time) {
        let folds = vec![by_time_fold(dataset, by_time, cell.test_share())?];
        put(spec, &folds);
        spec.by_time = Some(by_time);
        return Ok((Some(folds), None));
    }
    let Some(path) = cell.given_folds() else { return Ok((None, None)) };
    let mut given = given_folds(path, dataset)?;
    cell.take_folds(spec, &mut given, dataset)?;
    let facts = facts(path, &given, dataset, output);
    Ok((Some(given.folds.into_iter().map(|fold| fold.test).collect()), Some(facts)))
}

/// Puts test pairs into a cell.
pub fn put(spec: &mut CellSpec, folds: &[Vec<u32>]) {
    spec.given_folds = Some(hash::of_json(&serde_json::json!(folds)));
    spec.folds = folds.len();
}

/// Returns the pairs that a split by time tests.
///
/// # Errors
/// A dataset without times, or with one moment alone.
pub fn by_time_fold(dataset: &Dataset, by_time: ByTime, share: f64) -> Result<Vec<u32>> {
    let order = TimeOrder::of(dataset).ok_or_else(|| {
        Error::invalid(format!(
            "dataset {}: the ratings have no times, so --split {} cannot order them: add a column timestamp (seconds), \
             or use --split pairs, movies or users",
            dataset.name,
            by_time.name()
        ))
    })?;
    let test = match by_time {
        ByTime::Last => order.last_of_each_user(share)?,
        ByTime::Temporal => order.latest(share)?,
    };
    if test.is_empty() {
        return Err(Error::invalid(format!("dataset {}: no user has more than one rating", dataset.name)));
    }
    Ok(test)
}

/// Reports the skipped rows of given folds and returns the facts about the folds.
fn facts(path: &Path, given: &GivenFolds, dataset: &Dataset, output: &Output) -> FoldsFacts {
    for reject in given.passed_over.iter().take(LISTED) {
        output.progress.say(&format!("skipped: {reject}"));
    }
    if given.passed_over_rows > LISTED as u64 {
        output.progress.say(&format!("skipped: {} more rows of the folds", given.passed_over_rows - LISTED as u64));
    }
    given.validation_note().iter().for_each(|note| output.progress.warn(&format!("folds: {note}")));
    let tested: usize = given.folds.iter().map(|fold| fold.test.len()).sum();
    FoldsFacts {
        path: path.to_owned(),
        by: given.by,
        names: given.folds.iter().map(|fold| fold.name.clone()).collect(),
        passed_over_rows: given.passed_over_rows,
        validation: given.validation,
        never_tested_pairs: dataset.ratings.len() - tested,
    }
}
