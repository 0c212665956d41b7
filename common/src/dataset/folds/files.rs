//! Reads the rows of folds from files and folders, whatever their format.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::json;
use super::natural_order;
use super::rows::{LocatedRow, MOVIE, Marks, Row, USER, is_validation};
use crate::dataset::readers::csv_table::{Delimiter, Encoding, Format, Row as Cells, Table};
use crate::dataset::readers::json_lines::{Line, Lines};
use crate::dataset::readers::reject::Rejects;
use crate::error::{Error, Result};

/// Names of the column with the fold of a row.
const FOLD: [&str; 8] = ["fold", "fold_id", "foldid", "fold_number", "fold_no", "test_fold", "cv_fold", "split"];

/// Names of the column that marks a row as train or test.
const SET: [&str; 6] = ["set", "subset", "part", "partition", "split", "usage"];

/// Reads the rows of each fold of one file.
pub(super) fn file(path: &Path, marks: &Marks) -> Result<Vec<(String, Vec<LocatedRow>)>> {
    let name = file_name(path);
    let bytes = contents(path)?;
    if let Some(document) = document(&bytes) {
        let located = |rows: Vec<Row>| {
            rows.into_iter().map(|row| LocatedRow { file: name.clone(), line: 1, row, is_guessed: false }).collect()
        };
        return Ok(match json::folds(&document, marks)? {
            Some(folds) => folds.into_iter().map(|(fold, rows)| (fold, located(rows))).collect(),
            None => vec![(name.clone(), located(json::rows_of_fold(&document, marks)?))],
        });
    }
    if starts_with(&bytes, b"{") {
        return json_lines(&name, &bytes, marks);
    }
    let mut table = Table::open(&name, Box::new(bytes.as_slice()), format(&bytes, true))?;
    let (user, movie) = (table.column(&USER), table.column(&MOVIE));
    let fold = table.column(&FOLD);
    let set = table.column(&SET).filter(|set| Some(*set) != fold);
    let (Some(fold_column), true) = (fold.or(set), user.is_some() || movie.is_some()) else {
        if fold.is_some() {
            return Err(Error::invalid(format!(
                "{name} line 1: no column user or movie in addition to `fold`; it has {}",
                table.header().iter().take(20).cloned().collect::<Vec<_>>().join(", ")
            )));
        }
        if user.is_some() || movie.is_some() {
            check_columns(&name, table.header())?;
        }
        return Ok(vec![(name.clone(), list_file(&name, &bytes, marks)?)]);
    };
    let mut folds: BTreeMap<String, Vec<LocatedRow>> = BTreeMap::new();
    let mut rejects = Rejects::default();
    while let Some(row) = table.next(&mut rejects)? {
        let of = row.cell(Some(fold_column)).to_owned();
        let is_number = of.parse::<f64>();
        if of.is_empty() || is_number.is_ok_and(|number| number.is_nan() || number < 0.0) {
            return Err(Error::invalid(format!(
                "{name} line {}: `{}` names no fold: write `train` in rows that no fold tests",
                row.line,
                of.escape_debug()
            )));
        }
        // `train` and `test` are not folds: the rows marked test form the only one.
        if marks.trains(&of) || set.is_some_and(|set| marks.trains(row.cell(Some(set)))) {
            continue;
        }
        let located = LocatedRow {
            file: name.clone(),
            line: row.line,
            row: row_of(row.cell(user), row.cell(movie), &name, row.line)?,
            is_guessed: false,
        };
        folds.entry(of).or_default().push(located);
    }
    all_are_read(&rejects)?;
    let is_split = table.header().get(fold_column).is_some_and(|name| name == "split");
    if is_split && folds.len() == 2 && folds.keys().all(|name| name == "0" || name == "1") {
        return Err(Error::invalid(format!(
            "{name}: the column split holds 0 and 1, two folds or train and test: name it `fold`, or write train and test"
        )));
    }
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    Ok(folds)
}

/// Refuses a list of tested rows with a column of an unknown meaning: it may say which rows are
/// tested.
fn check_columns(file: &str, header: &[String]) -> Result<()> {
    /// Columns that a list of pairs may have in addition to user and movie.
    const HARMLESS: [&str; 16] = [
        "",
        "rating",
        "label",
        "score",
        "stars",
        "feedback",
        "class",
        "timestamp",
        "time",
        "date",
        "title",
        "name",
        "genre",
        "genres",
        "index",
        "weight",
    ];
    let known = |name: &str| {
        let lists: [&[&str]; 4] = [&USER, &MOVIE, &SET, &HARMLESS];
        lists.iter().any(|list| list.contains(&name)) || name.starts_with("unnamed")
    };
    match header.iter().find(|name| !known(name)) {
        Some(name) => Err(Error::invalid(format!(
            "{file}: the column `{}` may say which rows are tested: name it `fold` (a fold's number or name) or `set` (train \
             or test), or remove it",
            name.escape_debug()
        ))),
        None => Ok(()),
    }
}

/// Refuses a table with a row that cannot be read: a fold must test exactly what it lists.
fn all_are_read(rejects: &Rejects) -> Result<()> {
    match rejects.listed.first() {
        Some(first) => Err(Error::invalid(first.to_string())),
        None => Ok(()),
    }
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

/// Parses the file as one JSON document, unless it is in Flickscore's JSON lines.
fn document(bytes: &[u8]) -> Option<serde_json::Value> {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let begins = starts_with(text, b"[") || starts_with(text, b"{");
    begins.then(|| serde_json::from_slice(text).ok()).flatten()
}

/// Reads the rows of each fold of a folder.
pub(super) fn folder(path: &Path, marks: &Marks) -> Result<Vec<(String, Vec<LocatedRow>)>> {
    let mut files = Vec::new();
    list(path, path, 0, &mut files)?;
    let has = |name: &str, word: &str| name.to_ascii_lowercase().contains(word);
    if files.iter().any(|(name, _)| has(name, "test")) {
        files.iter().filter(|(name, _)| !has(name, "test") && is_of_validation(name)).for_each(|_| marks.count());
        files.retain(|(name, _)| has(name, "test"));
    } else if let Some((name, _)) = files.iter().find(|(name, _)| has(name, "train") || has(name, "base")) {
        return Err(Error::invalid(format!(
            "{name} is a training set and no file's name contains `test`: give the lists of what each fold tests"
        )));
    }
    // MovieLens has u1.test to u5.test, and two splits of another kind (ua, ub).
    let other_kind = |name: &str| matches!(name, "ua.test" | "ub.test");
    if files.iter().any(|(name, _)| !other_kind(name)) {
        files.retain(|(name, _)| !other_kind(name));
    }
    files.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    files.into_iter().map(|(name, path)| Ok((name.clone(), list_file(&name, &contents(&path)?, marks)?))).collect()
}

/// Whether a file's name holds the word for validation: `val.csv`, `fold1_valid.txt`.
fn is_of_validation(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphabetic()).any(is_validation)
}

fn contents(path: &Path) -> Result<Vec<u8>> {
    /// The largest file: no list of folds has twenty million rows.
    const MAX: u64 = 512 << 20;
    let within = |e: std::io::Error| Error::from(e).context(format!("read {}", path.display()));
    if std::fs::metadata(path).map_err(within)?.len() > MAX {
        return Err(Error::invalid(format!(
            "{} is larger than {} MiB: keep only lists of folds",
            path.display(),
            MAX >> 20
        )));
    }
    std::fs::read(path).map_err(within)
}

/// Lists every file below `path` that is neither hidden nor an editor's backup, by its path below
/// `root`.
fn list(root: &Path, path: &Path, depth: usize, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    /// Nested folders: `fold1/test/users.csv`.
    const DEPTH: usize = 3;
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let name = file_name(&path);
        if name.starts_with('.') || ["~", ".bak", ".orig", ".swp"].iter().any(|end| name.ends_with(end)) {
            continue;
        }
        if path.is_file() && !is_table(&path, &name)? {
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

/// Whether a file may list a fold: a text, and not one that describes or reads the folds.
fn is_table(path: &Path, name: &str) -> Result<bool> {
    const OTHER: [&str; 16] = [
        "md", "rst", "toml", "yaml", "yml", "py", "ipynb", "log", "html", "jpg", "jpeg", "png", "gif", "webp", "pdf",
        "zip",
    ];
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_other = OTHER.iter().any(|other| extension.eq_ignore_ascii_case(other));
    let is_about = ["readme", "license", "licence", "source"].contains(&stem.to_ascii_lowercase().as_str());
    if is_other || is_about {
        return Ok(false);
    }
    let mut start = Vec::new();
    std::fs::File::open(path)?.take(4096).read_to_end(&mut start)?;
    // UTF-16 has a byte order mark, and is refused with a reason when it is read.
    Ok(start.starts_with(b"\xFF\xFE") || start.starts_with(b"\xFE\xFF") || !start.contains(&0))
}

/// Reads the rows of one fold's file.
fn list_file(name: &str, bytes: &[u8], marks: &Marks) -> Result<Vec<LocatedRow>> {
    if let Some(document) = document(bytes) {
        let rows = json::rows_of_fold(&document, marks).map_err(|e| e.context(name.to_owned()))?;
        return Ok(rows
            .into_iter()
            .map(|row| LocatedRow { file: name.to_owned(), line: 1, row, is_guessed: false })
            .collect());
    }
    if starts_with(bytes, b"{") {
        return Ok(json_lines(name, bytes, marks)?.into_iter().flat_map(|(_, rows)| rows).collect());
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let mut table = Table::open(name, Box::new(bytes), format(text, false))?;
    let mut columns: Option<Columns> = None;
    let mut rows = Vec::new();
    let mut rejects = Rejects::default();
    let mut is_named = false;
    while let Some(row) = table.next(&mut rejects)? {
        let known = columns.is_some();
        let Columns { user, movie, set, ids } = *columns.get_or_insert_with(|| Columns::of(&row));
        is_named |= !known && Columns::is_header(&row);
        if !known && (user.is_some() || movie.is_some()) && !ids && Columns::is_header(&row) {
            continue;
        }
        if set.is_some_and(|set| marks.trains(row.cell(Some(set)))) {
            continue;
        }
        let is_guessed = !is_named && !ids && row.len() > 2;
        let mut push = |row: Row, line| rows.push(LocatedRow { file: name.to_owned(), line, row, is_guessed });
        if ids {
            let cells = (0..row.len()).map(|i| row.cell(Some(i)).to_owned()).filter(|id| !id.is_empty());
            cells.for_each(|id| push(Row::Id(id), row.line));
        } else {
            push(row_of(row.cell(user), row.cell(movie), name, row.line)?, row.line);
        }
    }
    all_are_read(&rejects)?;
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
    /// Chooses the columns by the first row, which is a header or data.
    fn of(row: &Cells<'_>) -> Columns {
        /// Tables of pairs also have labels and times, but not more columns than this: longer rows
        /// are lists of ids.
        const WIDEST: usize = 6;
        let (user, movie) = (Self::position(row, &USER), Self::position(row, &MOVIE));
        if user.is_some() || movie.is_some() {
            return Columns { user, movie, set: Self::position(row, &SET), ids: false };
        }
        let ids = row.len() == 1 || row.len() > WIDEST;
        Columns { user: Some(0), movie: Some(1), set: None, ids }
    }

    fn is_header(row: &Cells<'_>) -> bool {
        Self::position(row, &USER).is_some() || Self::position(row, &MOVIE).is_some()
    }

    /// Returns the column with the most reliable of these names.
    fn position(row: &Cells<'_>, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| (0..row.len()).find(|&i| row.cell(Some(i)).eq_ignore_ascii_case(name)))
    }
}

/// Reads JSON lines in Flickscore's format or with named fields: the rows of each fold, or of one
/// fold if the lines name none.
fn json_lines(name: &str, bytes: &[u8], marks: &Marks) -> Result<Vec<(String, Vec<LocatedRow>)>> {
    let mut lines = Lines::new(name, Box::new(bytes));
    let mut folds: BTreeMap<String, Vec<LocatedRow>> = BTreeMap::new();
    while let Some((line, text)) = lines.next()? {
        let Line::Text(text) = text else {
            return Err(Error::invalid(format!("{name} line {line} is too long: write one fold or one pair per line")));
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let wrong = |e: &dyn std::fmt::Display| Error::invalid(format!("{name} line {line}: not a JSON object: {e}"));
        let value: serde_json::Value = serde_json::from_slice(text).map_err(|e| wrong(&e))?;
        let (fold, rows) = json::rows_of_line(&value, marks).map_err(|e| e.context(format!("{name} line {line}")))?;
        let located = rows.into_iter().map(|row| LocatedRow { file: name.to_owned(), line, row, is_guessed: false });
        folds.entry(fold.unwrap_or_else(|| name.to_owned())).or_default().extend(located);
    }
    let mut folds: Vec<_> = folds.into_iter().collect();
    folds.sort_by(|a, b| natural_order::order(&a.0, &b.0));
    Ok(folds)
}

/// Detects the delimiter: the first of tab, comma, semicolon, bar and space that occurs in the
/// first line.
fn format(bytes: &[u8], header: bool) -> Format {
    let first = bytes.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or(&[]);
    let delimiter = b"\t,;| ".iter().copied().find(|delimiter| first.trim_ascii().contains(delimiter)).unwrap_or(b',');
    Format { delimiter: Delimiter::Byte(delimiter), header, quotes: true, encoding: Encoding::Utf8 }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
