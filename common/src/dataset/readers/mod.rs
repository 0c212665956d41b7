//! Detects the layout of a dataset's folder and reads it.

mod assembly;
pub(super) mod csv_table;
mod files;
mod flickscore;
pub(super) mod json_lines;
pub(super) mod layout;
mod lists;
mod lone_table;
pub(super) mod movie_ids;
mod movielens;
mod movies;
mod new_movies;
mod parquet_catalogue;
mod plain;
pub(super) mod reading;
mod records;
pub(super) mod reject;
mod scale;
mod settings;
mod sorted_movies;
mod survey;
pub(super) mod trailers;
mod users;

use std::io::Read;

use super::genres;
use super::normal_form::Dataset;
use crate::error::{Error, Result};

use assembly::Assembly;
pub use files::{Fetched, FetchedTable, Files, Folder};
pub use layout::{Facts, Layout};
pub use new_movies::{NewMovies, read_movies};
use reading::Reading;
pub use reject::{MAX_LISTED, Reject, id_of_file_name, is_movie_id};
pub use scale::Scale;
pub use settings::ReadSettings;
pub use trailers::TRAILER_EXTENSIONS;

/// Every file that a reader may open: what a caller fetches from an object store for
/// [`Fetched`](super::Fetched).
pub const TABLE_FILES: [&str; 12] = [
    FACTS,
    movies::FILE,
    parquet_catalogue::FILE,
    users::FILE,
    flickscore::RATINGS,
    plain::RATINGS,
    movielens::U_DATA,
    movielens::U_ITEM,
    movielens::U_USER,
    movielens::RATINGS_DAT,
    movielens::MOVIES_DAT,
    movielens::USERS_DAT,
];

const FACTS: &str = "dataset.toml";

/// How the name of a catalogue that is one file ends.
pub const CATALOGUES: [&str; 3] = [".csv", ".tsv", ".parquet"];

/// Reads a dataset in any of the layouts.
///
/// # Errors
/// Invalid input by the [rules of the module](super); the errors of [`Files::open`].
pub fn read(files: &dyn Files, settings: &ReadSettings) -> Result<Reading> {
    let within = |error: Error| error.context(format!("read the dataset in {}", files.location()));
    match parquet_catalogue::of(files).map_err(within)? {
        Some(files) => read_files(&files, settings).map(parquet_catalogue::named).map_err(within),
        None => read_files(files, settings).map_err(within),
    }
}

fn read_files(files: &dyn Files, settings: &ReadSettings) -> Result<Reading> {
    settings.check()?;
    let facts = facts(files)?;
    let layout = detect(files)?;
    let mut assembly = Assembly::default();
    let (read_as, tables) = match layout {
        Layout::Flickscore => {
            (flickscore::read(files, settings, &mut assembly)?, [flickscore::RATINGS, movies::FILE, users::FILE])
        }
        Layout::Movielens100k => (
            movielens::read_100k(files, settings, &mut assembly)?,
            [movielens::U_DATA, movielens::U_ITEM, movielens::U_USER],
        ),
        Layout::MovielensDat => (
            movielens::read_dat(files, settings, &mut assembly)?,
            [movielens::RATINGS_DAT, movielens::MOVIES_DAT, movielens::USERS_DAT],
        ),
        Layout::Trailers => {
            if files.has(movies::FILE) {
                movies::read(files, &mut assembly, false)?;
            } else {
                trailers::add_movies(files.names(), &mut assembly);
            }
            let read_as = "no ratings: trailers are extracted, and nothing is trained".to_owned();
            (read_as, ["", movies::FILE, ""])
        }
        Layout::MovielensCsv | Layout::Plain => {
            (plain::read(files, layout, settings, &mut assembly)?, [plain::RATINGS, movies::FILE, users::FILE])
        }
    };
    let top = layout == Layout::Trailers && !files.has(movies::FILE);
    let is_read = |name: &str| name == FACTS || tables.contains(&name) || (top && trailers::is_video(name));
    let at_the_top = files.names().iter().filter(|name| !name.contains('/'));
    let unread: Vec<String> = at_the_top.filter(|name| !is_read(name)).map(str::to_owned).collect();
    assembly.note("files", "folder", &unread);
    let [ratings_file, movies_file, _] = tables;
    let ratings_file = (layout != Layout::Trailers).then_some(ratings_file);
    let trailers = trailers::assign(files.names(), top, &mut assembly);
    let stated = std::mem::take(&mut assembly.stated);
    let assembled = assembly.finish(ratings_file, movies_file, settings.max_rejected_percent)?;
    let folder = files.location().trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
    // A catalogue that is one file gives its name without the extension.
    let folder = folder.map(|name| CATALOGUES.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name));
    let dataset = Dataset {
        name: facts.name.unwrap_or_else(|| folder.unwrap_or(layout.name()).to_owned()),
        synthetic: facts.synthetic,
        genres: facts.genres.unwrap_or_else(|| genres::vocabulary(&assembled.movies)),
        movies: assembled.movies,
        users: assembled.users,
        ratings: assembled.ratings,
        times: assembled.times,
    };
    Ok(Reading {
        dataset,
        layout,
        read_as,
        notes: assembled.notes,
        note: facts.note,
        trailers: trailers.chosen,
        other_trailers: trailers.others,
        stated,
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
        return Err(Error::invalid(format!(
            "{FACTS} is larger than {} MiB: keep only name, synthetic, note and genres",
            MAX >> 20
        )));
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
    if has(movielens::RATINGS_DAT) && has(movielens::MOVIES_DAT) {
        found.push((Layout::MovielensDat, movielens::RATINGS_DAT));
    }
    if has(plain::RATINGS) && has(movies::FILE) {
        found.push((Layout::Plain, plain::RATINGS));
    }
    match found.as_slice() {
        [(Layout::Plain, _)] => plain::layout(files),
        [(layout, _)] => Ok(*layout),
        [] if !has(plain::RATINGS) && trailers::any(files.names()) => Ok(Layout::Trailers),
        [] if !has(plain::RATINGS) && has(movies::FILE) && movies::names_trailers(files)? => Ok(Layout::Trailers),
        [] => {
            if let Some(why) = lone_table::why(files, &CATALOGUES)? {
                return Err(Error::invalid(why));
            }
            let tops: Vec<&str> = files.names().iter().filter(|name| !name.contains('/')).take(10).collect();
            let there = if tops.is_empty() { "no file".to_owned() } else { tops.join(", ") };
            Err(Error::invalid(format!(
                "no dataset found. Looked for movies.csv with ratings.json (Flickscore), u.item with u.data (MovieLens 100K), \
                 movies.dat with ratings.dat (MovieLens 1M and 10M), movies.csv with ratings.csv (columns user,movie,rating), or trailers without ratings. Files at the top: {there}"
            )))
        }
        several => {
            let ratings: Vec<&str> = several.iter().map(|(_, file)| *file).collect();
            let ratings = ratings.join(" and ");
            Err(Error::invalid(format!("two datasets in one folder: {ratings} both hold ratings. Remove one")))
        }
    }
}
