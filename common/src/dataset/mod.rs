//! Datasets: a catalogue of movies and the feedback of viewers, read from several layouts.
//!
//! | layout | files | labels |
//! |---|---|---|
//! | Flickscore | `movies.csv`, `ratings.json` (a JSON object a line), `users.csv` if there | -1, 0, 1 |
//! | MovieLens 100K | `u.data`, `u.item`, `u.user` if there | stars, by the thresholds of [`ReadSettings`] |
//! | MovieLens CSV | `ratings.csv` (userId,movieId,rating), `movies.csv` | stars, by the thresholds |
//! | plain CSV | `ratings.csv` (user,movie,label), `movies.csv`, `users.csv` if there | -1, 0, 1 or dislike, neutral, like |
//!
//! A folder may also hold `dataset.toml` ([`Facts`]) and `trailers/ID.mp4` (or .webm .mkv .mov .avi
//! .mpg .mpeg .m4v).
//!
//! # Errors and rejects
//! A reading stops with an error ([`InvalidInput`](crate::error::ErrorKind::InvalidInput), with
//! file and line) where the rest of a file cannot be trusted: no layout or two layouts found, a
//! required file or column missing, unreadable CSV (a row with more or fewer cells than the header,
//! an unclosed quote, a record above 8 MiB, text that is not UTF-8), a `dataset.toml` that is not
//! valid, no movie or no rating left.
//!
//! Everything else is a [`Reject`]: the item is left out, counted and listed, and the reading
//! continues. Rejected are: a label or star outside the allowed values, including NaN; a rating of
//! an unknown movie; a line that is not a JSON object or is longer than 16 MiB; a second rating of
//! a pair (the first in file order stays, also if both agree); a second row of a movie or user id
//! (the first stays); an id that is not valid as a file name or an object key; a cell that is not a
//! list, year or rating where one is expected (the cell counts as missing, the movie stays); a
//! trailer of an unknown movie; a second trailer of a movie (the first by name stays); another kind
//! of file among the trailers.

mod describe;
mod folds;
mod genres;
mod hash;
mod normal_form;
mod readers;
mod reading;
mod subset;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_real;

pub use describe::{Description, GenreCount, LabelCounts, Missing};
pub use folds::{FoldsBy, GivenFold, GivenFolds, read_folds};
pub use genres::PAPER_GENRES;
pub use normal_form::{Dataset, Label, Movie, Rating, User};
pub use readers::{
    Facts, Files, Folder, Layout, MAX_LISTED, Memory, NewMovies, ReadSettings, Reject, TABLE_FILES, TRAILER_EXTENSIONS,
    read, read_movies,
};
pub use reading::Reading;
