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
mod readers;
mod subset;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_real;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::hash::{canonical_json, canonical_rows};

pub use describe::{Description, GenreCount, LabelCounts, Missing};
pub use folds::{FoldsBy, GivenFold, GivenFolds, read_folds};
pub use genres::PAPER_GENRES;
pub use readers::{
    Facts, Files, Folder, Layout, MAX_LISTED, Memory, NewMovies, ReadSettings, Reject, TABLE_FILES, TRAILER_EXTENSIONS,
    read, read_movies,
};

/// What a viewer thought of a movie. The order is that of every label vector, confusion matrix and probability row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// -1 in the files.
    Dislike = 0,
    /// 0 in the files: neutral, or not watched.
    Neutral = 1,
    /// 1 in the files.
    Like = 2,
}

impl Label {
    /// Every label, in the order of label vectors.
    pub const ALL: [Label; 3] = [Label::Dislike, Label::Neutral, Label::Like];

    /// The place in label vectors, confusion matrices and probability rows: 0, 1 or 2.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The English name: `dislike`, `neutral` or `like`.
    pub fn name(self) -> &'static str {
        match self {
            Label::Dislike => "dislike",
            Label::Neutral => "neutral",
            Label::Like => "like",
        }
    }

    /// The label that a file means by `-1`, `0`, `1`, by the same with decimals (`1.0`, as data frames write it) or by the
    /// label's name; `None` for anything else.
    pub fn from_file_value(text: &str) -> Option<Label> {
        match text.trim() {
            "-1" | "-1.0" => Some(Label::Dislike),
            "0" | "0.0" | "-0.0" => Some(Label::Neutral),
            "1" | "1.0" => Some(Label::Like),
            word => Label::ALL.into_iter().find(|label| label.name().eq_ignore_ascii_case(word)),
        }
    }
}

/// A movie as the catalogue describes it. What is missing is empty or `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Movie {
    /// The id in the catalogue, fit for a file name and an object key: 1 to 128 of `A-Z a-z 0-9 . _ -`, with a letter, digit or `_` first.
    pub id: String,
    /// The title; the id where the catalogue has none.
    pub name: String,
    /// Every genre that the catalogue names, also those outside [`Dataset::genres`].
    pub genres: Vec<String>,
    /// The plot in a few sentences.
    pub description: String,
    /// Spoken languages.
    pub languages: Vec<String>,
    /// The year of release, from 1870 to 2100.
    pub year: Option<i32>,
    /// The public's rating, from 0 to 10.
    pub rating: Option<f32>,
    /// Who wrote it.
    pub writers: Vec<String>,
    /// Who directed it.
    pub directors: Vec<String>,
    /// Who played in it, in the catalogue's order.
    pub cast: Vec<String>,
    /// The release date as the file has it. Flickscore writes it in four forms, and which one tells where the row came from.
    pub released: String,
}

/// A viewer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id in the files.
    pub id: String,
    /// What else the files say, by column name.
    pub attributes: BTreeMap<String, String>,
}

/// One viewer's feedback on one movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rating {
    /// Index into [`Dataset::users`].
    pub user: u32,
    /// Index into [`Dataset::movies`].
    pub movie: u32,
    /// What the viewer thought.
    pub label: Label,
}

/// A dataset in its normal form: whatever the layout and the order of the files, the same content gives the same value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// What to call it in a report.
    pub name: String,
    /// Whether the feedback was generated by a program. Shown wherever figures are shown.
    pub synthetic: bool,
    /// Sorted by id, unique, at least one.
    pub movies: Vec<Movie>,
    /// Sorted by id, unique; only users with at least one rating.
    pub users: Vec<User>,
    /// Sorted by user, then movie; one a pair; at least one.
    pub ratings: Vec<Rating>,
    /// The genre vocabulary, in the order of genre vectors: `genres` of `dataset.toml` if given; else the paper's 15
    /// ([`PAPER_GENRES`]) if they make up 95 % or more of all genre mentions; else every genre that occurs, sorted.
    pub genres: Vec<String>,
}

impl Dataset {
    /// The index of the movie with this id.
    pub fn movie_index(&self, id: &str) -> Option<usize> {
        self.movies.binary_search_by(|movie| movie.id.as_str().cmp(id)).ok()
    }

    /// The index of the user with this id.
    pub fn user_index(&self, id: &str) -> Option<usize> {
        self.users.binary_search_by(|user| user.id.as_str().cmp(id)).ok()
    }

    /// Whether any movie has a genre of the vocabulary.
    pub fn has_genres(&self) -> bool {
        self.movies.iter().flat_map(|movie| &movie.genres).any(|genre| self.genres.contains(genre))
    }

    /// The canonical JSON that identifies the dataset, made a row at a time: see [`crate::hash::canonical_json`].
    pub fn canonical_json(&self) -> Result<String> {
        let scalar = |value: serde_json::Value| canonical_json(&value);
        Ok(format!(
            "{{\"genres\":{},\"movies\":{},\"name\":{},\"ratings\":{},\"synthetic\":{},\"users\":{}}}",
            canonical_rows(&self.genres)?,
            canonical_rows(&self.movies)?,
            scalar(self.name.as_str().into()),
            canonical_rows(&self.ratings)?,
            scalar(self.synthetic.into()),
            canonical_rows(&self.users)?,
        ))
    }

    /// The number of ratings of each label, in label order.
    pub fn label_counts(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        for rating in &self.ratings {
            counts[rating.label.index()] += 1;
        }
        counts
    }
}

/// What a reader made of the files: the dataset, its trailers, and all that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The normal form.
    pub dataset: Dataset,
    /// The layout that was found.
    pub layout: Layout,
    /// The note of `dataset.toml`: where the data comes from, or how it was made.
    pub note: Option<String>,
    /// The trailer file of each movie that has one, as a key relative to the dataset's folder: `trailers/tt0240200.mp4`.
    pub trailers: BTreeMap<String, String>,
    /// What was left out, in reading order: the first [`MAX_LISTED`].
    pub rejects: Vec<Reject>,
    /// How much was left out in all.
    pub rejected: u64,
    /// Users that the files know but that have no valid rating. They are not in the dataset.
    pub users_without_ratings: u64,
}
