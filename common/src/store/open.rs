//! Opens a store by its URL.

use std::sync::Arc;

use super::interface::ObjectStore;
use super::local::LocalStore;
use super::s3::S3Store;
use crate::error::{Error, Result};
use crate::settings::S3Settings;

/// Opens the store at `url`: `file:///path`, a plain path, or `s3://bucket/prefix`.
pub async fn open(url: &str, s3: &S3Settings) -> Result<Arc<dyn ObjectStore>> {
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(Error::invalid(format!("the store `{url}` names no bucket: write s3://bucket/prefix")));
        }
        return Ok(Arc::new(S3Store::open(bucket, prefix, s3).await?));
    }
    let path = match url.strip_prefix("file://") {
        Some(path) => path,
        None if url.contains("://") => {
            return Err(Error::invalid(format!(
                "the store `{url}` has an unknown scheme: use file:///path or s3://bucket/prefix"
            )));
        }
        None => url,
    };
    Ok(Arc::new(LocalStore::open(path)?))
}
