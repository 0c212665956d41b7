//! New movies to be predicted, from a small file.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::assembly::Assembly;
use super::files::{Fetched, FetchedTable};
use super::movies;
use crate::dataset::normal_form::Movie;
use crate::error::{Error, Result};

/// Movies from a file.
#[derive(Debug, PartialEq)]
pub struct NewMovies {
    /// The movies.
    pub movies: Vec<Movie>,
    /// Columns or keys that are not read.
    pub unread: Vec<String>,
}

/// Reads movies from the file `name`: CSV with the columns of `movies.csv`, or JSON (one object or
/// a list of objects) with the same names (`movie_id` or `id`, `name`, `genre`, `description`,
/// `cast`...).
///
/// # Errors
/// Invalid input if the file cannot be read, has no movie, or any part of it would be rejected.
pub fn read_movies(name: &str, bytes: &[u8]) -> Result<NewMovies> {
    let within = |error: Error| error.context(format!("the movies in {name}"));
    let text = std::str::from_utf8(bytes).map_err(|_| within(Error::invalid("the file is not UTF-8")))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let csv = if text.trim_start().starts_with(['{', '[']) { to_csv(text).map_err(within)? } else { text.to_owned() };
    let tables = BTreeMap::from([(movies::FILE.to_owned(), FetchedTable::Bytes(csv.into()))]);
    let files = Fetched::new(name, Arc::default(), tables);
    let mut assembly = Assembly::default();
    movies::read(&files, &mut assembly, false).map_err(within)?;
    if let Some(first) = assembly.rejects.listed.first() {
        return Err(within(Error::invalid(format!("{}: {}", first.subject, first.reason))));
    }
    let unread = std::mem::take(&mut assembly.unread_columns);
    let movies = assembly.into_movies().into_vec();
    if movies.is_empty() {
        return Err(within(Error::invalid("the file has no movie")));
    }
    Ok(NewMovies { movies, unread })
}

/// Converts the movies to CSV, with one column for each name that occurs.
fn to_csv(text: &str) -> Result<String> {
    let broken = |e: serde_json::Error| Error::invalid(format!("the file is not JSON: {e}"));
    let objects: Vec<Map<String, Value>> = match serde_json::from_str(text).map_err(broken)? {
        Value::Object(object) => vec![object],
        list => serde_json::from_value(list)
            .map_err(|_| Error::invalid("the file is neither a JSON object nor a list of objects"))?,
    };
    if objects.is_empty() {
        return Err(Error::invalid("the file has no movie"));
    }
    let mut columns: Vec<&String> = objects.iter().flat_map(Map::keys).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let bug = |e: csv::Error| Error::bug("a table in memory cannot be written").with_source(e);
    writer.write_record(&columns).map_err(bug)?;
    for object in &objects {
        writer.write_record(columns.iter().map(|&name| cell(object.get(name)))).map_err(bug)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|e| Error::bug("a table in memory cannot be written").with_source(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| Error::bug("a table in memory is not UTF-8").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_csv_give_the_same_movies() {
        let json = r#"{"id": "tt1", "name": "Amélie, encore", "genre": ["Drama", "Music"], "year": 2001, "rating": 7.5, "cast": []}"#;
        let csv = "\u{FEFF}movie_id,title,genres,year,imdb_rating\ntt1,\"Amélie, encore\",Drama|Music,2001,7.5\n";
        let (from_json, from_csv) = (read_movies("a.json", json.as_bytes()), read_movies("a.csv", csv.as_bytes()));
        let (from_json, from_csv) = (from_json.expect("JSON"), from_csv.expect("CSV"));
        assert_eq!(from_json, from_csv);
        let from_json = from_json.movies;
        assert_eq!((from_json[0].name.as_str(), from_json[0].year), ("Amélie, encore", Some(2001)));
        assert_eq!(from_json[0].genres, ["Drama", "Music"]);
        let two = read_movies("b.json", br#"[{"id": "a"}, {"id": "b", "name": "B"}]"#).expect("a list");
        assert_eq!(two.movies.iter().map(|movie| movie.name.as_str()).collect::<Vec<_>>(), ["a", "B"]);
        let odd = read_movies("c.json", br#"{"id": "a", "gener": "Drama", "Poster": 1}"#).expect("a movie");
        assert_eq!(odd.unread, ["poster", "gener"].map(str::to_owned));
    }

    #[test]
    fn new_movies_that_would_be_rejected_are_an_error_with_the_reason() {
        for (text, reported) in [
            ("{", "not JSON"),
            ("[1]", "list of objects"),
            ("[]", "has no movie"),
            ("movie_id,name\n", "no movie"),
            ("name\nX\n", "movie_id"),
            (r#"{"id": "../evil"}"#, "file name"),
            (r#"[{"id": "a"}, {"id": "a"}]"#, "second movie"),
            (r#"{"id": "a", "rating": "NaN5"}"#, "0 to 10"),
        ] {
            let error = read_movies("x", text.as_bytes()).expect_err(text);
            assert!(error.chain().contains(reported), "{text}: {}", error.chain());
        }
        assert!(read_movies("x", &[0xff, 0xfe]).is_err());
    }
}
