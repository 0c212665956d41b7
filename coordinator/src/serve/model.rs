//! The final model of a run, read from the store for one request.

use std::collections::BTreeMap;

use jhalak_common::artifact::{
    self, ArtifactKey, ArtifactKind, COMMIT_FILE, COMMIT_VERSION, CommitRecord, check_version,
};
use jhalak_common::dataset::Dataset;
use jhalak_common::run::dataset_key;
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_worker::blocking;
use jhalak_worker::recommend::serving::LoadedModel;

use super::index::RunIndex;
use super::site::Site;

/// Reads the final model that the report of a run names.
///
/// # Errors
/// NotFound, with the way out, before the run has fitted one.
pub async fn of_run(site: &Site, index: &RunIndex, folder: Option<String>) -> Result<LoadedModel> {
    let (store, run) = (site.store.as_ref(), &index.plan.spec.id);
    let missing = || {
        Error::not_found(format!(
            "the run {run} has no final model yet: a run fits it before it writes its report, if its dataset has ratings"
        ))
    };
    // The report names the folder by its address in the store.
    let folder = folder.ok_or_else(missing)?;
    let folder = ArtifactKey::folder_in_url(&folder, ArtifactKind::Model).ok_or_else(missing)?;
    let key = format!("{folder}/{COMMIT_FILE}");
    let bytes = store.get(&key).await.map_err(|e| if e.kind() == ErrorKind::NotFound { missing() } else { e })?;
    let damaged = |e| Error::invalid(format!("{key} is damaged: fit the model again")).with_source(e);
    let value = serde_json::from_slice(&bytes).map_err(damaged)?;
    check_version(&value, COMMIT_VERSION, &key)?;
    let record: CommitRecord = serde_json::from_value(value).map_err(damaged)?;
    let mut files = BTreeMap::new();
    for file in &record.files {
        files.insert(file.name.clone(), artifact::read_file(store, &record, &file.name).await?.to_vec());
    }
    let key = dataset_key(&record.subject.content);
    let bytes = store.get(&key).await.map_err(|e| e.context("the dataset of the final model"))?;
    blocking::compute(move || {
        let damaged = |e| Error::invalid(format!("{key} is damaged: start the run again")).with_source(e);
        let dataset: Dataset = serde_json::from_slice(&bytes).map_err(damaged)?;
        LoadedModel::read(&files, dataset).map_err(Error::from)
    })
    .await
}
