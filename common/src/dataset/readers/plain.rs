//! CSV: `ratings.csv` with a user, a movie and a rating, and `movies.csv`.

use super::assembly::Assembly;
use super::csv_table::{Format, Table};
use super::files::Files;
use super::layout::Layout;
use super::reject::Rejects;
use super::settings::ReadSettings;
use super::survey::{Decided, Says, Survey};
use super::{movies, users};
use crate::dataset::whole_number::whole;
use crate::error::{Error, Result};

/// The file with the feedback.
pub(super) const RATINGS: &str = "ratings.csv";

/// Names of a column of labels. They distinguish this layout from MovieLens, which has `rating`.
const LABEL: [&str; 3] = ["label", "feedback", "class"];

/// Names of the column of ratings, with those of MovieLens.
pub(super) const RATING: [&str; 7] = ["label", "feedback", "class", "rating", "ratings", "stars", "score"];

/// Names of a column with the times of the ratings.
const TIME: [&str; 4] = ["timestamp", "time", "unix_time", "unixtime"];

pub(super) const MOVIE: [&str; 5] = ["movie_id", "movieid", "movie", "item_id", "item"];

/// Returns the layout by the name of the column of ratings. The values decide how it is read.
///
/// # Errors
/// InvalidInput if the header has none of these columns.
pub(super) fn layout(files: &dyn Files) -> Result<Layout> {
    let table = Table::open(RATINGS, files.open(RATINGS)?, Format::CSV)?;
    if table.column(&LABEL).is_some() {
        return Ok(Layout::Plain);
    }
    table.required(&["rating", "label", "ratings", "stars", "score"]).map(|_| Layout::MovielensCsv)
}

/// Reads `movies.csv`, `users.csv` if there, `ratings.csv`. Returns how the ratings were read.
pub(super) fn read(files: &dyn Files, layout: Layout, settings: &ReadSettings, to: &mut Assembly) -> Result<String> {
    movies::read(files, to, layout == Layout::MovielensCsv)?;
    users::read(files, to)?;
    let open = || Table::open(RATINGS, files.open(RATINGS)?, Format::CSV);
    let mut table = open()?;
    let user = table.required(&users::ID)?;
    let movie = table.required(&MOVIE)?;
    let value = table.required(&RATING)?;
    let others = [&LABEL[..], &RATING[LABEL.len()..]].map(|names| table.column(names));
    if let [Some(label), Some(rating)] = others {
        let (label, rating) = (&table.header()[label], &table.header()[rating]);
        return Err(Error::invalid(format!(
            "{RATINGS} line 1: the columns {label} and {rating} may both hold the ratings: remove or rename the one that does not"
        )));
    }
    let time = table.column(&TIME);
    let decimal_comma = table.has_decimal_commas();
    let mut survey = Survey::default();
    let mut ignored = Rejects::default();
    while let Some(row) = table.next(&mut ignored)? {
        survey.add(row.cell(Some(value)), decimal_comma);
    }
    let column = table.header()[value].clone();
    let says = if LABEL.contains(&column.as_str()) { Says::Labels } else { Says::Rating };
    let decided = Decided { scale: survey.decide(RATINGS, &column, says, settings)?, decimal_comma };

    let mut table = open()?;
    let columns: Vec<usize> = [user, movie, value].into_iter().chain(time).collect();
    to.note_unread(RATINGS, &table, &columns);
    while let Some(row) = table.next(&mut to.rejects)? {
        let [user, movie, value] = [user, movie, value].map(|column| row.cell(Some(column)));
        let opinion = decided.scale.opinion(value, decided.decimal_comma, &settings.thresholds());
        if let Some(user) = to.user(RATINGS, row.line, whole(user))? {
            to.rating((RATINGS, row.line), user, whole(movie), opinion, row.cell(time));
        }
    }
    Ok(format!("column {column} of {RATINGS} read as {}", decided.scale.describe(&settings.thresholds())))
}
