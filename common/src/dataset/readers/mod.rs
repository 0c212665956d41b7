//! Detects the layout of a dataset's folder and reads it.

mod assembly;
pub(super) mod csv_table;
mod files;
mod flickscore;
pub(super) mod json_lines;
pub(super) mod layout;
mod movielens;
mod movies;
mod new_movies;
mod plain;
pub(super) mod reject;
mod settings;
mod trailers;
mod users;

use std::cmp::Ordering;
use std::io::Read;

use super::genres;
use super::normal_form::Dataset;
use super::reading::Reading;
use crate::error::{Error, Result};

use assembly::Assembly;
use csv_table::{Format, Table};
pub use files::{Files, Folder, Memory};
pub use layout::{Facts, Layout};
pub use new_movies::{NewMovies, read_movies};
pub use reject::{MAX_LISTED, Reject};
pub use settings::ReadSettings;
pub use trailers::TRAILER_EXTENSIONS;

/// Every file that a reader may open: what a caller fetches from an object store for
/// [`Memory`](super::Memory).
pub const TABLE_FILES: [&str; 8] = [
    FACTS,
    movies::FILE,
    "users.csv",
    flickscore::RATINGS,
    plain::RATINGS,
    movielens::U_DATA,
    movielens::U_ITEM,
    "u.user",
];

const FACTS: &str = "dataset.toml";

/// Reads a dataset in any of the layouts.
///
/// # Errors
/// Invalid input by the [rules of the module](super); the errors of [`Files::open`].
pub fn read(files: &dyn Files, settings: &ReadSettings) -> Result<Reading> {
    let within = |error: Error| error.context(format!("read the dataset in {}", files.place()));
    read_files(files, settings).map_err(within)
}

fn read_files(files: &dyn Files, settings: &ReadSettings) -> Result<Reading> {
    let ReadSettings { dislike_at_most, like_at_least } = *settings;
    if dislike_at_most.partial_cmp(&like_at_least) != Some(Ordering::Less) {
        let thresholds = format!("dislike_at_most = {dislike_at_most} is not below like_at_least = {like_at_least}");
        return Err(Error::invalid(format!("{thresholds}: set the first below the second")));
    }
    let facts = facts(files)?;
    let layout = detect(files)?;
    let mut assembly = Assembly::default();
    let (ratings_file, movies_file) = match layout {
        Layout::Flickscore => {
            flickscore::read(files, &mut assembly)?;
            (flickscore::RATINGS, movies::FILE)
        }
        Layout::Movielens100k => {
            movielens::read_100k(files, settings, &mut assembly)?;
            (movielens::U_DATA, movielens::U_ITEM)
        }
        Layout::MovielensCsv => {
            movielens::read_csv(files, settings, &mut assembly)?;
            (plain::RATINGS, movies::FILE)
        }
        Layout::Plain => {
            plain::read(files, &mut assembly)?;
            (plain::RATINGS, movies::FILE)
        }
    };
    let trailers = trailers::assign(files.names(), &mut assembly);
    let assembled = assembly.finish(ratings_file, movies_file)?;
    let folder = files.place().trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
    let dataset = Dataset {
        name: facts.name.unwrap_or_else(|| folder.unwrap_or(layout.name()).to_owned()),
        synthetic: facts.synthetic,
        genres: facts.genres.unwrap_or_else(|| genres::vocabulary(&assembled.movies)),
        movies: assembled.movies,
        users: assembled.users,
        ratings: assembled.ratings,
    };
    Ok(Reading {
        dataset,
        layout,
        note: facts.note,
        trailers,
        rejected: assembled.rejects.count,
        rejects: assembled.rejects.listed,
        users_without_ratings: assembled.users_without_ratings,
    })
}

fn facts(files: &dyn Files) -> Result<Facts> {
    /// The largest `dataset.toml`, in bytes.
    const MAX: u64 = 1 << 20;
    if !files.has(FACTS) {
        return Ok(Facts::default());
    }
    let mut text = String::new();
    files
        .open(FACTS)?
        .take(MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::from(error).context(format!("read {FACTS}")))?;
    if text.len() as u64 > MAX {
        return Err(Error::invalid(format!("{FACTS}: above {} MiB", MAX >> 20)));
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let facts: Facts = toml::from_str(text).map_err(|error| Error::invalid(format!("{FACTS}: {error}")))?;
    if let Some(genres) = &facts.genres {
        let mut seen = std::collections::BTreeSet::new();
        if genres.is_empty() || !genres.iter().all(|genre| !genre.trim().is_empty() && seen.insert(genre)) {
            return Err(Error::invalid(format!("{FACTS}: genres must be one or more different names")));
        }
    }
    Ok(facts)
}

/// Detects the layout whose files all exist.
fn detect(files: &dyn Files) -> Result<Layout> {
    let has = |name: &str| files.has(name);
    let mut found = Vec::new();
    if has(flickscore::RATINGS) && has(movies::FILE) {
        found.push((Layout::Flickscore, flickscore::RATINGS));
    }
    if has(movielens::U_DATA) && has(movielens::U_ITEM) {
        found.push((Layout::Movielens100k, movielens::U_DATA));
    }
    if has(plain::RATINGS) && has(movies::FILE) {
        found.push((Layout::Plain, plain::RATINGS));
    }
    match found.as_slice() {
        [(Layout::Plain, _)] => stars_or_labels(files),
        [(layout, _)] => Ok(*layout),
        [] => {
            let tops: Vec<&str> =
                files.names().iter().map(String::as_str).filter(|name| !name.contains('/')).take(10).collect();
            let there = if tops.is_empty() { "no file".to_owned() } else { tops.join(", ") };
            Err(Error::invalid(format!(
                "no dataset found. Looked for movies.csv with ratings.json (Flickscore), u.item with u.data (MovieLens 100K), \
                 movies.csv with ratings.csv (MovieLens, or plain with the columns user,movie,label). Files at the top: {there}"
            )))
        }
        several => {
            let ratings: Vec<&str> = several.iter().map(|(_, file)| *file).collect();
            let ratings = ratings.join(" and ");
            Err(Error::invalid(format!("two datasets in one folder: {ratings} both hold ratings. Remove one")))
        }
    }
}

fn stars_or_labels(files: &dyn Files) -> Result<Layout> {
    let table = Table::open(plain::RATINGS, files.open(plain::RATINGS)?, Format::CSV)?;
    if table.column(&plain::LABEL).is_some() {
        return Ok(Layout::Plain);
    }
    table.required(&["rating", "label"]).map(|_| Layout::MovielensCsv)
}
