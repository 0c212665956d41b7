//! Datasets: a catalogue of movies and the feedback of viewers, read from several layouts.
//!
//! | layout | files |
//! |---|---|
//! | Flickscore | `movies.csv`, `ratings.json` (a JSON object a line), `users.csv` if there |
//! | MovieLens 100K | `u.data`, `u.item`, `u.user` if there |
//! | MovieLens 1M, 10M | `ratings.dat`, `movies.dat`, `users.dat` if there: separated by `::` |
//! | MovieLens CSV | `ratings.csv` (userId,movieId,rating), `movies.csv` with years in titles |
//! | plain CSV | `ratings.csv` (user,movie,label), `movies.csv`, `users.csv` if there |
//! | trailers only | trailers at the top or in `trailers/`, and no ratings; `movies.csv` if there |
//!
//! CSV may be separated by commas, tabs, semicolons (then with decimal commas) or bars. A list in a
//! cell is JSON, a Python literal, or separated by `|`, `;` or commas. Ids such as `7.0` are `7`.
//!
//! A folder may also hold `dataset.toml` ([`Facts`]) and `trailers/ID.mp4` (or another of
//! [`TRAILER_EXTENSIONS`]), also in sub-folders, and `trailers/ID/NAME.mp4`. A column `trailer` of
//! `movies.csv` names other locations: a path below the folder or absolute, `file:///path` or
//! `s3://bucket/key` or `https://host/path`; columns for its size, tag and SHA-256 state its
//! content ([`StatedContent`]). `movies.parquet` may stand for `movies.csv`.
//!
//! # Scales
//! The values of the whole column of ratings decide its [`Scale`]: labels (-1, 0, 1, or words), two
//! classes, stars up to 5, points from 1 to 10 or from 0 to 100. [`Reading::read_as`] states it.
//! Values that fit two scales (0 and 1 alone; 1, 2 and 3) are refused, and the setting
//! `dataset.scale` decides.
//!
//! # Errors and rejects
//! A reading stops with an error ([`InvalidInput`](crate::error::ErrorKind::InvalidInput), with
//! file and line) where a file cannot be trusted as a whole: no layout or two layouts found, a
//! required file or column missing, UTF-16, a `dataset.toml` that is not valid, no movie or no
//! rating left, or more rejects of one kind in a file than
//! [`ReadSettings::max_rejected_percent`] (and more than nine, or more than half of the rows).
//!
//! Everything else is a [`Reject`]: the item is left out, counted and listed, and the reading
//! continues. Rejected are: a row with more or fewer cells than the header, with a quote that does
//! not close, above 8 MiB, or with bytes that are not UTF-8; a rating that is not on the scale; a
//! rating of an unknown movie; a line that is not a JSON object or is longer than 16 MiB; a second
//! rating of a pair (the first in file order stays, also if both agree); a second row of a movie or
//! user id (the first stays); an id that is not valid as a file name or an object key; a cell that
//! is not a list, year or rating where one is expected (the cell counts as missing, the movie
//! stays); a trailer of an unknown movie; a second trailer of a movie (the first by name stays, if
//! it opens); another kind of file among the trailers.
//!
//! Columns and files that exist and are not read are listed in [`Reading::notes`].

mod alike_ids;
mod describe;
mod folds;
mod genres;
mod hash;
mod normal_form;
mod readers;
mod stated_content;
mod subset;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_forms;
#[cfg(test)]
mod tests_real;
mod whole_number;

pub use alike_ids::alike_ids;
pub use describe::{Description, GenreCount, LabelCounts, Missing};
pub use folds::{FoldsBy, GivenFold, GivenFolds, read_folds};
pub use genres::PAPER_GENRES;
pub use normal_form::{Dataset, Label, Movie, Rating, User};
pub use readers::movie_ids::composed;
pub use readers::reading::Reading;
pub use readers::{
    CATALOGUES, Facts, Fetched, FetchedTable, Files, Folder, Layout, MAX_LISTED, NewMovies, ReadSettings, Reject,
    Scale, TABLE_FILES, TRAILER_EXTENSIONS, id_of_file_name, is_movie_id, read, read_movies,
};
pub use stated_content::StatedContent;
