//! Opens a store by its URL.

use std::sync::Arc;

use super::https::HttpsSource;
use super::interface::ObjectStore;
use super::local::LocalStore;
use super::metered::MeteredStore;
use super::s3::S3Store;
use crate::error::{Error, Result};
use crate::redact::{is_path, shown_location};
use crate::settings::{S3Settings, Settings};

/// Opens the store at `url`: `file:///path`, a plain path, or `s3://bucket/prefix`.
pub async fn open(url: &str, s3: &S3Settings) -> Result<Arc<dyn ObjectStore>> {
    open_as(url, s3, |path| LocalStore::open(path)).await
}

/// Opens the store at `url` that belongs to others, to read: nothing in it is cleaned up.
pub async fn open_to_read(url: &str, s3: &S3Settings) -> Result<Arc<dyn ObjectStore>> {
    open_as(url, s3, |path| LocalStore::open_to_read(path)).await
}

/// Opens the location of trailers at `url`: what [`open_to_read`] opens, or a web server,
/// `https://host`, that the settings allow.
pub async fn open_source(url: &str, settings: &Settings) -> Result<Arc<dyn ObjectStore>> {
    match url.starts_with("https://") {
        true => Ok(Arc::new(HttpsSource::open(url, &settings.sources)?)),
        false => open_to_read(url, &settings.s3).await,
    }
}

async fn open_as(
    url: &str,
    s3: &S3Settings,
    open_local: fn(&str) -> Result<LocalStore>,
) -> Result<Arc<dyn ObjectStore>> {
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!(
                "the store `{}` names no bucket: write s3://bucket/prefix",
                shown_location(url)
            )));
        }
        if rest.contains(['@', '?', '#']) {
            return Err(Error::invalid(format!(
                "the store `{}` can be read in two ways: write s3://bucket/prefix without @, ? and #; credentials come from \
                 the environment",
                shown_location(url)
            )));
        }
        let store = S3Store::open(bucket, prefix, s3).await?;
        return Ok(Arc::new(MeteredStore(Arc::new(store))));
    }
    let (path, is_clear) = match url.strip_prefix("file://") {
        Some(path) => (path, path.starts_with('/')),
        None if url.contains("://") => {
            return Err(Error::invalid(format!(
                "the store `{}` has an unknown scheme: use file:///path or s3://bucket/prefix",
                shown_location(url)
            )));
        }
        None => (url, is_path(url)),
    };
    if !is_clear {
        return Err(Error::invalid(format!(
            "the store `{}` is neither a path nor a URL: use a path, file:///path or s3://bucket/prefix",
            shown_location(url)
        )));
    }
    Ok(Arc::new(MeteredStore(Arc::new(open_local(path)?))))
}
