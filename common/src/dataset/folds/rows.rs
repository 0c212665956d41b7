//! One row of a fold, and the words by which files name its parts.

/// A row, by ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Row {
    /// All pairs of a user.
    User(String),
    /// All pairs of a movie.
    Movie(String),
    /// What a user said of a movie.
    Pair(String, String),
    /// Of a user or of a movie: what all such rows together decide.
    Id(String),
}

/// Names of the columns and fields that tell a row's user, the surest first.
pub(super) const USER: [&str; 7] = ["user_id", "userid", "user", "viewer", "uid", "_id", "id"];

/// Names of the columns and fields that tell a row's movie, the surest first.
pub(super) const MOVIE: [&str; 7] = ["movie_id", "movieid", "movie", "item_id", "itemid", "item", "imdb_id"];

/// Whether a word says that a row is tested; none if it says neither that nor the contrary.
pub(super) fn is_test(word: &str) -> Option<bool> {
    let word = word.trim().to_ascii_lowercase();
    let begins = |start: &str| word.starts_with(start);
    match () {
        () if begins("test") => Some(true),
        () if begins("train") || begins("val") || begins("dev") => Some(false),
        () => None,
    }
}
