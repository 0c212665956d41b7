//! The state that all pages share: the store, the templates, and what was read before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use jhalak_common::settings::Settings;
use jhalak_common::store::{self, ObjectStore};
use jhalak_common::{Error, ErrorKind, Result};
use serde::Serialize;
use tokio::sync::{Mutex, OnceCell, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::answer::{self, Form};
use super::cache::Cache;
use super::failure::Failure;
use super::held_models::Held;
use super::index::{Indexes, RunIndex};
use super::templates::Templates;
use super::uploads::Uploads;

/// Bytes of pictures that are held in memory.
const PICTURE_CACHE_BYTES: usize = 48 << 20;

/// Pictures that are scaled at once.
const MAX_SCALING: usize = 2;

/// Computations with the model, and uploads, at once; others wait.
const MAX_HEAVY: usize = 1;

/// Uploads that arrive at once; more are refused.
const MAX_UPLOADS: usize = 4;

/// Streams of states at once; more are refused, so that pages have connections left.
const MAX_STREAMS: usize = 128;

/// How long a request waits for the computations of others.
const MAX_QUEUE: Duration = Duration::from_secs(60);

/// Stores of trailers that are kept open.
const MAX_SOURCES: usize = 16;

/// The largest upload where nothing else is set, in MB.
pub const UPLOAD_LIMIT_MB: u64 = 256;

/// A picture: the folder of its artifact, and which picture of it.
type PictureKey = (String, Which);

/// A picture of an artifact of keyframes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// The keyframe with this number, as it is.
    Number(usize),
    /// The keyframe that shows most, small.
    Poster,
}

/// The state that all pages share.
pub struct Site {
    /// The store, to read.
    pub store: Arc<dyn ObjectStore>,
    /// The settings, for models, decoding and the locations of trailers.
    pub settings: Settings,
    /// The largest upload in MB; 0 to refuse uploads.
    pub upload_mb: u64,
    /// Cancelled when the server stops: streams end.
    pub stop: CancellationToken,
    /// The templates.
    pub templates: Templates,
    /// Pictures that were read or scaled before.
    pub pictures: Cache<PictureKey>,
    /// Permits to scale pictures.
    pub scaling: Semaphore,
    /// Models that were read before.
    pub models: Held,
    heavy: Semaphore,
    arriving: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    uploads: OnceCell<Uploads>,
    indexes: Indexes,
    sources: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Site {
    /// Creates the site over a store.
    ///
    /// # Errors
    /// Bug for a template that does not compile.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        settings: Settings,
        upload_mb: u64,
        stop: CancellationToken,
    ) -> Result<Arc<Site>> {
        Ok(Arc::new(Site {
            store,
            settings,
            upload_mb,
            stop,
            templates: Templates::new()?,
            pictures: Cache::new(PICTURE_CACHE_BYTES),
            scaling: Semaphore::new(MAX_SCALING),
            models: Held::default(),
            heavy: Semaphore::new(MAX_HEAVY),
            arriving: Arc::new(Semaphore::new(MAX_UPLOADS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            uploads: OnceCell::new(),
            indexes: Indexes::default(),
            sources: Mutex::default(),
        }))
    }

    /// Answers with a value, as a page or as JSON.
    pub fn answer<T: Serialize>(&self, form: Form, template: &str, value: &T) -> Result<Response, Failure> {
        answer::answer(&self.templates, form, template, value)
    }

    /// Waits for the permit to compute something that takes seconds.
    ///
    /// # Errors
    /// 503 where others compute for too long.
    pub async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let busy = || Failure::busy("others wait for recommendations");
        let permit = tokio::time::timeout(MAX_QUEUE, self.heavy.acquire()).await.map_err(|_| busy())?;
        permit.map_err(|_| busy())
    }

    /// Returns the permit to send a file.
    ///
    /// # Errors
    /// 503 where too many others send one.
    pub fn arrival(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.arriving.clone().try_acquire_owned().map_err(|_| Failure::busy("others send files"))
    }

    /// Returns the permit to follow a run.
    ///
    /// # Errors
    /// 503 where too many others follow one.
    pub fn stream(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.streams.clone().try_acquire_owned().map_err(|_| Failure::busy("too many pages follow a run"))
    }

    /// Returns the workshop for uploads, opened at the first call.
    pub async fn uploads(&self) -> Result<&Uploads, Failure> {
        Ok(self.uploads.get_or_try_init(|| Uploads::open(&self.settings)).await?)
    }

    /// Returns the workshop for uploads, if something was uploaded.
    pub fn opened_uploads(&self) -> Option<&Uploads> {
        self.uploads.get()
    }

    /// Checks that the folder of a local store is there: an absent one reads like an empty one.
    ///
    /// # Errors
    /// 503 while it is away, as after a lost mount.
    pub fn check_store(&self) -> Result<(), Failure> {
        let url = self.store.url();
        match url.strip_prefix("file://") {
            Some(folder) if !std::path::Path::new(folder).is_dir() => {
                Err(Error::transient(format!("the folder of the store {url} is not there now")).into())
            }
            _ => Ok(()),
        }
    }

    /// Returns the index of a run.
    pub async fn index(&self, run: &str) -> Result<Arc<RunIndex>, Failure> {
        self.check_store()?;
        self.indexes.of(&self.store, run).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::missing(format!("{}: see the list of runs", error.chain())),
            _ => error.into(),
        })
    }

    /// Returns the store that holds a trailer: this store, a location that the setting
    /// worker.sources names or, for a local store, a folder of this machine.
    ///
    /// # Errors
    /// Permission for any other location: a record in a shared store must not open what only this
    /// process may read.
    pub async fn source(&self, url: &str) -> Result<Arc<dyn ObjectStore>> {
        let own = self.store.url();
        if url == own {
            return Ok(self.store.clone());
        }
        let is_local = !own.starts_with("s3://");
        let is_known = [&own].into_iter().chain(&self.settings.worker.sources).any(|root| contains(root, url));
        // A process that writes to a folder of this machine can write its records, too.
        let is_allowed = is_known || (is_local && contains("file:///", url));
        if !is_allowed {
            return Err(Error::permission(format!(
                "the trailer is in {}, which this server may not read: add that location to worker.sources",
                url.escape_debug()
            )));
        }
        let mut sources = self.sources.lock().await;
        if let Some(source) = sources.get(url) {
            return Ok(source.clone());
        }
        let source = store::open_to_read(url, &self.settings.s3).await?;
        if sources.len() >= MAX_SOURCES {
            sources.clear();
        }
        sources.insert(url.to_owned(), source.clone());
        Ok(source)
    }
}

/// Whether the location `url` is `root` or lies below it. A location with `..` lies nowhere.
fn contains(root: &str, url: &str) -> bool {
    let path = |location: &str| {
        let location = location.strip_prefix("file://").unwrap_or(location);
        match location.contains("://") {
            true => Some(location.trim_end_matches('/').to_owned()),
            false => std::path::absolute(location).ok()?.to_str().map(|path| path.trim_end_matches('/').to_owned()),
        }
    };
    let (false, Some(path_of_root), Some(path)) = (root.is_empty(), path(root), path(url)) else { return false };
    let Some(rest) = path.strip_prefix(&path_of_root) else { return false };
    (rest.is_empty() || rest.starts_with('/')) && !url.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_location_contains_only_paths_below_it() {
        for (root, url) in [
            ("s3://films/dataset", "s3://films/dataset/2026"),
            ("file:///data", "file:///data/films"),
            ("/data/", "file:///data"),
            ("file:///", "file:///data"),
        ] {
            assert!(contains(root, url), "{root} {url}");
        }
        for (root, url) in [
            ("s3://films/dataset", "s3://films/dataset2"),
            ("file:///data", "file:///data/../etc"),
            ("file:///data", "s3://data"),
            ("", "file:///etc"),
            ("file:///", "s3://data"),
            ("file:///", "file:///data/../etc"),
        ] {
            assert!(!contains(root, url), "{root} {url}");
        }
    }
}
