//! Folds that somebody else has published: which users, movies or pairs each of them tests.
//!
//! | what | form |
//! |---|---|
//! | a file | CSV (also `;` or tabs) with the columns `fold` and `user`, `movie` or both, a row for each user, movie or pair that a fold tests |
//! | a folder | a file for each fold, which lists what it tests |
//!
//! In a folder the files whose path below it contains `test` are the folds, in the order of the numbers in their names; others (`train`, `u1.base`) are not
//! read, and where some have a number, those without one are not either. Where none is called so, every file is a fold. A fold's file is a list of ids, one a line; a table of user and movie parted by commas, semicolons,
//! tabs, bars or spaces, with or without a header, as MovieLens' `u1.test`; or Flickscore's JSON lines. Columns beside these, labels too, are not read: what a viewer
//! said is what the dataset says.
//!
//! Everything that a fold does not test it trains on. Rows of users, movies or pairs that the dataset does not have are counted and passed over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::csv_table::{Format, Table};
use super::json_lines::{Line, Lines};
use super::reject::{Rejects, excerpt};
use super::{Dataset, Reject, natural, users};
use crate::error::{Error, Result};

/// What the rows of given folds name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldsBy {
    /// Users: all of their pairs.
    Users,
    /// Movies: all of their pairs.
    Movies,
    /// Pairs.
    Pairs,
}

/// One given fold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFold {
    /// Its name in the file, or its file's.
    pub name: String,
    /// The pairs that it tests: indexes into the dataset's ratings, sorted, unique.
    pub test: Vec<u32>,
}

/// Folds as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenFolds {
    /// What the rows name.
    pub by: FoldsBy,
    /// The folds, at least one; none is empty, and no pair is in two.
    pub folds: Vec<GivenFold>,
    /// Rows that name nothing that the dataset has: the first [`MAX_LISTED`](super::MAX_LISTED).
    pub passed_over: Vec<Reject>,
    /// How many such rows there are in all.
    pub passed_over_rows: u64,
}

/// A row: user and movie by id, one of them perhaps absent.
type Row = (Option<String>, Option<String>);

/// A row with the file and line that it stands on.
struct Placed {
    file: String,
    line: u64,
    row: Row,
}

/// Names of the columns that tell a row's fold.
const FOLD: [&str; 4] = ["fold", "fold_id", "split", "test_fold"];
/// Names of the columns that tell a row's movie.
const MOVIE: [&str; 5] = ["movie_id", "movieid", "movie", "item_id", "item"];

/// Reads the folds of `dataset` from a file or a folder.
///
/// # Errors
/// Invalid input, with file and line, where the files cannot be read, rows are of different kinds, nothing in them is known, a fold tests nothing, or
/// two folds test the same.
pub fn read_folds(path: &Path, dataset: &Dataset) -> Result<GivenFolds> {
    let within = |e: Error| e.context(format!("the folds in {}", path.display()));
    let rows = if path.is_dir() { folder(path, dataset) } else { file(path) };
    rows.and_then(|rows| assign(rows, dataset)).map_err(within)
}

/// The rows of each fold of one file.
fn file(path: &Path) -> Result<Vec<(String, Vec<Placed>)>> {
    let name = file_name(path);
    let bytes = contents(path)?;
    let mut table = Table::open(&name, Box::new(bytes.as_slice()), format(&bytes, true))?;
    let fold = table.required(&FOLD)?;
    let (user, movie) = (table.column(&users::ID), table.column(&MOVIE));
    if user.is_none() && movie.is_none() {
        return Err(Error::invalid(format!(
            "{name} line 1: no column user or movie beside `fold`; it has {}",
            table.header().join(", ")
        )));
    }
    let mut folds: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    while let Some(row) = table.next()? {
        let cell = |column: Option<usize>| Some(row.cell(column).to_owned()).filter(|cell| !cell.is_empty());
        let Some(of) = cell(Some(fold)) else {
            return Err(Error::invalid(format!("{name} line {}: no fold is named", row.line)));
        };
        let placed = Placed { file: name.clone(), line: row.line, row: (cell(user), cell(movie)) };
        folds.entry(of).or_default().push(placed);
    }
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| natural::order(&a.0, &b.0));
    Ok(folds)
}

/// The rows of each fold of a folder.
fn folder(path: &Path, dataset: &Dataset) -> Result<Vec<(String, Vec<Placed>)>> {
    let mut files = Vec::new();
    list(path, path, 0, &mut files)?;
    let has = |name: &str, word: &str| name.to_ascii_lowercase().contains(word);
    if files.iter().any(|(name, _)| has(name, "test")) {
        files.retain(|(name, _)| has(name, "test"));
    } else if let Some((name, _)) = files.iter().find(|(name, _)| has(name, "train") || has(name, "base")) {
        return Err(Error::invalid(format!(
            "{name} is a training set and no file's name contains `test`: give the lists of what each fold tests"
        )));
    }
    // MovieLens has u1.test to u5.test, and two splits of another kind beside them: ua.test and ub.test.
    let numbered = |name: &str| name.contains(|c: char| c.is_ascii_digit());
    if files.iter().filter(|(name, _)| numbered(name)).count() > 1 {
        files.retain(|(name, _)| numbered(name));
    }
    files.sort_by(|a, b| natural::order(&a.0, &b.0));
    files.into_iter().map(|(name, path)| Ok((name.clone(), list_file(&name, &contents(&path)?, dataset)?))).collect()
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    /// The longest file: twenty million rows are no list of folds.
    const MAX: u64 = 512 << 20;
    let within = |e: std::io::Error| Error::from(e).context(format!("read {}", path.display()));
    if std::fs::metadata(path).map_err(within)?.len() > MAX {
        return Err(Error::invalid(format!("{}: above {} MiB", path.display(), MAX >> 20)));
    }
    std::fs::read(path).map_err(within)
}

/// Every file below `path` that is not hidden, by its path below `root`.
fn list(root: &Path, path: &Path, depth: usize, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    /// Folders in folders: `fold1/test/users.csv`.
    const DEPTH: usize = 3;
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if file_name(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() && depth < DEPTH {
            list(root, &path, depth + 1, files)?;
        } else if path.is_file() {
            files.push((path.strip_prefix(root).unwrap_or(&path).display().to_string(), path));
        }
    }
    Ok(())
}

/// What one fold's file lists.
fn list_file(name: &str, bytes: &[u8], dataset: &Dataset) -> Result<Vec<Placed>> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"{") {
        return json_lines(name, bytes);
    }
    let mut table = Table::open(name, Box::new(bytes), format(text, false))?;
    let (mut columns, mut rows) = (None, Vec::new());
    while let Some(row) = table.next()? {
        let (user, movie) = match columns {
            Some(columns) => columns,
            None => {
                let place = |names: &[&str]| {
                    let named = |i: &usize| names.contains(&row.cell(Some(*i)).to_ascii_lowercase().as_str());
                    (0..row.len()).find(named)
                };
                let header = (place(&users::ID), place(&MOVIE));
                let (found, is_header) = match (header, row.len()) {
                    ((None, None), 1) => {
                        // One column of ids: of users, unless the first is a movie's and no user's.
                        let id = row.cell(Some(0));
                        let movies = dataset.user_index(id).is_none() && dataset.movie_index(id).is_some();
                        (if movies { (None, Some(0)) } else { (Some(0), None) }, false)
                    }
                    ((None, None), _) => ((Some(0), Some(1)), false),
                    (header, _) => (header, true),
                };
                columns = Some(found);
                if is_header {
                    continue;
                }
                found
            }
        };
        let cell = |column: Option<usize>| Some(row.cell(column).to_owned()).filter(|cell| !cell.is_empty());
        rows.push(Placed { file: name.to_owned(), line: row.line, row: (cell(user), cell(movie)) });
    }
    Ok(rows)
}

/// Flickscore's form: `{"_id": user, "rated": {movie: [...]}}`; a line without `rated` names a whole user.
fn json_lines(name: &str, bytes: &[u8]) -> Result<Vec<Placed>> {
    /// One line.
    #[derive(Deserialize)]
    struct Viewer {
        #[serde(rename = "_id", alias = "user", alias = "user_id")]
        id: String,
        rated: Option<BTreeMap<String, serde_json::Value>>,
    }
    let mut lines = Lines::new(name, Box::new(bytes));
    let mut rows = Vec::new();
    while let Some((line, text)) = lines.next()? {
        let Line::Text(text) = text else { return Err(Error::invalid(format!("{name} line {line}: too long"))) };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let viewer: Viewer = serde_json::from_slice(text)
            .map_err(|e| Error::invalid(format!("{name} line {line}: no object with `_id` and `rated`: {e}")))?;
        let mut push = |movie| {
            rows.push(Placed { file: name.to_owned(), line, row: (Some(viewer.id.clone()), movie) });
        };
        match viewer.rated {
            None => push(None),
            Some(rated) => rated.into_keys().filter(|movie| movie != "submit").for_each(|movie| push(Some(movie))),
        }
    }
    Ok(rows)
}

/// Gives every fold the pairs that its rows name.
fn assign(rows: Vec<(String, Vec<Placed>)>, dataset: &Dataset) -> Result<GivenFolds> {
    let by = kind(&rows)?;
    let mut passed_over = Rejects::default();
    let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
    let mut folds = Vec::new();
    let all = || (0u32..).zip(&dataset.ratings);
    let mut pairs_of_movie: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    if by == FoldsBy::Movies {
        all().for_each(|(pair, rating)| pairs_of_movie.entry(rating.movie).or_default().push(pair));
    }
    for (number, (name, rows)) in rows.iter().enumerate() {
        let mut test = BTreeSet::new();
        for Placed { file, line, row: (user, movie) } in rows {
            let place = |found: Option<usize>| found.and_then(|place| u32::try_from(place).ok());
            let user_place = place(user.as_deref().and_then(|id| dataset.user_index(id)));
            let movie_place = place(movie.as_deref().and_then(|id| dataset.movie_index(id)));
            let named: Vec<u32> = match (by, user_place, movie_place) {
                (FoldsBy::Users, Some(user), _) => {
                    let first = dataset.ratings.partition_point(|rating| rating.user < user);
                    all().skip(first).take_while(|(_, rating)| rating.user == user).map(|(pair, _)| pair).collect()
                }
                (FoldsBy::Movies, _, Some(movie)) => pairs_of_movie.get(&movie).cloned().unwrap_or_default(),
                (FoldsBy::Pairs, Some(user), Some(movie)) => {
                    let place = dataset.ratings.binary_search_by_key(&(user, movie), |r| (r.user, r.movie));
                    place.ok().and_then(|place| u32::try_from(place).ok()).into_iter().collect()
                }
                _ => Vec::new(),
            };
            let subject = || [user, movie].into_iter().flatten().map(|id| excerpt(id)).collect::<Vec<_>>().join(", ");
            if named.is_empty() {
                passed_over.add(file, Some(*line), subject(), "no rating of it in the dataset");
            }
            for pair in named {
                let other = *taken.entry(pair).or_insert(number);
                if other != number {
                    let other = folds.get(other).map_or("", |fold: &GivenFold| fold.name.as_str());
                    let what = format!("{file} line {line}: {}", subject());
                    return Err(Error::invalid(format!(
                        "{what} is tested by the fold {} already: a pair is tested once",
                        excerpt(other)
                    )));
                }
                test.insert(pair);
            }
        }
        folds.push(GivenFold { name: name.clone(), test: test.into_iter().collect() });
    }
    let known = folds.iter().any(|fold| !fold.test.is_empty());
    if let Some(empty) = folds.iter().find(|fold| fold.test.is_empty()) {
        let first = passed_over.listed.first().map_or_else(String::new, |reject| format!("; {reject}"));
        let what = if known {
            format!("the fold {} tests nothing", excerpt(&empty.name))
        } else {
            "nothing is tested".to_owned()
        };
        let example = dataset.ratings.first().map_or_else(String::new, |rating| {
            let (user, movie) = (&dataset.users[rating.user as usize].id, &dataset.movies[rating.movie as usize].id);
            format!("; the dataset's ids are like user {user}, movie {movie}")
        });
        return Err(Error::invalid(format!("{what}{first}{example}")));
    }
    Ok(GivenFolds { by, folds, passed_over: passed_over.listed, passed_over_rows: passed_over.count })
}

/// What all rows name.
fn kind(rows: &[(String, Vec<Placed>)]) -> Result<FoldsBy> {
    let mut found: Option<(FoldsBy, &Placed)> = None;
    for placed in rows.iter().flat_map(|(_, rows)| rows) {
        let by = match &placed.row {
            (Some(_), Some(_)) => FoldsBy::Pairs,
            (Some(_), None) => FoldsBy::Users,
            (None, Some(_)) => FoldsBy::Movies,
            (None, None) => {
                let Placed { file, line, .. } = placed;
                return Err(Error::invalid(format!("{file} line {line}: neither a user nor a movie")));
            }
        };
        match found {
            Some((other, first)) if other != by => {
                return Err(Error::invalid(format!(
                    "{} line {} names {}, {} line {} {}: all rows must name the same",
                    first.file,
                    first.line,
                    other.name(),
                    placed.file,
                    placed.line,
                    by.name()
                )));
            }
            Some(_) => {}
            None => found = Some((by, placed)),
        }
    }
    found.map(|(by, _)| by).ok_or_else(|| Error::invalid("there is no row in it"))
}

impl FoldsBy {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            FoldsBy::Users => "users",
            FoldsBy::Movies => "movies",
            FoldsBy::Pairs => "pairs",
        }
    }
}

/// How the table is written: by the first delimiter of tab, comma, semicolon, bar and space that its first line has.
fn format(bytes: &[u8], header: bool) -> Format {
    let first = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or(&[]);
    let delimiter = b"\t,;| ".iter().copied().find(|delimiter| first.trim_ascii().contains(delimiter)).unwrap_or(b',');
    Format { delimiter, header, quotes: true, latin1: false }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
#[path = "given_folds_tests.rs"]
mod tests;
