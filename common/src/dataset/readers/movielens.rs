//! MovieLens in its layouts without headers: 100K (`u.data`), and 1M and 10M (`ratings.dat`).

use std::collections::BTreeMap;

use super::assembly::Assembly;
use super::csv_table::{Delimiter, Encoding, Format, Row, Table};
use super::files::Files;
use super::movies;
use super::reject::Rejects;
use super::settings::ReadSettings;
use super::survey::{Says, Survey};
use crate::dataset::normal_form::Movie;
use crate::error::Result;

/// The feedback of the 100K dataset: user, movie, stars, time, separated by tabs.
pub(super) const U_DATA: &str = "u.data";
/// The catalogue of the 100K dataset, ISO 8859-1, separated by `|`: id, title, release date, video
/// date, URL, 19 genre flags.
pub(super) const U_ITEM: &str = "u.item";
/// The users of the 100K dataset: id, age, gender, occupation, zip code.
pub(super) const U_USER: &str = "u.user";

/// The feedback of 1M and 10M: user, movie, stars, time, separated by two colons.
pub(super) const RATINGS_DAT: &str = "ratings.dat";
/// The catalogue of 1M (ISO 8859-1) and 10M (UTF-8): id, title, genres separated by `|`.
pub(super) const MOVIES_DAT: &str = "movies.dat";
/// The users of 1M: id, gender, age, occupation, zip code.
pub(super) const USERS_DAT: &str = "users.dat";

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

const BARS: Format =
    Format { delimiter: Delimiter::Byte(b'|'), header: false, quotes: false, encoding: Encoding::Latin1 };
const TABS: Format =
    Format { delimiter: Delimiter::Byte(b'\t'), header: false, quotes: false, encoding: Encoding::Utf8 };
const COLONS: Format =
    Format { delimiter: Delimiter::Colons, header: false, quotes: false, encoding: Encoding::Utf8OrLatin1 };

/// Reads `u.data`, `u.item` and, if there, `u.user`. Returns how the ratings were read.
pub(super) fn read_100k(files: &dyn Files, settings: &ReadSettings, to: &mut Assembly) -> Result<String> {
    catalogue(files, U_ITEM, BARS, to, item)?;
    users(files, U_USER, BARS, &["age", "gender", "occupation", "zip_code"], to)?;
    ratings(files, U_DATA, TABS, settings, to)
}

/// Reads `ratings.dat`, `movies.dat` and, if there, `users.dat`. Returns how the ratings were read.
pub(super) fn read_dat(files: &dyn Files, settings: &ReadSettings, to: &mut Assembly) -> Result<String> {
    catalogue(files, MOVIES_DAT, COLONS, to, movie)?;
    users(files, USERS_DAT, COLONS, &["gender", "age", "occupation", "zip_code"], to)?;
    ratings(files, RATINGS_DAT, COLONS, settings, to)
}

fn catalogue(files: &dyn Files, file: &str, format: Format, to: &mut Assembly, of: fn(Row<'_>) -> Movie) -> Result<()> {
    let mut table = Table::open(file, files.open(file)?, format)?;
    while let Some(row) = table.next(&mut to.rejects)? {
        to.movie(file, row.line, of(row));
    }
    to.movies_complete();
    Ok(())
}

fn users(files: &dyn Files, file: &str, format: Format, names: &[&str], to: &mut Assembly) -> Result<()> {
    if !files.has(file) {
        return Ok(());
    }
    let mut table = Table::open(file, files.open(file)?, format)?;
    while let Some(row) = table.next(&mut to.rejects)? {
        let attributes: BTreeMap<String, String> = names
            .iter()
            .zip(1..)
            .map(|(name, column)| ((*name).to_owned(), row.cell(Some(column)).to_owned()))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        to.user_row(file, row.line, row.cell(Some(0)), attributes)?;
    }
    Ok(())
}

fn ratings(
    files: &dyn Files,
    file: &str,
    format: Format,
    settings: &ReadSettings,
    to: &mut Assembly,
) -> Result<String> {
    let mut survey = Survey::default();
    let mut table = Table::open(file, files.open(file)?, format)?;
    let mut ignored = Rejects::default();
    while let Some(row) = table.next(&mut ignored)? {
        survey.add(row.cell(Some(2)), false);
    }
    let scale = survey.decide(file, "3", Says::Stars, settings)?;
    let mut table = Table::open(file, files.open(file)?, format)?;
    while let Some(row) = table.next(&mut to.rejects)? {
        let [user, movie, stars, time] = [0, 1, 2, 3].map(|column| row.cell(Some(column)));
        let opinion = scale.opinion(stars, false, &settings.thresholds());
        if let Some(user) = to.user(file, row.line, user)? {
            to.rating((file, row.line), user, movie, opinion, time);
        }
    }
    Ok(format!("{file} read as {}", scale.describe(&settings.thresholds())))
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

fn movie(row: Row<'_>) -> Movie {
    let (id, title, genres) = (row.cell(Some(0)), row.cell(Some(1)), row.cell(Some(2)));
    let (name, year) = movies::split_year(title).map_or((title, None), |(name, year)| (name, Some(year)));
    let genres = genres.split('|').map(movies::known).filter(|genre| !genre.is_empty());
    Movie {
        id: id.to_owned(),
        name: if name.is_empty() { id } else { name }.to_owned(),
        genres: genres.map(str::to_owned).collect(),
        year,
        ..Movie::default()
    }
}
