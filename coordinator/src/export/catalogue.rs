//! `movies.parquet`, `users.parquet` and `ratings.parquet`: the dataset as the run read it.

use jhalak_common::Result;

use super::context::Context;
use super::manifest::{FileEntry, Written};
use super::table::{Cell, Column, Kind, TableFile};

/// Writes the tables of movies, users and ratings: everything that the run knows of them.
pub(super) fn write(context: &Context<'_>) -> Result<Written> {
    let mut files = vec![movies(context)?];
    if !context.dataset.ratings.is_empty() {
        files.extend(users(context)?);
        files.push(ratings(context)?);
    }
    Ok((files, Vec::new()))
}

fn movies(context: &Context<'_>) -> Result<FileEntry> {
    let columns = vec![
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("name", Kind::Text, "title; the id if there is none"),
        Column::new("genres", Kind::Texts, "genres in the catalogue"),
        Column::new("year", Kind::Int, "year of release").nullable(),
        Column::new("description", Kind::Text, "the plot").nullable(),
        Column::new("languages", Kind::Texts, "spoken languages"),
        Column::new("directors", Kind::Texts, "directors"),
        Column::new("writers", Kind::Texts, "writers"),
        Column::new("cast", Kind::Texts, "actors, in the order of the catalogue"),
        Column::new("rating", Kind::Double, "the public's rating, from 0 to 10").nullable(),
        Column::new("released", Kind::Text, "release date as in the catalogue").nullable(),
        Column::new("trailer_sha256", Kind::Text, "identity of the trailer's content").nullable(),
    ];
    let mut table = TableFile::create(&context.path("movies.parquet"), columns, context.metadata())?;
    let trailers: std::collections::BTreeMap<&str, String> =
        context.subjects().map(|subject| (subject.id.as_str(), subject.content.to_string())).collect();
    let filled = |text: &str| Cell::maybe(Some(text).filter(|text| !text.is_empty()));
    for movie in &context.dataset.movies {
        table.push(vec![
            Cell::text(&movie.id),
            Cell::text(&movie.name),
            Cell::Texts(movie.genres.clone()),
            movie.year.map_or(Cell::None, Cell::int),
            filled(&movie.description),
            Cell::Texts(movie.languages.clone()),
            Cell::Texts(movie.directors.clone()),
            Cell::Texts(movie.writers.clone()),
            Cell::Texts(movie.cast.clone()),
            // In the decimals of the catalogue: 7.1 and not 7.099999904632568.
            movie.rating.and_then(|rating| rating.to_string().parse().ok()).map_or(Cell::None, Cell::Double),
            filled(&movie.released),
            Cell::maybe(trailers.get(movie.id.as_str()).cloned()),
        ])?;
    }
    let (rows, columns) = table.finish()?;
    Ok(FileEntry::of("movies.parquet", "one row per movie", Some(rows), columns))
}

/// Writes the users with what else the files say of them; nothing if they say nothing.
fn users(context: &Context<'_>) -> Result<Option<FileEntry>> {
    let users = &context.dataset.users;
    let names: std::collections::BTreeSet<&str> = users
        .iter()
        .flat_map(|user| user.attributes.keys().map(String::as_str))
        .filter(|name| *name != "user")
        .collect();
    if names.is_empty() {
        return Ok(None);
    }
    let mut columns = vec![Column::new("user", Kind::Text, "user id")];
    columns.extend(names.iter().map(|name| Column::new(name, Kind::Text, "attribute, as in the dataset").nullable()));
    let mut table = TableFile::create(&context.path("users.parquet"), columns, context.metadata())?;
    for user in users {
        let mut row = vec![Cell::text(&user.id)];
        row.extend(names.iter().map(|name| Cell::maybe(user.attributes.get(*name).cloned())));
        table.push(row)?;
    }
    let (rows, columns) = table.finish()?;
    Ok(Some(FileEntry::of("users.parquet", "one row per user, with attributes", Some(rows), columns)))
}

fn ratings(context: &Context<'_>) -> Result<FileEntry> {
    let columns = vec![
        Column::new("user", Kind::Text, "user id"),
        Column::new("movie", Kind::Text, "movie id"),
        Column::new("class", Kind::Text, "dislike, neutral or like"),
        Column::new("stars", Kind::Double, "stars, from 0 to 5; points are scaled; empty for labels").nullable(),
        Column::new("timestamp", Kind::Int, "time of the rating, in the unit of the dataset").nullable(),
    ];
    let mut table = TableFile::create(&context.path("ratings.parquet"), columns, context.metadata())?;
    let times = context.dataset.times();
    for (place, rating) in context.dataset.ratings.iter().enumerate() {
        let user = &context.dataset.users[rating.user as usize].id;
        let movie = &context.dataset.movies[rating.movie as usize].id;
        table.push(vec![
            Cell::text(user),
            Cell::text(movie),
            Cell::text(rating.label.name()),
            rating.half_stars.map_or(Cell::None, |half| Cell::Double(f64::from(half) / 2.0)),
            times.map_or(Cell::None, |times| Cell::Int(times[place])),
        ])?;
    }
    let (rows, columns) = table.finish()?;
    Ok(FileEntry::of("ratings.parquet", "one row per rating, as a class", Some(rows), columns))
}
