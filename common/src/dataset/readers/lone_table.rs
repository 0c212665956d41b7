//! Why one table, given in place of a dataset's folder, is not a dataset, and what to give.

use super::csv_table::{Format, Table};
use super::files::Files;
use super::{movies, plain};
use crate::error::Result;

/// Names of the column of users; a column `id` may be one of movies.
const USER: [&str; 5] = ["user_id", "userid", "user", "viewer", "uid"];

/// Returns what a table that was given alone is; None if more files were given. `ends`: how the
/// name of such a table ends.
///
/// # Errors
/// Those of opening the table.
pub(super) fn why(files: &dyn Files, ends: &[&str]) -> Result<Option<String>> {
    let given = files.location().to_ascii_lowercase();
    let is_alone = files.names().iter().count() == 1 && ends.iter().any(|end| given.ends_with(end));
    if !is_alone || !files.has(movies::FILE) {
        return Ok(None);
    }
    let table = Table::open(movies::FILE, files.open(movies::FILE)?, Format::CSV)?;
    let has = |names: &[&str]| table.column(names).is_some();
    let folder = "give the folder that holds both";
    Ok(Some(if has(&USER) && has(&plain::MOVIE) && has(&plain::RATING) {
        format!(
            "a table of ratings alone: name it {}, put a catalogue {} next to it (columns movie, title, genres), and {folder}",
            plain::RATINGS,
            movies::FILE
        )
    } else if has(&["key"]) && has(&["size"]) {
        "a list of objects alone: give it with --manifest, and the objects with --dataset s3://bucket/prefix".to_owned()
    } else if has(movies::ID) {
        format!(
            "a catalogue alone, without a column `trailer` with the locations of trailers: add that column, or put {} or \
             ratings.json next to it, and {folder}",
            plain::RATINGS
        )
    } else {
        let columns: Vec<String> = table.header().iter().take(20).map(|name| name.escape_debug().to_string()).collect();
        format!(
            "a table that is neither a catalogue nor ratings, with the columns {}: a catalogue has a column movie (or \
             movieId, id), ratings have user, movie and rating",
            columns.join(", ")
        )
    }))
}

#[cfg(test)]
mod tests {
    use super::super::files::{Fetched, FetchedTable};
    use super::super::{ReadSettings, read};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    #[test]
    fn a_table_alone_is_refused_with_what_to_give() {
        for (name, table, parts) in [
            ("a/Ratings.csv", "user,movie,rating\nu,m,3\n", &["a table of ratings alone", "movies.csv"][..]),
            ("r.tsv", "userId\tmovieId\trating\ttimestamp\n1\t2\t3\t4\n", &["a table of ratings alone"]),
            ("list.csv", "bucket,key,size,etag\nb,k,3,x\n", &["a list of objects", "--manifest"]),
            ("movies.csv", "movieId,title\n1,A\n", &["a catalogue alone", "`trailer`", "ratings.csv"]),
            ("x.csv", "a;b\n1;2\n", &["with the columns a, b", "user, movie and rating"]),
        ] {
            let tables = BTreeMap::from([("movies.csv".to_owned(), FetchedTable::Bytes(table.into()))]);
            let files = Fetched::new(name, Arc::default(), tables);
            let error = read(&files, &ReadSettings::default()).expect_err(name).chain();
            assert!(error.contains(name) && parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
