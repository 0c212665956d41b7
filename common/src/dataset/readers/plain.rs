//! Plain CSV: `ratings.csv` with the columns user, movie and label, and `movies.csv`.

use super::assembly::Assembly;
use super::csv_table::{Format, Table};
use super::files::Files;
use super::reject::excerpt;
use super::{movies, users};
use crate::dataset::normal_form::Label;
use crate::error::Result;

/// The file with the feedback.
pub(super) const RATINGS: &str = "ratings.csv";

/// Names of the label column. They distinguish this layout from MovieLens, which has `rating`.
pub(super) const LABEL: [&str; 3] = ["label", "feedback", "class"];

/// Reads `movies.csv`, `users.csv` if there, `ratings.csv`.
pub(super) fn read(files: &dyn Files, assembly: &mut Assembly) -> Result<()> {
    movies::read(files, assembly, false)?;
    users::read(files, assembly)?;
    let mut table = Table::open(RATINGS, files.open(RATINGS)?, Format::CSV)?;
    let user = table.required(&users::ID)?;
    let movie = table.required(&["movie_id", "movieid", "movie", "item_id", "item"])?;
    let value = table.required(&LABEL)?;
    while let Some(row) = table.next()? {
        let [user, movie, value] = [user, movie, value].map(|column| row.cell(Some(column)));
        let label = Label::from_file_value(value)
            .ok_or_else(|| format!("the label is not -1, 0, 1, dislike, neutral or like: {}", excerpt(value)));
        if let Some(user) = assembly.user(RATINGS, row.line, user)? {
            assembly.rating(RATINGS, row.line, user, movie, label);
        }
    }
    Ok(())
}
