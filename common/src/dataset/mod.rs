//! A catalogue of movies and its viewers' feedback, read from the layouts that datasets come in.
//!
//! | layout | files | labels |
//! |---|---|---|
//! | Flickscore | `movies.csv`, `ratings.json` (a JSON object a line), `users.csv` if there | -1, 0, 1 |
//! | MovieLens 100K | `u.data`, `u.item`, `u.user` if there | stars, by the thresholds of [`ReadSettings`] |
//! | MovieLens CSV | `ratings.csv` (userId,movieId,rating), `movies.csv` | stars, by the thresholds |
//! | plain CSV | `ratings.csv` (user,movie,label), `movies.csv`, `users.csv` if there | -1, 0, 1 or dislike, neutral, like |
//!
//! Beside them may lie `dataset.toml` ([`Facts`]) and `trailers/ID.mp4` (or .webm .mkv .mov .avi .mpg .mpeg .m4v).
//!
//! # What stops a reading, and what does not
//! An error ([`InvalidInput`](crate::error::ErrorKind::InvalidInput), with file and line) ends the reading where the rest of a file
//! cannot be trusted: no layout found or two at once, a required file or column missing, CSV that cannot be read (a row with
//! more or fewer cells than the header, a quote never closed, a record above 8 MiB, no UTF-8), a bad `dataset.toml`, no movie or
//! no rating left.
//!
//! Everything else is a [`Reject`]: that one thing is left out, counted and listed, and the rest goes on. A label or star
//! that is none of the allowed values, NaN included; a rating of an unknown movie; a line that is no JSON object, or longer than
//! 16 MiB; a second rating of one pair (the first in file order stays, also where the two agree); a second row of one movie
//! or user id (the first stays); an id that is not fit for a file name or an object key; a cell that is no list, year or
//! rating where one is due (the cell counts as missing, the movie stays); a trailer of no known movie, a second trailer of one
//! movie (the first in the order of names stays), another kind of file among the trailers.

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
