//! Folds that somebody else has published: which users, movies or pairs each of them tests.
//!
//! | what | form |
//! |---|---|
//! | a file | CSV (also `;`, tabs, bars or spaces) with a column `fold` (or `split` or `set` with the words train and test) and `user`, `movie` or both, a row for each user, movie or pair |
//! | | a table without such a column, such as MovieLens' `u1.test`, or a list of ids: one fold, which tests what it lists |
//! | | JSON: an object or a list of folds; rows with a field `fold`; an object that gives each user a fold |
//! | a folder | a file for each fold, which lists what it tests |
//!
//! In a folder the files whose path below it contains `test` are the folds, in the order of the numbers in their names; others (`train`, `u1.base`) are not
//! read, and neither are `ua.test` and `ub.test` beside `u1.test`. Where none is called so, every file is a fold. A fold's file is a list of ids; a table of user and movie,
//! with or without a header, as MovieLens' `u1.test`; Flickscore's JSON lines; or a JSON document: a list of ids, pairs, or objects in Flickscore's
//! form, by itself or as the field `test`. Columns beside these, labels too, are not read: what a viewer said is what the dataset says. Rows of a set
//! that is called train are not tested.
//!
//! Everything that a fold does not test it trains on. Rows of users, movies or pairs that the dataset does not have are counted and passed over.

mod json;
mod natural_order;
mod rows;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Reject;
use super::normal_form::Dataset;
use super::readers::csv_table::{Format, Row as Cells, Table};
use super::readers::json_lines::{Line, Lines};
use super::readers::reject::{Rejects, excerpt};
use crate::error::{Error, Result};

use rows::{MOVIE, Row, USER, is_test};

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

/// A row with the file and line that it stands on.
struct Placed {
    file: String,
    line: u64,
    row: Row,
}

/// Names of the columns that tell a row's fold.
const FOLD: [&str; 8] = ["fold", "fold_id", "foldid", "fold_number", "fold_no", "test_fold", "cv_fold", "split"];
/// Names of the columns that tell whether a row is tested.
const SET: [&str; 6] = ["set", "subset", "part", "partition", "split", "usage"];
/// What is said where folds cannot be read.
const FORMS: &str = "accepted are a CSV with a column `fold` (or `split` with train and test) and user, movie or both; a folder with a file a fold that lists what it tests; \
     JSON of either (common/src/dataset/folds/mod.rs has all forms)";

/// Reads the folds of `dataset` from a file or a folder.
///
/// # Errors
/// Invalid input, with file and line, where the files cannot be read, rows are of different kinds, nothing in them is known, a fold tests nothing, or
/// two folds test the same.
pub fn read_folds(path: &Path, dataset: &Dataset) -> Result<GivenFolds> {
    let within = |e: Error| e.context(format!("the folds in {}", path.display()));
    let rows = if path.is_dir() { folder(path) } else { file(path) };
    let mut rows = rows.map_err(|e| within(e).context(FORMS))?;
    settle(&mut rows, dataset);
    assign(rows, dataset).map_err(within)
}

/// The rows of each fold of one file.
fn file(path: &Path) -> Result<Vec<(String, Vec<Placed>)>> {
    let name = file_name(path);
    let bytes = contents(path)?;
    if let Some(document) = document(&bytes) {
        let placed = |rows: Vec<Row>| rows.into_iter().map(|row| Placed { file: name.clone(), line: 1, row }).collect();
        return Ok(match json::folds(&document)? {
            Some(folds) => folds.into_iter().map(|(fold, rows)| (fold, placed(rows))).collect(),
            None => vec![(name.clone(), placed(json::rows_of_fold(&document)?))],
        });
    }
    if starts_with(&bytes, b"{") {
        return json_lines(&name, &bytes);
    }
    let mut table = Table::open(&name, Box::new(bytes.as_slice()), format(&bytes, true))?;
    let (user, movie) = (table.column(&USER), table.column(&MOVIE));
    let fold = table.column(&FOLD);
    let set = table.column(&SET).filter(|set| Some(*set) != fold);
    let (Some(tells), true) = (fold.or(set), user.is_some() || movie.is_some()) else {
        if fold.is_some() {
            return Err(Error::invalid(format!(
                "{name} line 1: no column user or movie beside `fold`; it has {}",
                table.header().iter().take(20).cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        return Ok(vec![(name.clone(), list_file(&name, &bytes)?)]);
    };
    let mut folds: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    while let Some(row) = table.next()? {
        let of = row.cell(Some(tells)).to_owned();
        if of.is_empty() {
            return Err(Error::invalid(format!("{name} line {}: no fold is named", row.line)));
        }
        // Train and test are no folds: what is called test is the one that there is.
        if is_test(&of) == Some(false) || set.is_some_and(|set| is_test(row.cell(Some(set))) == Some(false)) {
            continue;
        }
        let placed = Placed {
            file: name.clone(),
            line: row.line,
            row: row_of(row.cell(user), row.cell(movie), &name, row.line)?,
        };
        folds.entry(of).or_default().push(placed);
    }
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    Ok(folds)
}

fn row_of(user: &str, movie: &str, file: &str, line: u64) -> Result<Row> {
    match (user.is_empty(), movie.is_empty()) {
        (false, false) => Ok(Row::Pair(user.to_owned(), movie.to_owned())),
        (false, true) => Ok(Row::User(user.to_owned())),
        (true, false) => Ok(Row::Movie(movie.to_owned())),
        (true, true) => Err(Error::invalid(format!("{file} line {line}: neither a user nor a movie"))),
    }
}

fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start().starts_with(start)
}

/// The file as one JSON document that is no single line of Flickscore's form.
fn document(bytes: &[u8]) -> Option<serde_json::Value> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let begins = starts_with(text, b"[") || starts_with(text, b"{");
    begins.then(|| serde_json::from_slice(text).ok()).flatten()
}

/// The rows of each fold of a folder.
fn folder(path: &Path) -> Result<Vec<(String, Vec<Placed>)>> {
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
    // MovieLens has u1.test to u5.test, and two splits of another kind beside them.
    let other_kind = |name: &str| matches!(name, "ua.test" | "ub.test");
    if files.iter().any(|(name, _)| !other_kind(name)) {
        files.retain(|(name, _)| !other_kind(name));
    }
    files.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    files.into_iter().map(|(name, path)| Ok((name.clone(), list_file(&name, &contents(&path)?)?))).collect()
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

/// Every file below `path` that is neither hidden nor a copy that an editor left, by its path below `root`.
fn list(root: &Path, path: &Path, depth: usize, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    /// Folders in folders: `fold1/test/users.csv`.
    const DEPTH: usize = 3;
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = file_name(&path);
        if name.starts_with('.') || ["~", ".bak", ".orig", ".swp"].iter().any(|end| name.ends_with(end)) {
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
fn list_file(name: &str, bytes: &[u8]) -> Result<Vec<Placed>> {
    if let Some(document) = document(bytes) {
        let rows = json::rows_of_fold(&document).map_err(|e| e.context(name.to_owned()))?;
        return Ok(rows.into_iter().map(|row| Placed { file: name.to_owned(), line: 1, row }).collect());
    }
    if starts_with(bytes, b"{") {
        return Ok(json_lines(name, bytes)?.into_iter().flat_map(|(_, rows)| rows).collect());
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut table = Table::open(name, Box::new(bytes), format(text, false))?;
    let mut columns: Option<Columns> = None;
    let mut rows = Vec::new();
    while let Some(row) = table.next()? {
        let known = columns.is_some();
        let Columns { user, movie, set, ids } = *columns.get_or_insert_with(|| Columns::of(&row));
        if !known && (user.is_some() || movie.is_some()) && !ids && Columns::is_header(&row) {
            continue;
        }
        if set.is_some_and(|set| is_test(row.cell(Some(set))) == Some(false)) {
            continue;
        }
        let mut push = |row: Row, line| rows.push(Placed { file: name.to_owned(), line, row });
        if ids {
            let cells = (0..row.len()).map(|i| row.cell(Some(i)).to_owned()).filter(|id| !id.is_empty());
            cells.for_each(|id| push(Row::Id(id), row.line));
        } else {
            push(row_of(row.cell(user), row.cell(movie), name, row.line)?, row.line);
        }
    }
    Ok(rows)
}

/// Which columns of a fold's file are read.
#[derive(Clone, Copy)]
struct Columns {
    user: Option<usize>,
    movie: Option<usize>,
    set: Option<usize>,
    /// Every cell is an id.
    ids: bool,
}

impl Columns {
    /// By the first row: a header, or the first of the rows.
    fn of(row: &Cells<'_>) -> Columns {
        /// Tables of pairs have labels and times beside them, but not more than this: longer rows are lists of ids.
        const WIDEST: usize = 6;
        let (user, movie) = (Self::place(row, &USER), Self::place(row, &MOVIE));
        if user.is_some() || movie.is_some() {
            return Columns { user, movie, set: Self::place(row, &SET), ids: false };
        }
        let ids = row.len() == 1 || row.len() > WIDEST;
        Columns { user: Some(0), movie: Some(1), set: None, ids }
    }

    fn is_header(row: &Cells<'_>) -> bool {
        Self::place(row, &USER).is_some() || Self::place(row, &MOVIE).is_some()
    }

    /// The column of the surest of these names.
    fn place(row: &Cells<'_>, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| (0..row.len()).find(|&i| row.cell(Some(i)).eq_ignore_ascii_case(name)))
    }
}

/// JSON lines, in Flickscore's form or with named fields: the rows of each fold that they name, of one fold where they name none.
fn json_lines(name: &str, bytes: &[u8]) -> Result<Vec<(String, Vec<Placed>)>> {
    let mut lines = Lines::new(name, Box::new(bytes));
    let mut folds: BTreeMap<String, Vec<Placed>> = BTreeMap::new();
    while let Some((line, text)) = lines.next()? {
        let Line::Text(text) = text else { return Err(Error::invalid(format!("{name} line {line}: too long"))) };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |e: &dyn std::fmt::Display| Error::invalid(format!("{name} line {line}: no JSON object: {e}"));
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| wrong(&e))?;
        let (fold, rows) = json::rows_of_line(&value).map_err(|e| e.context(format!("{name} line {line}")))?;
        let placed = rows.into_iter().map(|row| Placed { file: name.to_owned(), line, row });
        folds.entry(fold.unwrap_or_else(|| name.to_owned())).or_default().extend(placed);
    }
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    Ok(folds)
}

/// Decides whether bare ids are those of users or of movies: by all of them together, and where both are possible by the files' names.
fn settle(folds: &mut [(String, Vec<Placed>)], dataset: &Dataset) {
    let bare = || {
        folds.iter().flat_map(|(_, rows)| rows).filter_map(|placed| match &placed.row {
            Row::Id(id) => Some((id.as_str(), placed.file.to_ascii_lowercase())),
            _ => None,
        })
    };
    let users = bare().filter(|(id, _)| dataset.user_index(id).is_some()).count();
    let movies = bare().filter(|(id, _)| dataset.movie_index(id).is_some()).count();
    let called_movies =
        bare().all(|(_, file)| (file.contains("movie") || file.contains("item")) && !file.contains("user"));
    let are_movies = movies > users || (movies == users && movies > 0 && called_movies);
    for placed in folds.iter_mut().flat_map(|(_, rows)| rows) {
        if let Row::Id(id) = &placed.row {
            placed.row = if are_movies { Row::Movie(id.clone()) } else { Row::User(id.clone()) };
        }
    }
}

/// Gives every fold the pairs that its rows name.
fn assign(rows: Vec<(String, Vec<Placed>)>, dataset: &Dataset) -> Result<GivenFolds> {
    let by = kind(&rows)?;
    let mut passed_over = Rejects::default();
    let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
    let (mut folds, mut all_rows) = (Vec::new(), 0u64);
    let all = || (0u32..).zip(&dataset.ratings);
    let mut pairs_of_movie: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    if by == FoldsBy::Movies {
        all().for_each(|(pair, rating)| pairs_of_movie.entry(rating.movie).or_default().push(pair));
    }
    for (number, (name, rows)) in rows.iter().enumerate() {
        let mut test = BTreeSet::new();
        for Placed { file, line, row } in rows {
            let (user, movie) = match row {
                Row::User(user) | Row::Id(user) => (Some(user), None),
                Row::Movie(movie) => (None, Some(movie)),
                Row::Pair(user, movie) => (Some(user), Some(movie)),
            };
            all_rows += 1;
            let place = |found: Option<usize>| found.and_then(|place| u32::try_from(place).ok());
            let user_place = place(user.and_then(|id| dataset.user_index(id)));
            let movie_place = place(movie.and_then(|id| dataset.movie_index(id)));
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
        return Err(Error::invalid(format!("{what}{first}{}", example(dataset))));
    }
    // Folds of more than the dataset are no mistake; folds of something else are.
    if passed_over.count * 10 > all_rows * 9 {
        let first = passed_over.listed.first().map_or_else(String::new, |reject| format!("; {reject}"));
        return Err(Error::invalid(format!(
            "{} of {all_rows} rows name nothing that the dataset has{first}{}",
            passed_over.count,
            example(dataset)
        )));
    }
    Ok(GivenFolds { by, folds, passed_over: passed_over.listed, passed_over_rows: passed_over.count })
}

/// Ids as the dataset has them, for a message.
fn example(dataset: &Dataset) -> String {
    dataset.ratings.first().map_or_else(String::new, |rating| {
        let (user, movie) = (&dataset.users[rating.user as usize].id, &dataset.movies[rating.movie as usize].id);
        format!("; the dataset's ids are like user {user}, movie {movie}")
    })
}

/// What all rows name.
fn kind(rows: &[(String, Vec<Placed>)]) -> Result<FoldsBy> {
    let mut found: Option<(FoldsBy, &Placed)> = None;
    for placed in rows.iter().flat_map(|(_, rows)| rows) {
        let by = match &placed.row {
            Row::Pair(..) => FoldsBy::Pairs,
            Row::User(_) | Row::Id(_) => FoldsBy::Users,
            Row::Movie(_) => FoldsBy::Movies,
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
