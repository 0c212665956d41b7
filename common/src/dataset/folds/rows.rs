//! One row of a fold, and the column names that identify its parts.

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

/// Whether a word marks a row as tested; None if it marks neither test nor train.
pub(super) fn is_test(word: &str) -> Option<bool> {
    let word = word.trim().to_ascii_lowercase();
    let begins = |start: &str| word.starts_with(start);
    match () {
        () if begins("test") => Some(true),
        () if begins("train") || begins("val") || begins("dev") => Some(false),
        () => None,
    }
}
