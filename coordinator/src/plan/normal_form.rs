//! The stored form of a dataset: canonical JSON, in a file while it is not stored.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};

use jhalak_common::artifact::Subject;
use jhalak_common::dataset::Dataset;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::dataset_key;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use tempfile::{NamedTempFile, TempPath};

/// A dataset as it is stored.
pub struct NormalForm {
    /// Identifies the dataset: its name and the hash of the JSON.
    pub subject: Subject,
    file: TempPath,
}

impl NormalForm {
    /// Writes the canonical JSON of a dataset to a temporary file.
    ///
    /// # Errors
    /// A full disk.
    pub fn of(dataset: &Dataset) -> Result<NormalForm> {
        let mut file = BufWriter::with_capacity(1 << 18, NamedTempFile::new()?);
        let content = dataset.write_canonical_json(&mut file)?;
        file.flush()?;
        let file = file.into_inner().map_err(|e| Error::from(e.into_error()))?;
        Ok(NormalForm { subject: Subject { id: subject_id(&dataset.name), content }, file: file.into_temp_path() })
    }

    /// Stores the dataset under its hash, and replaces an object with other bytes.
    pub async fn keep(&self, store: &dyn ObjectStore) -> Result<()> {
        let key = dataset_key(&self.subject.content);
        match fetch(store, &key).await {
            Ok((_, content)) if content == self.subject.content => return Ok(()),
            Ok(_) => {
                tracing::warn!(key, "the stored dataset holds other bytes than its name states: storing it again");
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        store.upload(&key, &self.file).await
    }
}

/// Fetches a stored dataset into a file, and returns its hash.
async fn fetch(store: &dyn ObjectStore, key: &str) -> Result<(TempPath, Hash)> {
    let file = NamedTempFile::new()?.into_temp_path();
    store.download(key, &file, None).await?;
    let (content, _) = hash::of_file(file.to_path_buf()).await?;
    Ok((file, content))
}

/// Reads the stored dataset of this subject, in the memory of the dataset alone.
///
/// # Errors
/// NotFound if the stored bytes belong to another dataset.
pub async fn read(store: &dyn ObjectStore, subject: &Subject) -> Result<Dataset> {
    let key = dataset_key(&subject.content);
    let (file, found) = fetch(store, &key).await.map_err(|e| e.context("the run's dataset"))?;
    let content = subject.content;
    let read = tokio::task::spawn_blocking(move || {
        let reader = BufReader::with_capacity(1 << 18, File::open(&file)?);
        Dataset::read_normal_form(&found, &content, || serde_json::from_reader(reader)).map_err(|e| e.context(key))
    });
    read.await.map_err(|e| Error::bug("reading a dataset panicked").with_source(e))?
}

/// Returns the name of a dataset as part of a key.
pub(super) fn subject_id(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(60).collect();
    let kept = kept.trim_matches('.').to_string();
    if kept.is_empty() { "dataset".into() } else { kept }
}
