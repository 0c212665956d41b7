//! One row of a fold, and the column names that identify its parts.

use std::cell::Cell;

/// A row, by its ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// All pairs of a user.
    User(String),
    /// All pairs of a movie.
    Movie(String),
    /// The rating of a movie by a user.
    Pair(String, String),
    /// The id of a user or a movie, decided by all rows of this kind together.
    Id(String),
}

/// A row with its file and line.
pub(super) struct LocatedRow {
    pub(super) file: String,
    pub(super) line: u64,
    pub(super) row: Row,
    /// The columns have no names: the first two were taken for user and movie, and there are more.
    pub(super) is_guessed: bool,
}

/// Names of the columns and fields with the user of a row, the most reliable first.
pub(super) const USER: [&str; 7] = ["user_id", "userid", "user", "viewer", "uid", "_id", "id"];

/// Names of the columns and fields with the movie of a row, the most reliable first.
pub(super) const MOVIE: [&str; 7] = ["movie_id", "movieid", "movie", "item_id", "itemid", "item", "imdb_id"];

/// Counts the rows and parts that folds mark as validation (`val`, `valid`, `dev`): they train.
#[derive(Debug, Default)]
pub(super) struct Marks(Cell<u64>);

impl Marks {
    /// Whether `word` marks a row as one of training, validation included.
    pub(super) fn trains(&self, word: &str) -> bool {
        if is_validation(word) {
            self.count();
        }
        is_test(word) == Some(false)
    }

    /// Counts one row or part.
    pub(super) fn count(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Returns the number so far.
    pub(super) fn validation(&self) -> u64 {
        self.0.get()
    }
}

/// Whether a word means the validation part.
pub(super) fn is_validation(word: &str) -> bool {
    let word = word.trim().to_ascii_lowercase();
    word.starts_with("val") || word.starts_with("dev")
}

/// Whether a word marks a row as tested; None if it marks neither test nor train.
pub(super) fn is_test(word: &str) -> Option<bool> {
    let word = word.trim().to_ascii_lowercase();
    let begins = |start: &str| word.starts_with(start);
    match () {
        () if begins("test") => Some(true),
        () if begins("train") || is_validation(&word) => Some(false),
        () => None,
    }
}
