//! The source of a dataset, a local folder or a prefix in S3: reads its tables, finds and
//! identifies its trailers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::Subject;
use jhalak_common::compact::{Packed, TextMap};
use jhalak_common::dataset::{self, Dataset, Fetched, FetchedTable, Files, Folder, Layout, Movie, Reading};
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::job::Trailer;
use jhalak_common::settings::{Settings, looks_like_url, shown_location};
use jhalak_common::store::manifest::Listed;
use jhalak_common::store::{self, ObjectStore, https};
use jhalak_common::{Error, ErrorKind, Result};
use tempfile::NamedTempFile;

/// Maximum number of trailers that are identified at once.
const MAX_CONCURRENT_TRAILERS: usize = 8;

/// A dataset and the location of its trailers.
pub struct Source {
    /// The tables.
    pub reading: Reading,
    /// The folder as the user named it.
    pub url: String,
    /// Files that would fail in the run, by trailer: empty files.
    pub found: Vec<String>,
    location: Location,
    /// The buckets and web servers that the catalogue names, by `s3://bucket` and `https://host`.
    /// None for a server that the settings do not allow.
    buckets: BTreeMap<String, Option<Arc<dyn ObjectStore>>>,
    /// SHA-256 and size of the local trailers whose SHA-256 the catalogue states, by movie.
    hashes: BTreeMap<String, (Hash, u64)>,
}

/// The location of a trailer.
enum Place {
    File(PathBuf),
    Object { store: Arc<dyn ObjectStore>, key: String },
}

enum Location {
    Folder(PathBuf),
    Store { store: Arc<dyn ObjectStore>, listed: Listed },
}

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
    source.leave_out_what_cannot_be_opened().await?;
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

/// Splits `s3://bucket/key` into `s3://bucket` and the key, and `https://host/path` into the server
/// and the path.
fn object(location: &str) -> Option<(String, String)> {
    if location.starts_with("https://") {
        return https::split(location).ok();
    }
    let slash = location.strip_prefix("s3://")?.find('/')? + "s3://".len();
    Some((location[..slash].to_owned(), location[slash + 1..].to_owned()))
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

impl Source {
    /// Identifies the trailers, in ascending order of movie id. With `upload`, uploads trailers of
    /// a local folder into that store first, so that workers on other machines can read them.
    pub async fn trailers(&self, upload: Option<&dyn ObjectStore>) -> Result<Packed<Trailer>> {
        let found = stream::iter(self.reading.trailers.iter()).map(|(id, key)| self.trailer(id, key, upload));
        let mut found = found.buffered(MAX_CONCURRENT_TRAILERS);
        let mut trailers = Packed::default();
        while let Some(trailer) = found.try_next().await? {
            trailers.push(trailer);
        }
        Ok(trailers)
    }

    /// Returns the tables, and frees what planning alone needs: the list of the dataset's objects
    /// and what the catalogue states of them.
    pub fn into_reading(self) -> Reading {
        let mut reading = self.reading;
        (reading.other_trailers, reading.stated) = (BTreeMap::new(), BTreeMap::new());
        reading
    }

    /// Returns the store and the key of a local trailer.
    fn local_store(&self, location: &str, path: &Path) -> Result<(String, String)> {
        if let (Location::Folder(folder), false) = (&self.location, location.contains("://")) {
            return Ok((file_url(folder)?, location.to_owned()));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        match (path.parent(), name) {
            (Some(folder), Some(name)) => Ok((file_url(folder)?, name.to_owned())),
            _ => Err(Error::invalid(format!("the trailer {location} is not the path of a file"))),
        }
    }

    /// Returns the location of a trailer: a key of the dataset, or a location in the catalogue.
    fn place(&self, key: &str) -> Result<Place> {
        if let Some((bucket, key)) = object(key) {
            return match self.buckets.get(&bucket).cloned() {
                Some(Some(store)) => Ok(Place::Object { store, key }),
                Some(None) => Err(Error::permission(format!(
                    "{bucket} is not allowed: add the host to the setting sources.https_hosts, or fetch the file first"
                ))),
                None => Err(Error::bug(format!("the bucket {bucket} was not opened"))),
            };
        }
        if key.starts_with("https://") {
            return Err(Error::invalid("not a location: write https://host/path, without query and fragment"));
        }
        Ok(match (key.strip_prefix("file://"), &self.location) {
            (Some(path), _) => Place::File(path.into()),
            (None, Location::Folder(folder)) => Place::File(folder.join(key)),
            (None, Location::Store { store, .. }) => Place::Object { store: store.clone(), key: key.to_owned() },
        })
    }

    /// Returns size and tag of an object.
    async fn size(&self, store: &dyn ObjectStore, key: &str, location: &str) -> Result<(u64, String)> {
        let listed = match &self.location {
            Location::Store { listed, .. } if location == key => listed.get(key),
            _ => None,
        };
        match listed {
            Some(listed) => Ok(listed),
            None => store.head(key).await.map(|meta| (meta.size, meta.tag)),
        }
    }

    /// Leaves out the trailers that are no files that can be read (dangling links, pipes, devices,
    /// objects that do not exist) and those whose content is not what the catalogue states. Finds
    /// empty ones. Takes another file of the movie, if there is one that can be read.
    async fn leave_out_what_cannot_be_opened(&mut self) -> Result<()> {
        let this = &*self;
        let looked = stream::iter(this.reading.trailers.iter()).map(|(id, key)| async move {
            let Some((stays, reason)) = this.fault(id, key).await? else { return Ok(None) };
            for other in this.reading.other_trailers.get(id).into_iter().flatten() {
                if this.fault(id, other).await?.is_none() {
                    return Ok(Some((id.to_owned(), key.to_owned(), stays, reason, Some(other.clone()))));
                }
            }
            Ok::<_, Error>(Some((id.to_owned(), key.to_owned(), stays, reason, None)))
        });
        let faults = looked.buffered(MAX_CONCURRENT_TRAILERS).try_filter_map(|fault| async move { Ok(fault) });
        let faults: Vec<_> = faults.try_collect().await?;
        for (id, key, stays, reason, other) in faults {
            match other {
                Some(other) => self.reading.replace_trailer(&id, &other, &reason),
                None if stays => self.found.push(format!("trailers: movie {id}, `{}`: {reason}", key.escape_debug())),
                None => self.reading.leave_out_trailer(&id, reason),
            }
        }
        self.hold_to_stated_hashes().await
    }

    /// Why a trailer cannot be used, and whether it stays for a run to quarantine; None if it can.
    async fn fault(&self, id: &str, location: &str) -> Result<Option<(bool, String)>> {
        let stated = self.reading.stated.get(id);
        let differs = |size: u64, tag: Option<&str>| {
            let difference = stated.and_then(|stated| stated.difference(size, tag));
            difference.map(|difference| (false, difference))
        };
        let place = match self.place(location) {
            Err(e) if matches!(e.kind(), ErrorKind::Permission | ErrorKind::InvalidInput) => {
                return Ok(Some((false, e.to_string())));
            }
            place => place?,
        };
        Ok(match place {
            Place::File(path) => match (file_fault(&path), std::fs::metadata(&path)) {
                (None, Ok(metadata)) => differs(metadata.len(), None),
                (fault, _) => fault,
            },
            Place::Object { store, key } => match self.size(store.as_ref(), &key, location).await {
                Ok((0, _)) => Some((true, "is empty".to_owned())),
                Ok((_, tag)) if tag.is_empty() && stated.is_none_or(|stated| stated.sha256.is_none()) => {
                    let reason = "its server gives neither ETag nor Last-Modified: state its SHA-256 in trailer_sha256";
                    Some((false, reason.to_owned()))
                }
                Ok((size, tag)) => differs(size, Some(&tag)),
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Permission | ErrorKind::InvalidInput) => {
                    Some((false, e.chain()))
                }
                Err(e) => return Err(e),
            },
        })
    }

    /// Leaves out the local trailers whose SHA-256 is not what the catalogue states. Workers check
    /// objects when they fetch them.
    async fn hold_to_stated_hashes(&mut self) -> Result<()> {
        let stated = self.reading.stated.iter().filter_map(|(id, stated)| Some((id, stated.sha256?)));
        let files: Vec<_> = stated
            .filter_map(|(id, stated)| match self.reading.trailers.get(id).map(|key| self.place(key)) {
                Some(Ok(Place::File(path))) => Some((id.clone(), stated, path)),
                _ => None,
            })
            .collect();
        let hashed = stream::iter(files)
            .map(|(id, stated, path)| async move { Ok::<_, Error>((id, stated, hash::of_file(path).await?)) });
        let hashed: Vec<_> = hashed.buffered(MAX_CONCURRENT_TRAILERS).try_collect().await?;
        for (id, stated, (found, size)) in hashed {
            if found == stated {
                self.hashes.insert(id, (found, size));
            } else {
                let reason = format!("its SHA-256 is {found}, and the catalogue states {stated}: is it another file?");
                self.reading.leave_out_trailer(&id, reason);
            }
        }
        Ok(())
    }

    /// Tries the files of the movies that have several with `opens`, in ascending order, and takes
    /// the first that opens. Those of a store are fetched to the folder `scratch`, one at a time.
    ///
    /// # Errors
    /// Those of `opens` and of the store that are not about the file.
    pub async fn take_those_that_open(
        &mut self,
        scratch: &Path,
        opens: impl AsyncFn(&Path) -> Result<bool>,
    ) -> Result<()> {
        let several: Vec<_> = self.reading.other_trailers.iter().map(|(id, o)| (id.clone(), o.clone())).collect();
        for (id, others) in several {
            let Some(first) = self.reading.trailers.get(&id).map(str::to_owned) else { continue };
            for key in std::iter::once(&first).chain(&others) {
                if self.fault(&id, key).await?.is_some() {
                    continue;
                }
                let does_open = match self.place(key)? {
                    Place::File(path) => opens(&path).await?,
                    Place::Object { store, key } => {
                        let at = |e: std::io::Error| Error::from(e).context(format!("{}", scratch.display()));
                        let fetched = tempfile::NamedTempFile::with_prefix_in("jhalak-", scratch).map_err(at)?;
                        store.download(&key, fetched.path(), None).await?;
                        opens(fetched.path()).await?
                    }
                };
                if does_open {
                    if *key != first {
                        self.reading.replace_trailer(&id, key, "it does not open");
                        self.found.retain(|line| !line.starts_with(&format!("trailers: movie {id}, ")));
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Returns the local files of the trailers that are not empty by movie, and the number of
    /// trailers elsewhere.
    pub fn local_trailers(&self) -> Result<(Vec<(String, PathBuf)>, usize)> {
        let (mut local, mut elsewhere) = (Vec::new(), 0);
        for (id, key) in self.reading.trailers.iter() {
            match self.place(key)? {
                Place::File(path) if file_fault(&path).is_none() => local.push((id.to_owned(), path)),
                Place::File(_) => {}
                Place::Object { .. } => elsewhere += 1,
            }
        }
        Ok((local, elsewhere))
    }

    async fn trailer(&self, id: &str, location: &str, upload: Option<&dyn ObjectStore>) -> Result<Trailer> {
        match self.place(location)? {
            Place::Object { store, key } => {
                let (size, tag) = self.size(store.as_ref(), &key, location).await?;
                // A worker holds the bytes to a stated SHA-256, and else to the tag.
                let (content, tag) = match self.reading.stated.get(id).and_then(|stated| stated.sha256) {
                    Some(sha256) => (sha256, None),
                    None => (Trailer::content_of_tag(size, &tag), Some(tag)),
                };
                Ok(Trailer { subject: Subject { id: id.into(), content }, store: store.url(), key, size, tag })
            }
            Place::File(path) => {
                let (content, size) = match self.hashes.get(id) {
                    Some(known) => *known,
                    None => hash::of_file(path.clone()).await?,
                };
                let subject = Subject { id: id.into(), content };
                let Some(target) = upload else {
                    let (store, key) = self.local_store(location, &path)?;
                    return Ok(Trailer { subject, store, key, size, tag: None });
                };
                let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("bin").to_ascii_lowercase();
                let uploaded = format!("trailers/{content}.{extension}");
                match target.head(&uploaded).await {
                    Ok(meta) if meta.size == size => {}
                    Ok(_) => target.upload(&uploaded, &path).await?,
                    Err(e) if e.kind() == ErrorKind::NotFound => target.upload(&uploaded, &path).await?,
                    Err(e) => return Err(e),
                }
                Ok(Trailer { subject, store: target.url(), key: uploaded, size, tag: None })
            }
        }
    }
}

/// Why a file cannot be a trailer, and whether it stays for a run to quarantine; None if it can.
fn file_fault(path: &Path) -> Option<(bool, String)> {
    use std::os::unix::fs::FileTypeExt;
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    match std::fs::metadata(path) {
        Err(_) if is_link => Some((false, "a link to a file that does not exist".to_owned())),
        Err(error) => Some((false, format!("cannot be opened: {error}"))),
        Ok(metadata) if metadata.is_dir() => Some((false, "a folder, not a file".to_owned())),
        Ok(metadata) if metadata.file_type().is_fifo() => Some((false, "a pipe, not a file".to_owned())),
        Ok(metadata) if !metadata.is_file() => Some((false, "a device or socket, not a file".to_owned())),
        Ok(metadata) if metadata.len() == 0 => Some((true, "is empty".to_owned())),
        Ok(_) => None,
    }
}

fn file_url(folder: &Path) -> Result<String> {
    let absolute =
        folder.canonicalize().map_err(|e| Error::from(e).context(format!("the dataset {}", folder.display())))?;
    Ok(format!("file://{}", absolute.display()))
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
