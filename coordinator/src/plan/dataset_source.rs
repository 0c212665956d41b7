//! The source of a dataset, a local folder or a prefix in S3: reads its tables, finds and
//! identifies its trailers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    location: Location,
}

enum Location {
    Folder(PathBuf),
    Store { store: std::sync::Arc<dyn ObjectStore>, sizes: BTreeMap<String, (u64, String)> },
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
    Ok(Source { reading, url: url.to_string(), location })
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

    async fn trailer(&self, id: &str, key: &str, upload: Option<&dyn ObjectStore>) -> Result<Trailer> {
        match &self.location {
            Location::Store { store, sizes } => {
                let (size, tag) = sizes
                    .get(key)
                    .cloned()
                    .ok_or_else(|| Error::bug(format!("{key} was listed and does not exist")))?;
                let content = Trailer::content_of_tag(size, &tag);
                Ok(Trailer {
                    subject: Subject { id: id.into(), content },
                    store: store.url(),
                    key: key.into(),
                    size,
                    tag: Some(tag),
                })
            }
            Location::Folder(folder) => {
                let path = folder.join(key);
                let (content, size) = hash::of_file(path.clone()).await?;
                let subject = Subject { id: id.into(), content };
                let Some(target) = upload else {
                    return Ok(Trailer { subject, store: file_url(folder)?, key: key.into(), size, tag: None });
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

fn file_url(folder: &Path) -> Result<String> {
    let absolute =
        folder.canonicalize().map_err(|e| Error::from(e).context(format!("the dataset {}", folder.display())))?;
    Ok(format!("file://{}", absolute.display()))
}
