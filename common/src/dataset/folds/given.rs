//! The folds as they were given.

use serde::{Deserialize, Serialize};

use crate::dataset::readers::reject::Reject;

/// The unit that a row of given folds identifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldsBy {
    /// Users: all of their pairs.
    Users,
    /// Movies: all of their pairs.
    Movies,
    /// Pairs.
    Pairs,
}

/// One given fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFold {
    /// Its name in the file, or the name of the file.
    pub name: String,
    /// The pairs that it tests: indexes into the dataset's ratings, sorted, unique.
    pub test: Vec<u32>,
}

/// Given folds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFolds {
    /// The unit that the rows identify.
    pub by: FoldsBy,
    /// The folds, at least one; none is empty, and no pair is in two folds.
    pub folds: Vec<GivenFold>,
    /// Rows that match nothing in the dataset: the first
    /// [`MAX_LISTED`](crate::dataset::MAX_LISTED).
    pub passed_over: Vec<Reject>,
    /// The total number of such rows.
    pub passed_over_rows: u64,
    /// Rows and parts that are marked as validation. They train: each model draws its own
    /// validation pairs.
    pub validation: u64,
}

impl GivenFolds {
    /// Returns what becomes of the rows that are marked as validation; None if none is.
    #[must_use]
    pub fn validation_note(&self) -> Option<String> {
        let what = if self.validation == 1 { "row or part is" } else { "rows or parts are" };
        (self.validation > 0).then(|| {
            format!(
                "{} {what} marked as validation (val, valid, dev) and not tested: their pairs train, and each model draws \
                 its own validation pairs from the training part",
                self.validation
            )
        })
    }
}

impl FoldsBy {
    /// Returns the name in messages.
    pub fn name(self) -> &'static str {
        match self {
            FoldsBy::Users => "users",
            FoldsBy::Movies => "movies",
            FoldsBy::Pairs => "pairs",
        }
    }
}
