//! MovieLens, in the layout of the 100K dataset and in the CSV layout of later ones. Two thresholds
//! turn stars into labels.

use std::collections::BTreeMap;

use super::assembly::Assembly;
use super::csv_table::{Format, Row, Table};
use super::files::Files;
use super::plain::RATINGS as RATINGS_CSV;
use super::reject::excerpt;
use super::settings::ReadSettings;
use super::{movies, users};
use crate::dataset::normal_form::{Label, Movie};
use crate::error::Result;

/// The feedback of the 100K dataset: user, movie, stars, time, separated by tabs.
pub(super) const U_DATA: &str = "u.data";
/// The catalogue of the 100K dataset, ISO 8859-1, separated by `|`: id, title, release date, video
/// date, URL, 19 genre flags.
pub(super) const U_ITEM: &str = "u.item";
/// The users of the 100K dataset: id, age, gender, occupation, zip code.
const U_USER: &str = "u.user";

/// The genres of the flags in `u.item`, in the order of the dataset's `u.genre`. The first,
/// "unknown", is not a genre.
const U_GENRES: [&str; 19] = [
    "",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
];

/// Reads `ratings.csv` and `movies.csv`.
pub(super) fn read_csv(files: &dyn Files, settings: &ReadSettings, assembly: &mut Assembly) -> Result<()> {
    movies::read(files, assembly, true)?;
    users::read(files, assembly)?;
    let mut table = Table::open(RATINGS_CSV, files.open(RATINGS_CSV)?, Format::CSV)?;
    let user = table.required(&["userid", "user_id", "user"])?;
    let movie = table.required(&["movieid", "movie_id", "movie", "item_id", "item"])?;
    let stars = table.required(&["rating"])?;
    while let Some(row) = table.next()? {
        take(RATINGS_CSV, row, [user, movie, stars], settings, assembly)?;
    }
    Ok(())
}

/// Reads `u.data`, `u.item` and, if there, `u.user`.
pub(super) fn read_100k(files: &dyn Files, settings: &ReadSettings, assembly: &mut Assembly) -> Result<()> {
    let bars = Format { delimiter: b'|', header: false, quotes: false, latin1: true };
    let mut table = Table::open(U_ITEM, files.open(U_ITEM)?, bars)?;
    while let Some(row) = table.next()? {
        assembly.movie(U_ITEM, row.line, item(row));
    }
    assembly.movies_complete();

    if files.has(U_USER) {
        let mut table = Table::open(U_USER, files.open(U_USER)?, bars)?;
        while let Some(row) = table.next()? {
            let attributes: BTreeMap<String, String> = ["age", "gender", "occupation", "zip_code"]
                .into_iter()
                .zip(1..)
                .map(|(name, column)| (name.to_owned(), row.cell(Some(column)).to_owned()))
                .filter(|(_, value)| !value.is_empty())
                .collect();
            assembly.user_row(U_USER, row.line, row.cell(Some(0)), attributes)?;
        }
    }

    let tabs = Format { delimiter: b'\t', header: false, quotes: false, latin1: false };
    let mut table = Table::open(U_DATA, files.open(U_DATA)?, tabs)?;
    while let Some(row) = table.next()? {
        take(U_DATA, row, [0, 1, 2], settings, assembly)?;
    }
    Ok(())
}

/// Adds one rating; `columns` are those of the user, the movie and the stars.
fn take(file: &str, row: Row<'_>, columns: [usize; 3], settings: &ReadSettings, assembly: &mut Assembly) -> Result<()> {
    let [user, movie, stars] = columns.map(|column| row.cell(Some(column)));
    if let Some(user) = assembly.user(file, row.line, user)? {
        assembly.rating(file, row.line, user, movie, label(stars, settings));
    }
    Ok(())
}

/// Returns the label for a number of stars; the error is a reason.
fn label(stars: &str, settings: &ReadSettings) -> Result<Label, String> {
    let value: f64 = stars.parse().unwrap_or(f64::NAN);
    // NaN fails the comparison and is refused with the rest.
    if !(value > 0.0 && value <= 5.0) {
        return Err(format!("not a rating above 0 and up to 5 stars: {}", excerpt(stars)));
    }
    Ok(if value <= settings.dislike_at_most {
        Label::Dislike
    } else if value >= settings.like_at_least {
        Label::Like
    } else {
        Label::Neutral
    })
}

fn item(row: Row<'_>) -> Movie {
    let (id, title, released) = (row.cell(Some(0)), row.cell(Some(1)), row.cell(Some(2)));
    let (name, title_year) = movies::split_year(title).map_or((title, None), |(name, year)| (name, Some(year)));
    let genres = U_GENRES.iter().zip(5..).filter(|(genre, column)| !genre.is_empty() && row.cell(Some(*column)) == "1");
    Movie {
        id: id.to_owned(),
        name: if name.is_empty() { id } else { name }.to_owned(),
        genres: genres.map(|(&genre, _)| genre.to_owned()).collect(),
        year: title_year.or_else(|| movies::year_in(released)),
        released: released.to_owned(),
        ..Movie::default()
    }
}
