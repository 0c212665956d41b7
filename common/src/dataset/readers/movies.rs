//! `movies.csv`, whose columns have various names.

use serde_json::Value;

use super::assembly::Assembly;
use super::csv_table::{Format, Table};
use super::files::Files;
use super::reject::{Rejects, excerpt};
use crate::dataset::normal_form::Movie;
use crate::error::Result;

/// The file's name.
pub(super) const FILE: &str = "movies.csv";

/// Cells that mean unknown.
const UNKNOWN: [&str; 7] = ["", "NA", "N/A", "nan", "NaN", "null", "(no genres listed)"];

/// Names of the id column.
const ID: &[&str] = &["movie_id", "movieid", "_id", "id", "imdb_id", "tconst", "movie"];

/// Names of the other columns: name, genre, description, language, released, rating, writer,
/// director, cast.
const COLUMNS: [&[&str]; 9] = [
    &["name", "title", "movie_name"],
    &["genre", "genres"],
    &["description", "plot", "overview", "summary"],
    &["language", "languages"],
    &["released", "release_date", "year"],
    &["rating", "imdb_rating", "imdbrating"],
    &["writer", "writers"],
    &["director", "directors"],
    &["cast", "actors"],
];

/// Reads the catalogue. `year_in_title`: titles end in ` (1995)`, as MovieLens writes them.
pub(super) fn read(files: &dyn Files, assembly: &mut Assembly, year_in_title: bool) -> Result<()> {
    let mut table = Table::open(FILE, files.open(FILE)?, Format::CSV)?;
    let id = table.required(ID)?;
    let [name, genre, description, language, released, rating, writer, director, cast] =
        COLUMNS.map(|names| table.column(names));
    let is_read = |column: &String| COLUMNS.iter().chain([&ID]).any(|names| names.contains(&column.as_str()));
    assembly.unread_columns = table.header().iter().filter(|column| !is_read(column)).cloned().collect();
    while let Some(row) = table.next()? {
        let subject = row.cell(Some(id));
        let mut cells = Cells { subject, line: row.line, rejects: &mut assembly.rejects };
        let mut title = known(row.cell(name));
        let mut year = cells.year(row.cell(released));
        if year_in_title && let Some((bare, in_title)) = split_year(title) {
            title = bare;
            year = year.or(Some(in_title));
        }
        let movie = Movie {
            id: subject.to_owned(),
            name: if title.is_empty() { subject } else { title }.to_owned(),
            genres: cells.list("genre", row.cell(genre)),
            description: known(row.cell(description)).to_owned(),
            languages: cells.list("language", row.cell(language)),
            year,
            rating: cells.rating(row.cell(rating)),
            writers: cells.list("writer", row.cell(writer)),
            directors: cells.list("director", row.cell(director)),
            cast: cells.list("cast", row.cell(cast)),
            released: known(row.cell(released)).to_owned(),
        };
        assembly.movie(FILE, row.line, movie);
    }
    assembly.movies_complete();
    Ok(())
}

/// Returns the text of a cell, empty if it means unknown.
fn known(cell: &str) -> &str {
    if UNKNOWN.contains(&cell) { "" } else { cell }
}

/// Reads the cells of one movie. A cell that cannot be read is a reject and counts as missing.
struct Cells<'a> {
    subject: &'a str,
    line: u64,
    rejects: &'a mut Rejects,
}

impl Cells<'_> {
    fn reject(&mut self, cell: &str, reason: String) {
        let subject = format!("movie {}, cell {cell}", excerpt(self.subject));
        self.rejects.add(FILE, Some(self.line), subject, reason);
    }

    fn list(&mut self, column: &str, cell: &str) -> Vec<String> {
        let items = if !cell.starts_with('[') {
            split_list(known(cell))
        } else {
            match json_list(cell) {
                Some(items) => items,
                None => {
                    self.reject(column, format!("not a JSON list of texts: {}", excerpt(cell)));
                    Vec::new()
                }
            }
        };
        let mut list: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let item = known(item.trim());
            if !item.is_empty() && !list.iter().any(|seen| seen == item) {
                list.push(item.to_owned());
            }
        }
        list
    }

    fn year(&mut self, cell: &str) -> Option<i32> {
        let year = year_in(known(cell));
        if year.is_none() && !known(cell).is_empty() {
            self.reject("released", format!("no year from 1870 to 2100 in {}", excerpt(cell)));
        }
        year
    }

    fn rating(&mut self, cell: &str) -> Option<f32> {
        if known(cell).is_empty() {
            return None;
        }
        let rating = cell.parse().ok().filter(|rating| (0.0..=10.0).contains(rating));
        if rating.is_none() {
            self.reject("rating", format!("not a number from 0 to 10: {}", excerpt(cell)));
        }
        // Adding zero turns -0 into 0, so that equal ratings give equal bytes.
        rating.map(|rating: f32| rating + 0.0)
    }
}

fn json_list(cell: &str) -> Option<Vec<String>> {
    let text = |value: Value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    };
    serde_json::from_str::<Vec<Value>>(cell).ok()?.into_iter().map(text).collect()
}

/// Splits a list that is not JSON: at `|` if there is one, else at `;`, else at `,`.
fn split_list(cell: &str) -> Vec<String> {
    let mark = ['|', ';'].into_iter().find(|&mark| cell.contains(mark)).unwrap_or(',');
    cell.split(mark).map(str::to_owned).collect()
}

/// Returns the first number of exactly four digits, from 1870 to 2100, in a date of any format.
pub(super) fn year_in(text: &str) -> Option<i32> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| digits.len() == 4)
        .filter_map(|digits| digits.parse().ok())
        .find(|year| (1870..=2100).contains(year))
}

/// Splits `Toy Story (1995)` into name and year.
pub(super) fn split_year(title: &str) -> Option<(&str, i32)> {
    let (bare, rest) = title.trim_end().rsplit_once('(')?;
    let digits = rest.strip_suffix(')')?;
    if digits.len() != 4 {
        return None;
    }
    Some((bare.trim_end(), year_in(digits)?))
}
