//! `movies.parquet` and `ratings.parquet`: the dataset as the run read it.

use jhalak_common::Result;

use super::context::Context;
use super::manifest::{FileEntry, Written};
use super::table::{Cell, Column, Kind, TableFile};

/// Writes the tables of movies and ratings.
pub(super) fn write(context: &Context<'_>) -> Result<Written> {
    let columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("name", Kind::Text, "title; the id if there is none"),
        Column::new("genres", Kind::Texts, "genres in the catalogue"),
        Column::new("year", Kind::Int, "year of release").nullable(),
        Column::new("trailer_sha256", Kind::Text, "identity of the trailer's content").nullable(),
    ];
    let mut table = TableFile::create(&context.path("movies.parquet"), columns, context.metadata())?;
    let trailers: std::collections::BTreeMap<&str, String> =
        context.subjects().map(|subject| (subject.id.as_str(), subject.content.to_string())).collect();
    for movie in &context.dataset.movies {
        table.push(vec![
            Cell::text(&movie.id),
            Cell::text(&movie.name),
            Cell::Texts(movie.genres.clone()),
            movie.year.map_or(Cell::None, Cell::int),
            Cell::maybe(trailers.get(movie.id.as_str()).cloned()),
        ])?;
    }
    let (rows, columns) = table.finish()?;
    let mut files = vec![FileEntry::of("movies.parquet", "one row per movie", Some(rows), columns)];
    if context.dataset.ratings.is_empty() {
        return Ok((files, Vec::new()));
    }
    let columns = vec![
        Column::new("user", Kind::Text, "user id"),
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("class", Kind::Text, "dislike, neutral or like"),
    ];
    let mut table = TableFile::create(&context.path("ratings.parquet"), columns, context.metadata())?;
    for rating in &context.dataset.ratings {
        let user = &context.dataset.users[rating.user as usize].id;
        let movie = &context.dataset.movies[rating.movie as usize].id;
        table.push(vec![Cell::text(user), Cell::text(movie), Cell::text(rating.label.name())])?;
    }
    let (rows, columns) = table.finish()?;
    files.push(FileEntry::of("ratings.parquet", "one row per rating, as a class", Some(rows), columns));
    Ok((files, Vec::new()))
}
