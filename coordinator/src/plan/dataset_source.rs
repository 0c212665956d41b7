//! Reads the tables of a dataset from a local folder or a prefix in S3.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use jhalak_common::compact::TextMap;
use jhalak_common::dataset::{self, Dataset, Fetched, FetchedTable, Files, Folder, Layout, Movie, Reading};
use jhalak_common::redact::{looks_like_url, shown_location};
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, Listed, ObjectStore};
use jhalak_common::{Error, ErrorKind, Result};
use tempfile::NamedTempFile;

pub use super::source::Source;
use super::source::{Location, object};

/// Reads the dataset at `url`: a folder or `s3://bucket/prefix`, or a catalogue alone, in CSV or
/// Parquet. With `movies`, keeps only the movies listed in that file.
pub async fn read(url: &str, movies: Option<&Path>, settings: &Settings) -> Result<Source> {
    read_listed(url, movies, None, settings).await
}

/// Reads the dataset at `url` as [`read`] does. `objects` are those of a prefix in S3, which is
/// then not listed.
pub async fn read_listed(
    url: &str,
    movies: Option<&Path>,
    objects: Option<Listed>,
    settings: &Settings,
) -> Result<Source> {
    let path = local_path(url)?;
    let catalogue = dataset::CATALOGUES.iter().find(|end| url.to_ascii_lowercase().ends_with(**end));
    let (files, location): (Box<dyn Files + Send>, Location) = match catalogue {
        Some(end) if url.starts_with("s3://") => {
            let (folder, name) = url.rsplit_once('/').unwrap_or((url, ""));
            let store = store::open_to_read(folder, &settings.s3).await?;
            let files = catalogue_alone(url, end, fetch(store.as_ref(), name).await?);
            (Box::new(files), Location::Store { store, listed: Listed::default() })
        }
        Some(end) if path.is_file() => {
            let table = FetchedTable::File(path.clone());
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
            (Box::new(catalogue_alone(url, end, table)), Location::Folder(folder))
        }
        _ if url.starts_with("s3://") => {
            let store = store::open_to_read(url, &settings.s3).await?;
            let (files, listed) = from_store(url, store.as_ref(), objects).await?;
            (Box::new(files), Location::Store { store, listed })
        }
        _ => (Box::new(Folder::open(&path)?), Location::Folder(path)),
    };
    let list = movies
        .map(|path| {
            std::fs::File::open(path)
                .map_err(|e| Error::from(e).context(format!("the list of movies {}", path.display())))
        })
        .transpose()?;
    let thresholds = settings.dataset;
    let reading = tokio::task::spawn_blocking(move || dataset::read(files.as_ref(), &thresholds))
        .await
        .map_err(|e| Error::bug("reading the dataset panicked").with_source(e))??;
    let reading = match (list, movies) {
        (Some(list), Some(path)) => reading.subset(&path.display().to_string(), list)?,
        _ => reading,
    };
    let mut buckets = BTreeMap::new();
    let named: BTreeSet<String> = reading.trailers.values().filter_map(object).map(|(bucket, _)| bucket).collect();
    for bucket in named {
        let opened = match store::open_source(&bucket, settings).await {
            Ok(opened) => Some(opened),
            Err(error) if error.kind() == ErrorKind::Permission && bucket.starts_with("https://") => None,
            Err(error) => return Err(error),
        };
        buckets.insert(bucket, opened);
    }
    let mut source =
        Source { reading, url: url.to_string(), found: Vec::new(), location, buckets, hashes: BTreeMap::new() };
    source.leave_out_unreadable_trailers().await?;
    Ok(source)
}

/// Returns the path of a dataset on this machine; of one in S3 it is not used.
///
/// # Errors
/// InvalidInput for what is neither a path nor a URL that is understood.
fn local_path(url: &str) -> Result<PathBuf> {
    let is_clear = match url.strip_prefix("file://") {
        Some(path) => path.starts_with('/'),
        None => url.starts_with("s3://") || !looks_like_url(url),
    };
    if is_clear {
        return Ok(PathBuf::from(url.strip_prefix("file://").unwrap_or(url)));
    }
    Err(Error::invalid(format!(
        "the dataset `{}` is neither a path nor a URL that is understood: use a path (./NAME if the name has a colon), \
         file:///path or s3://bucket/prefix",
        shown_location(url)
    )))
}

/// Returns why a file name is not valid as the id of a movie.
fn why_no_id(name: &str) -> String {
    format!(
        "the name `{}` is not valid as an id: rename the file. An id starts with a letter, a digit or _, has letters \
         and digits of any script, blanks and . _ - ( ) , ' & + !, and at most 180 bytes",
        name.escape_debug()
    )
}

/// Returns a dataset without ratings of these files, by the ids of their movies.
///
/// # Errors
/// InvalidInput if an id or a path is not valid.
pub fn of_files(name: &str, files: BTreeMap<String, PathBuf>) -> Result<Source> {
    let mut trailers = TextMap::default();
    for (id, file) in files {
        let shown = file.display().to_string();
        if !dataset::is_movie_id(&id) {
            return Err(Error::invalid(format!("{shown}: {}", why_no_id(&id))));
        }
        let path = file.canonicalize().map_err(|e| Error::from(e).context(shown.clone()))?;
        let path =
            path.to_str().ok_or_else(|| Error::invalid(format!("{shown}: the path is not UTF-8: rename the file")))?;
        if path.contains(char::is_control) {
            let shown = shown.escape_debug();
            return Err(Error::invalid(format!("{shown}: the path has control characters: rename the file")));
        }
        trailers.push(&id, &format!("file://{path}"));
    }
    let movie = |id: &str| Movie { id: id.to_owned(), name: id.to_owned(), ..Movie::default() };
    let dataset = Dataset {
        name: name.to_owned(),
        synthetic: false,
        movies: trailers.keys().map(movie).collect(),
        users: Vec::new(),
        ratings: Vec::new(),
        times: Vec::new(),
        genres: Vec::new(),
    };
    let reading = Reading {
        dataset,
        layout: Layout::Trailers,
        read_as: "no ratings: trailers are extracted, and nothing is trained".to_owned(),
        notes: Vec::new(),
        note: None,
        trailers,
        other_trailers: BTreeMap::new(),
        stated: BTreeMap::new(),
        rejects: Vec::new(),
        rejected: 0,
        users_without_ratings: 0,
    };
    let location = Location::Folder(PathBuf::from("."));
    let (buckets, hashes) = (BTreeMap::new(), BTreeMap::new());
    Ok(Source { reading, url: name.to_owned(), found: Vec::new(), location, buckets, hashes })
}

/// The files of a dataset that is a catalogue alone.
fn catalogue_alone(url: &str, end: &str, table: FetchedTable) -> Fetched {
    let name = if end == ".parquet" { "movies.parquet" } else { "movies.csv" };
    Fetched::new(url, Arc::default(), BTreeMap::from([(name.to_owned(), table)]))
}

/// Fetches a table into a temporary file.
async fn fetch(store: &dyn ObjectStore, name: &str) -> Result<FetchedTable> {
    let file = NamedTempFile::new()?.into_temp_path();
    store.download(name, &file, None).await?;
    Ok(FetchedTable::Temporary(file))
}

async fn from_store(url: &str, store: &dyn ObjectStore, objects: Option<Listed>) -> Result<(Fetched, Listed)> {
    let mut tables = BTreeMap::new();
    if let Some(listed) = objects {
        // Tables may have been written after the list of objects, which is then not asked for them.
        let mut gone = Vec::new();
        for name in dataset::TABLE_FILES {
            match fetch(store, name).await {
                Ok(table) => drop(tables.insert(name.to_string(), table)),
                Err(e) if e.kind() == ErrorKind::NotFound => gone.push(name),
                Err(e) => return Err(e),
            }
        }
        let names = match gone.iter().any(|name| listed.get(name).is_some()) {
            true => Arc::new(listed.keys().iter().filter(|name| !gone.contains(name)).collect()),
            false => Arc::clone(listed.keys()),
        };
        return Ok((Fetched::new(url, names, tables), listed));
    }
    let mut listed = Listed::default();
    let mut objects = store.list("");
    while let Some(object) = objects.try_next().await? {
        listed.push(&object.key, object.size, &object.tag);
    }
    for name in dataset::TABLE_FILES {
        if listed.get(name).is_some() {
            tables.insert(name.to_string(), fetch(store, name).await?);
        }
    }
    Ok((Fetched::new(url, Arc::clone(listed.keys()), tables), listed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::empty_store;

    #[tokio::test]
    async fn of_two_objects_of_a_movie_the_one_that_opens_is_taken() {
        let ((_folder, store), scratch) = (empty_store(), tempfile::tempdir().expect("a folder"));
        let tables =
            [("movies.csv", "id,name\nm1,One\nm2,Two\n"), ("ratings.csv", "user,movie,label\na,m1,1\na,m2,-1\n")];
        let trailers = [("trailers/m1.mkv", "damaged"), ("trailers/m1.mp4", "a video"), ("trailers/m2.mp4", "damaged")];
        for (key, text) in tables.iter().chain(&trailers) {
            store.put(key, text.as_bytes().into()).await.expect("room");
        }
        let (files, listed) = from_store("s3://b", store.as_ref(), None).await.expect("a store");
        let mut source = Source {
            reading: dataset::read(&files, &Default::default()).expect("a dataset"),
            url: "s3://b".into(),
            found: Vec::new(),
            location: Location::Store { store, listed },
            buckets: BTreeMap::new(),
            hashes: BTreeMap::new(),
        };
        assert_eq!(&source.reading.trailers["m1"], "trailers/m1.mkv");
        let opens = async |path: &Path| Ok(std::fs::read(path)? == b"a video");
        source.take_those_that_open(scratch.path(), opens).await.expect("a store");
        let taken = &source.reading.trailers;
        assert_eq!((&taken["m1"], &taken["m2"]), ("trailers/m1.mp4", "trailers/m2.mp4"));
        let reported = source.reading.rejects.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(reported.contains("m1.mkv") && reported.contains("trailers/m1.mp4 is taken instead"), "{reported}");
        assert_eq!(std::fs::read_dir(scratch.path()).expect("a folder").count(), 0, "fetched files stay");
    }
}
