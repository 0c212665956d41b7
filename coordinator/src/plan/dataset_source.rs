//! The source of a dataset, a local folder or a prefix in S3: reads its tables, finds and
//! identifies its trailers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact::Subject;
use jhalak_common::dataset::{self, Files, Folder, Memory, Reading};
use jhalak_common::hash;
use jhalak_common::run::job::Trailer;
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, ErrorKind, Result};

/// Maximum number of trailers that are identified at once.
const MAX_CONCURRENT_TRAILERS: usize = 8;

/// A dataset and the location of its trailers.
pub struct Source {
    /// The tables.
    pub reading: Reading,
    /// The folder as the user named it.
    pub url: String,
    /// What a run would stumble over later, by trailer: empty files.
    pub found: Vec<String>,
    location: Location,
    /// The buckets that the catalogue names, by `s3://bucket`.
    buckets: BTreeMap<String, Arc<dyn ObjectStore>>,
}

/// Where a trailer lies.
enum Place {
    File(PathBuf),
    Object { store: Arc<dyn ObjectStore>, key: String },
}

enum Location {
    Folder(PathBuf),
    Store { store: Arc<dyn ObjectStore>, sizes: BTreeMap<String, (u64, String)> },
}

/// Reads the dataset at `url`, a folder or `s3://bucket/prefix`. With `movies`, keeps only the
/// movies listed in that file.
pub async fn read(url: &str, movies: Option<&Path>, settings: &Settings) -> Result<Source> {
    let (files, location): (Box<dyn Files + Send>, Location) = if url.starts_with("s3://") {
        let store = store::open_to_read(url, &settings.s3).await?;
        let (files, sizes) = from_store(url, store.as_ref()).await?;
        (Box::new(files), Location::Store { store, sizes })
    } else {
        let folder = PathBuf::from(url.strip_prefix("file://").unwrap_or(url));
        (Box::new(Folder::open(&folder)?), Location::Folder(folder))
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
    for (bucket, _) in reading.trailers.values().filter_map(|key| object(key)) {
        if !buckets.contains_key(bucket) {
            buckets.insert(bucket.to_owned(), store::open(bucket, &settings.s3).await?);
        }
    }
    let mut source = Source { reading, url: url.to_string(), found: Vec::new(), location, buckets };
    source.leave_out_what_cannot_be_opened().await?;
    Ok(source)
}

/// Splits `s3://bucket/key` into `s3://bucket` and the key.
fn object(location: &str) -> Option<(&str, &str)> {
    let slash = location.strip_prefix("s3://")?.find('/')? + "s3://".len();
    Some((&location[..slash], &location[slash + 1..]))
}

async fn from_store(url: &str, store: &dyn ObjectStore) -> Result<(Memory, BTreeMap<String, (u64, String)>)> {
    let mut sizes = BTreeMap::new();
    let mut objects = store.list("");
    while let Some(object) = objects.try_next().await? {
        sizes.insert(object.key, (object.size, object.tag));
    }
    let mut contents = BTreeMap::new();
    for name in dataset::TABLE_FILES {
        if sizes.contains_key(name) {
            contents.insert(name.to_string(), store.get(name).await?);
        }
    }
    Ok((Memory::new(url, sizes.keys().cloned().collect(), contents), sizes))
}

impl Source {
    /// Identifies the trailers, in ascending order of movie id. With `upload`, uploads trailers of
    /// a local folder into that store first, so that workers on other machines can read them.
    pub async fn trailers(&self, upload: Option<&dyn ObjectStore>) -> Result<Vec<Trailer>> {
        let found = stream::iter(&self.reading.trailers)
            .map(|(id, key)| self.trailer(id, key, upload))
            .buffered(MAX_CONCURRENT_TRAILERS);
        found.try_collect().await
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
            let store = self.buckets.get(bucket).cloned();
            let store = store.ok_or_else(|| Error::bug(format!("the bucket {bucket} was not opened")))?;
            return Ok(Place::Object { store, key: key.to_owned() });
        }
        Ok(match (key.strip_prefix("file://"), &self.location) {
            (Some(path), _) => Place::File(path.into()),
            (None, Location::Folder(folder)) => Place::File(folder.join(key)),
            (None, Location::Store { store, .. }) => Place::Object { store: store.clone(), key: key.to_owned() },
        })
    }

    /// Returns size and tag of an object.
    async fn size(&self, store: &dyn ObjectStore, key: &str, location: &str) -> Result<(u64, String)> {
        match &self.location {
            Location::Store { sizes, .. } if location == key && sizes.contains_key(key) => Ok(sizes[key].clone()),
            _ => store.head(key).await.map(|meta| (meta.size, meta.tag)),
        }
    }

    /// Leaves out the trailers that are no files that can be read: dangling links, pipes, devices,
    /// and objects that do not exist. Finds empty ones.
    async fn leave_out_what_cannot_be_opened(&mut self) -> Result<()> {
        let this = &*self;
        let looked = stream::iter(&this.reading.trailers).map(|(id, key)| async move {
            let fault = match this.place(key)? {
                Place::File(path) => file_fault(&path),
                Place::Object { store, key: name } => match this.size(store.as_ref(), &name, key).await {
                    Ok((0, _)) => Some((true, "is empty".to_owned())),
                    Ok(_) => None,
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Permission) => {
                        Some((false, e.to_string()))
                    }
                    Err(e) => return Err(e),
                },
            };
            Ok(fault.map(|(stays, reason)| (id.clone(), key.clone(), stays, reason)))
        });
        let faults: Vec<_> = looked.buffered(MAX_CONCURRENT_TRAILERS).try_collect().await?;
        for (id, key, stays, reason) in faults.into_iter().flatten() {
            if stays {
                self.found.push(format!("trailers: movie {id}, {key:?}: {reason}"));
            } else {
                self.reading.leave_out_trailer(&id, reason);
            }
        }
        Ok(())
    }

    /// Returns the local files of the trailers that are not empty by movie, and the number of
    /// trailers elsewhere.
    pub fn local_trailers(&self) -> Result<(Vec<(String, PathBuf)>, usize)> {
        let (mut local, mut elsewhere) = (Vec::new(), 0);
        for (id, key) in &self.reading.trailers {
            match self.place(key)? {
                Place::File(path) if file_fault(&path).is_none() => local.push((id.clone(), path)),
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
                let content = Trailer::content_of_tag(size, &tag);
                Ok(Trailer {
                    subject: Subject { id: id.into(), content },
                    store: store.url(),
                    key,
                    size,
                    tag: Some(tag),
                })
            }
            Place::File(path) => {
                let (content, size) = hash::of_file(path.clone()).await?;
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
