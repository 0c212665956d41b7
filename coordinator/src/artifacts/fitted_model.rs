//! The fitted model: stores, finds and reads it, in the store or in a folder.

use std::collections::BTreeMap;
use std::path::Path;

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Subject};
use jhalak_common::dataset::Dataset;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::{self, RUN_VERSION, dataset_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

/// The record that names the model fitted last.
const LATEST: &str = "models/latest.json";
/// The file name of the dataset in a model folder.
pub const DATASET_FILE: &str = "dataset.json";
/// Maximum size of a model file that is read from a folder, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A stored model and the dataset that it was fitted on.
pub struct Stored {
    /// The files of the model by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The dataset.
    pub dataset: Dataset,
    /// The location, for people.
    pub place: String,
}

#[derive(Serialize, Deserialize)]
struct Latest {
    version: u32,
    recipe: Hash,
    subject: Subject,
}

/// Makes this model the default of `predict` and `recommend`.
pub async fn point_to(store: &dyn ObjectStore, key: &ArtifactKey) -> Result<()> {
    let latest = Latest { version: RUN_VERSION, recipe: key.recipe, subject: key.subject.clone() };
    run::put_json(store, LATEST, &latest).await
}

/// Reads the model that was fitted last.
///
/// # Errors
/// NotFound when nothing was fitted yet; InvalidInput when a file or record is damaged.
pub async fn latest(store: &dyn ObjectStore) -> Result<Stored> {
    let missing = || {
        Error::not_found(format!(
            "the store {} has no fitted model: start `jhalak fit --dataset DIR` with this store first, or name a folder with --model-dir",
            store.url()
        ))
    };
    let latest: Latest = run::get_json(store, LATEST).await?.ok_or_else(missing)?;
    let key = ArtifactKey { kind: ArtifactKind::Model, recipe: latest.recipe, subject: latest.subject };
    let record = artifact::committed(store, &key).await?.ok_or_else(missing)?;
    let mut files = BTreeMap::new();
    for file in &record.files {
        files.insert(file.name.clone(), artifact::read_file(store, &record, &file.name).await?.to_vec());
    }
    let place = dataset_key(&key.subject.content);
    let bytes = store.get(&place).await.map_err(|e| e.context("the dataset of the fitted model"))?;
    let dataset = parse(&bytes, &place)?;
    Ok(Stored { files, dataset, place: format!("{}/{}", store.url().trim_end_matches('/'), key.folder()) })
}

/// Reads the model in a folder that `jhalak fit --out` wrote.
///
/// # Errors
/// InvalidInput when a file is missing or damaged, or when the model was fitted on another dataset.
pub fn in_folder(folder: &Path) -> Result<Stored> {
    let cannot = |e: std::io::Error| {
        let kind =
            if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::InvalidInput } else { Error::from(e).kind() };
        Error::new(
            kind,
            format!("the model folder {} cannot be read: `jhalak fit --out DIR` writes one", folder.display()),
        )
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_file() && path.metadata().is_ok_and(|meta| meta.len() <= MAX_FILE_BYTES) {
            let bytes = std::fs::read(&path).map_err(|e| Error::from(e).context(path.display().to_string()))?;
            files.insert(name.to_owned(), bytes);
        }
    }
    let place = folder.join(DATASET_FILE);
    let bytes = files.remove(DATASET_FILE).ok_or_else(|| {
        Error::invalid(format!("{} is missing: `jhalak fit --out DIR` writes it with the model", place.display()))
    })?;
    let dataset = parse(&bytes, &place.display().to_string())?;
    let fitted_on = files
        .get("model.json")
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok())
        .and_then(|model| model["dataset_content"].as_str().map(str::to_owned));
    if fitted_on.is_some_and(|content| content != hash::of_bytes(&bytes).to_string()) {
        return Err(Error::invalid(format!(
            "{} is not the dataset that the model was fitted on: fit again",
            place.display()
        )));
    }
    Ok(Stored { files, dataset, place: folder.display().to_string() })
}

/// Writes the files of a model and its dataset into a folder, and creates the folder.
pub fn write_folder(folder: &Path, files: &BTreeMap<String, Vec<u8>>, dataset: &[u8]) -> Result<()> {
    let within = |e: std::io::Error| Error::from(e).context(format!("write the model to {}", folder.display()));
    std::fs::create_dir_all(folder).map_err(within)?;
    let mut entries = std::fs::read_dir(folder).map_err(within)?;
    // An earlier model is replaced; the files of others are not.
    if entries.next().is_some() && !folder.join(DATASET_FILE).is_file() {
        return Err(Error::invalid(format!(
            "{} holds other files than a model: name an empty folder",
            folder.display()
        )));
    }
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).map_err(within)?;
    }
    std::fs::write(folder.join(DATASET_FILE), dataset).map_err(within)
}

fn parse(bytes: &[u8], place: &str) -> Result<Dataset> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("{place} is damaged: fit again")).with_source(e))
}
