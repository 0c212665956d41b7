//! `movies.csv`, whose columns have various names.

use super::assembly::Assembly;
use super::csv_table::{Format, Table};
use super::files::Files;
use super::lists;
use super::reject::{Kind, Rejects, excerpt};
use crate::dataset::normal_form::Movie;
use crate::dataset::stated_content::StatedContent;
use crate::dataset::whole_number::whole;
use crate::error::Result;

/// The file's name.
pub(super) const FILE: &str = "movies.csv";

/// Cells that mean unknown, in lower case: as spreadsheets, pandas, databases and IMDb write them.
const UNKNOWN: [&str; 10] = ["", "na", "n/a", "nan", "null", "none", "\\n", "-", "?", "(no genres listed)"];

/// Titles that mean unknown.
const TITLE_UNKNOWN: [&str; 6] = ["", "NA", "N/A", "nan", "NaN", "null"];

/// Names of the id column.
pub(super) const ID: &[&str] = &["movie_id", "movieid", "_id", "id", "imdb_id", "tconst", "movie"];

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

/// Names of the column with the location of the trailer.
const TRAILER: &[&str] = &["trailer", "trailer_path", "trailer_url", "trailer_file"];

/// Names of the columns that state the content of the trailer: size in bytes, tag, SHA-256.
const STATED: [&[&str]; 3] = [
    &["trailer_size", "trailer_bytes", "size"],
    &["trailer_tag", "trailer_etag", "etag"],
    &["trailer_sha256", "sha256"],
];

/// Whether the catalogue names locations of trailers.
///
/// # Errors
/// Those of opening the table.
pub(super) fn names_trailers(files: &dyn Files) -> Result<bool> {
    Ok(Table::open(FILE, files.open(FILE)?, Format::CSV)?.column(TRAILER).is_some())
}

/// Reads the catalogue. `year_in_title`: titles end in ` (1995)`, as MovieLens writes them.
pub(super) fn read(files: &dyn Files, assembly: &mut Assembly, year_in_title: bool) -> Result<()> {
    let mut table = Table::open(FILE, files.open(FILE)?, Format::CSV)?;
    let id = table.required(ID)?;
    let [name, genre, description, language, released, rating, writer, director, cast] =
        COLUMNS.map(|names| table.column(names));
    let trailer = table.column(TRAILER);
    let [size, tag, sha256] = STATED.map(|names| table.column(names));
    let columns = [
        Some(id),
        trailer,
        size,
        tag,
        sha256,
        name,
        genre,
        description,
        language,
        released,
        rating,
        writer,
        director,
        cast,
    ];
    let columns: Vec<usize> = columns.into_iter().flatten().collect();
    assembly.unread_columns = assembly.note_unread(FILE, &table, &columns);
    while let Some(row) = table.next(&mut assembly.rejects)? {
        let subject = whole(row.cell(Some(id)));
        let mut cells = Cells { subject, line: row.line, rejects: &mut assembly.rejects };
        // A film may be called None or ?: a title is unknown where a data frame says so.
        let mut title = Some(row.cell(name)).filter(|title| !TITLE_UNKNOWN.contains(title)).unwrap_or_default();
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
        let stated = StatedContent {
            size: cells.parsed("trailer_size", whole(row.cell(size)), "not a number of bytes"),
            tag: Some(known(row.cell(tag)).trim_matches('"')).filter(|tag| !tag.is_empty()).map(str::to_owned),
            sha256: cells.parsed(
                "trailer_sha256",
                &row.cell(sha256).trim_start_matches("sha256:").to_ascii_lowercase(),
                "not a SHA-256 of 64 digits",
            ),
        };
        let location = known(row.cell(trailer)).to_owned();
        let (id, line) = (movie.id.clone(), row.line);
        if assembly.movie(FILE, line, movie) {
            if !stated.is_empty() {
                assembly.stated.insert(id.clone(), stated);
            }
            if !location.is_empty() {
                assembly.locations.push(&id, &location, line);
            }
        }
    }
    assembly.movies_complete();
    Ok(())
}

/// Returns the text of a cell, empty if it means unknown.
pub(super) fn known(cell: &str) -> &str {
    if UNKNOWN.contains(&cell.to_lowercase().as_str()) { "" } else { cell }
}

/// Reads the cells of one movie. A cell that cannot be read is a reject and counts as missing.
struct Cells<'a> {
    subject: &'a str,
    line: u64,
    rejects: &'a mut Rejects,
}

impl Cells<'_> {
    fn reject(&mut self, cell: &'static str, reason: String) {
        let subject = format!("movie {}, cell {cell}", excerpt(self.subject));
        self.rejects.add(Kind::Cell(cell), FILE, Some(self.line), subject, reason);
    }

    fn list(&mut self, column: &'static str, cell: &str) -> Vec<String> {
        let items = lists::list(known(cell)).unwrap_or_else(|| {
            self.reject(column, format!("not a list of texts, in JSON, Python or separated by |: {}", excerpt(cell)));
            Vec::new()
        });
        let mut list: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let item = known(item.trim());
            if !item.is_empty() && !list.iter().any(|seen| seen == item) {
                list.push(item.to_owned());
            }
        }
        list
    }

    fn parsed<T: std::str::FromStr>(&mut self, column: &'static str, cell: &str, reason: &str) -> Option<T> {
        let cell = known(cell);
        let value = cell.parse().ok();
        if value.is_none() && !cell.is_empty() {
            self.reject(column, format!("{reason}: {}", excerpt(cell)));
        }
        value
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

/// Returns the first number of exactly four digits, from 1870 to 2100, in a date of any format.
pub(super) fn year_in(text: &str) -> Option<i32> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| digits.len() == 4)
        .filter_map(|digits| digits.parse().ok())
        .find(|year| (1870..=2100).contains(year))
}

/// Splits `Toy Story (1995)` into name and year; of a series, `Fawlty Towers (1975-1979)` or
/// `(2016- )`, the first year.
pub(super) fn split_year(title: &str) -> Option<(&str, i32)> {
    let (bare, rest) = title.trim_end().rsplit_once('(')?;
    let years = rest.strip_suffix(')')?;
    let (first, last) = years.split_once(['-', '\u{2013}']).unwrap_or((years, ""));
    let (first, last) = (first.trim(), last.trim());
    if first.len() != 4 || !(last.is_empty() || (last.len() == 4 && year_in(last).is_some())) {
        return None;
    }
    Some((bare.trim_end(), year_in(first)?))
}
