//! Published folds that are given instead of drawn: the users, movies or pairs that each fold
//! tests.
//!
//! | what | form |
//! |---|---|
//! | a file | CSV (also `;`, tabs, bars or spaces) with a column `fold` (or `split` or `set` with
//! the words train and test) and `user`, `movie` or both, a row for each user, movie or pair |
//! | | a table without such a column, such as MovieLens' `u1.test`, or a list of ids: one fold,
//! which tests what it lists |
//! | | JSON: an object or a list of folds; rows with a field `fold`; an object that gives each user
//! a fold |
//! | a folder | a file for each fold, which lists what it tests |
//!
//! In a folder, the files with `test` in their path below the folder are the folds, in the order of
//! the numbers in their names; other files (`train`, `u1.base`) are not read, nor are `ua.test` and
//! `ub.test` next to `u1.test`. If no path contains `test`, every file is a fold. Files that are
//! not text (trailers), and those that describe folds (`README`, `.md`, `.toml`, `.py`), are passed
//! over. The file of a fold is a list of ids; a table of user and movie, with or without a header,
//! such as MovieLens' `u1.test`; Flickscore's JSON lines; or a JSON document: a list of ids, pairs,
//! or objects in Flickscore's format, at the top or in the field `test`. Other columns, including
//! labels, are not read: labels come from the dataset. Rows of a set named train are not tested,
//! nor are those named val, valid, validation or dev, which are counted: they train as well.
//!
//! A fold trains on every pair that it does not test. Rows of users, movies or pairs that are not
//! in the dataset are counted and skipped.

mod assign;
mod files;
mod given;
mod json;
mod natural_order;
mod rows;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::normal_form::Dataset;
use crate::error::{Error, Result};
use rows::Marks;

pub use given::{FoldsBy, GivenFold, GivenFolds};

/// Advice for folds that cannot be read.
const FORMS: &str = "use a CSV with a column `fold` (or `split` with train and test) and user, movie or both; a folder with one file \
     per fold that lists what it tests; or JSON of either (common/src/dataset/folds/mod.rs lists all formats)";

/// Reads the folds of `dataset` from a file or a folder.
///
/// # Errors
/// Invalid input, with file and line, if the files cannot be read, rows are of different kinds,
/// nothing in them is known, a fold tests nothing, or two folds test the same pair.
pub fn read_folds(path: &Path, dataset: &Dataset) -> Result<GivenFolds> {
    let within = |e: Error| e.context(format!("the folds in {}", path.display()));
    let marks = Marks::default();
    let rows = if path.is_dir() { files::folder(path, &marks) } else { files::file(path, &marks) };
    let mut rows = rows.map_err(|e| within(e).context(FORMS))?;
    assign::decide_bare_ids(&mut rows, dataset);
    let folds = assign::assign(rows, dataset).map_err(within)?;
    Ok(GivenFolds { validation: marks.validation(), ..folds })
}
