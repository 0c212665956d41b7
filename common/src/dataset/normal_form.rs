//! The normal form of a dataset: movies, users and ratings, sorted and unique.

use std::collections::BTreeMap;
use std::io::Write;

use serde::{Deserialize, Serialize};

use super::whole_number::whole;
use crate::compact::fields::{put_optional, put_text, put_texts, take_optional, take_text, take_texts};
use crate::compact::{Packed, Row};
use crate::error::{Error, Result};
use crate::hash::{self, Hash, canonical_json};

/// A viewer's opinion of a movie. The order of the variants is that of label vectors, confusion
/// matrices and probability rows.
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

    /// Returns the index in label vectors, confusion matrices and probability rows: 0, 1 or 2.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Returns the English name: `dislike`, `neutral` or `like`.
    pub fn name(self) -> &'static str {
        match self {
            Label::Dislike => "dislike",
            Label::Neutral => "neutral",
            Label::Like => "like",
        }
    }

    /// Parses `-1`, `0`, `1`, the same numbers with decimals (`1.0`, as data frames write them) or
    /// the name of a label; `None` for anything else.
    pub fn from_file_value(text: &str) -> Option<Label> {
        match text.trim() {
            "-1" | "-1.0" => Some(Label::Dislike),
            "0" | "0.0" | "-0.0" => Some(Label::Neutral),
            "1" | "1.0" => Some(Label::Like),
            word => Label::ALL.into_iter().find(|label| label.name().eq_ignore_ascii_case(word)),
        }
    }
}

/// A movie as described in the catalogue. Missing fields are empty or `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Movie {
    /// The id in the catalogue, valid as a file name and in an object key: up to 180 bytes of
    /// letters and digits of any script, blanks and some punctuation.
    pub id: String,
    /// The title; the id if the catalogue has none.
    pub name: String,
    /// Every genre in the catalogue, including genres outside [`Dataset::genres`].
    pub genres: Vec<String>,
    /// The plot in a few sentences.
    pub description: String,
    /// Spoken languages.
    pub languages: Vec<String>,
    /// The year of release, from 1870 to 2100.
    pub year: Option<i32>,
    /// The public's rating, from 0 to 10.
    pub rating: Option<f32>,
    /// Writers.
    pub writers: Vec<String>,
    /// Directors.
    pub directors: Vec<String>,
    /// Actors, in the order of the catalogue.
    pub cast: Vec<String>,
    /// The release date as in the file. Flickscore has four formats, which reveal the source of a
    /// row.
    pub released: String,
}

impl Row for Movie {
    fn pack(&self, to: &mut Vec<u8>) {
        [&self.id, &self.name, &self.description, &self.released].into_iter().for_each(|text| put_text(to, text));
        let lists = [&self.genres, &self.languages, &self.writers, &self.directors, &self.cast];
        lists.into_iter().for_each(|list| put_texts(to, list));
        put_optional(to, self.year.map(i32::to_le_bytes));
        put_optional(to, self.rating.map(f32::to_le_bytes));
    }

    fn unpack(from: &mut &[u8]) -> Option<Movie> {
        Some(Movie {
            id: take_text(from)?,
            name: take_text(from)?,
            description: take_text(from)?,
            released: take_text(from)?,
            genres: take_texts(from)?,
            languages: take_texts(from)?,
            writers: take_texts(from)?,
            directors: take_texts(from)?,
            cast: take_texts(from)?,
            year: take_optional(from)?.map(i32::from_le_bytes),
            rating: take_optional(from)?.map(f32::from_le_bytes),
        })
    }
}

/// A viewer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The id in the files.
    pub id: String,
    /// Further attributes in the files, by column name.
    pub attributes: BTreeMap<String, String>,
}

/// One viewer's feedback on one movie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rating {
    /// Index into [`Dataset::users`].
    pub user: u32,
    /// Index into [`Dataset::movies`].
    pub movie: u32,
    /// The viewer's opinion.
    pub label: Label,
    /// Half stars in the file, from 0 to 10 (points are scaled to them): finer than the label.
    /// `None` where the file has labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_stars: Option<u8>,
}

/// A dataset in its normal form: the same content gives the same value, whatever the layout and
/// order of the files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// The name in reports.
    pub name: String,
    /// Whether the feedback was generated by a program. Stated wherever results are shown.
    pub synthetic: bool,
    /// Sorted by id, unique, at least one.
    pub movies: Packed<Movie>,
    /// Sorted by id, unique; only users with at least one rating.
    pub users: Vec<User>,
    /// Sorted by user, then movie; one per pair; none for trailers without ratings.
    pub ratings: Vec<Rating>,
    /// When each rating was given, in the order of [`Dataset::ratings`]: seconds since 1970, or
    /// whatever unit the files use. Empty if any rating has no time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<i64>,
    /// The genre vocabulary, in the order of genre vectors: `genres` of `dataset.toml` if given;
    /// else the paper's 15 ([`PAPER_GENRES`](super::PAPER_GENRES)) if they make up at least 95 % of
    /// all genre mentions; else every genre that occurs, sorted.
    pub genres: Vec<String>,
}

impl Dataset {
    /// Returns the index of the movie with this id.
    pub fn movie_index(&self, id: &str) -> Option<usize> {
        self.movies.search(|movie| movie.id.as_str().cmp(id))
    }

    /// Returns the index of the user with this id.
    pub fn user_index(&self, id: &str) -> Option<usize> {
        self.users.binary_search_by(|user| user.id.as_str().cmp(id)).ok()
    }

    /// Returns the index of the movie that a person or another program names: by its id, or as data
    /// frames write whole numbers (`7.0` for `7`).
    pub fn find_movie(&self, id: &str) -> Option<usize> {
        self.movie_index(id).or_else(|| self.movie_index(whole(id)))
    }

    /// Returns the index of the user that a person or another program names, as
    /// [`Dataset::find_movie`] does.
    pub fn find_user(&self, id: &str) -> Option<usize> {
        self.user_index(id).or_else(|| self.user_index(whole(id)))
    }

    /// Whether any movie has a genre of the vocabulary.
    pub fn has_genres(&self) -> bool {
        self.movies.scan().any(|movie| movie.genres.iter().any(|genre| self.genres.contains(genre)))
    }

    /// Returns the times of the ratings if every rating has one.
    pub fn times(&self) -> Option<&[i64]> {
        (!self.times.is_empty() && self.times.len() == self.ratings.len()).then_some(&self.times)
    }

    /// Reads the canonical JSON of the dataset with the hash `content` by `parse`, where the bytes
    /// to parse have the hash `found`.
    ///
    /// # Errors
    /// NotFound if the bytes are not those of the dataset with this hash.
    pub fn read_normal_form(
        found: &Hash,
        content: &Hash,
        parse: impl FnOnce() -> serde_json::Result<Self>,
    ) -> Result<Self> {
        let advice = "submit the run again, which stores it again";
        if found != content {
            return Err(Error::not_found(format!("the dataset differs from what was planned: {advice}")));
        }
        parse().map_err(|e| Error::not_found(format!("the dataset cannot be read: {advice}")).with_source(e))
    }

    /// Returns the canonical JSON that identifies the dataset: see [`crate::hash::canonical_json`].
    pub fn canonical_json(&self) -> Result<String> {
        let mut json = Vec::new();
        self.write_canonical_json(&mut json)?;
        String::from_utf8(json).map_err(|e| Error::bug("JSON is not UTF-8").with_source(e))
    }

    /// Writes the canonical JSON row by row, and returns its hash.
    pub fn write_canonical_json(&self, to: &mut dyn Write) -> Result<Hash> {
        let scalar = |value: serde_json::Value| canonical_json(&value);
        let mut to = hash::Hashing::new(to);
        to.text("{\"genres\":")?;
        to.rows(&self.genres)?;
        to.text(",\"movies\":")?;
        to.rows(self.movies.scan())?;
        to.text(&format!(",\"name\":{},\"ratings\":", scalar(self.name.as_str().into())))?;
        to.rows(&self.ratings)?;
        to.text(&format!(",\"synthetic\":{}", scalar(self.synthetic.into())))?;
        if !self.times.is_empty() {
            to.text(",\"times\":")?;
            to.rows(&self.times)?;
        }
        to.text(",\"users\":")?;
        to.rows(&self.users)?;
        to.text("}")?;
        Ok(to.finish())
    }

    /// Returns the number of ratings of each label, in label order.
    pub fn label_counts(&self) -> [u64; 3] {
        let mut counts = [0; 3];
        for rating in &self.ratings {
            counts[rating.label.index()] += 1;
        }
        counts
    }
}
