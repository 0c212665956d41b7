//! The inputs of training jobs: the dataset and the tables of embeddings, cached for the next job.

use std::sync::Arc;

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Subject, table};
use jhalak_common::dataset::Dataset;
use jhalak_common::hash::Hash;
use jhalak_common::run::dataset_key;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use tokio::sync::Mutex;

use jhalak_recommend::features::embedding::{EmbeddingTable, Features, TableRows};

/// The dataset and the tables that were read last. The jobs of a run follow each other and read the
/// same.
#[derive(Default)]
pub(super) struct TrainingInputs(Mutex<Option<Loaded>>);

struct Loaded {
    content: Hash,
    tables: Vec<ArtifactKey>,
    rows: TableRows,
    dataset: Arc<Dataset>,
    features: Arc<Features>,
}

impl TrainingInputs {
    /// Returns the dataset and these rows of `tables`; reads them from `store` unless they were
    /// read last.
    ///
    /// # Errors
    /// InvalidInput where one of them is damaged or not committed.
    pub(super) async fn load(
        &self,
        store: &dyn ObjectStore,
        dataset: &Subject,
        tables: &[ArtifactKey],
        rows: TableRows,
    ) -> Result<(Arc<Dataset>, Arc<Features>)> {
        let content = dataset.content;
        let mut last = self.0.lock().await;
        let is_known =
            |l: &&Loaded| l.content == content && l.tables == tables && (l.rows == rows || tables.is_empty());
        if let Some(loaded) = last.as_ref().filter(is_known) {
            return Ok((loaded.dataset.clone(), loaded.features.clone()));
        }
        // What was read last is freed first: two catalogues at once may not fit.
        let known = last.take().filter(|l| l.content == content).map(|l| l.dataset);
        let dataset = match known {
            Some(dataset) => dataset,
            None => read_dataset(store, &content).await?,
        };
        let mut features = Features::default();
        for key in tables {
            let record = artifact::committed(store, key).await?.ok_or_else(|| not_committed(key))?;
            let embeddings = Some(EmbeddingTable::read(store, &record, &dataset, rows).await?);
            match key.kind {
                ArtifactKind::VideoTable => features.video = embeddings,
                ArtifactKind::AudioTable => features.audio = embeddings,
                other => return Err(Error::invalid(format!("a training job cannot read {} artifacts", other.name()))),
            }
        }
        let features = Arc::new(features);
        let tables = tables.to_vec();
        *last = Some(Loaded { content, tables, rows, dataset: dataset.clone(), features: features.clone() });
        Ok((dataset, features))
    }
}

/// Returns the contents of committed tables that have rows.
///
/// # Errors
/// InvalidInput where one is not committed.
pub(super) async fn table_contents(store: &dyn ObjectStore, tables: &[ArtifactKey]) -> Result<Vec<Hash>> {
    let mut contents = Vec::new();
    for key in tables {
        let record = artifact::committed(store, key).await?.ok_or_else(|| not_committed(key))?;
        contents.extend(table::content(&record));
    }
    Ok(contents)
}

fn not_committed(key: &ArtifactKey) -> Error {
    Error::invalid(format!("the table {} is not committed: submit the run again", key.folder()))
}

async fn read_dataset(store: &dyn ObjectStore, content: &Hash) -> Result<Arc<Dataset>> {
    let key = dataset_key(content);
    let bytes = store.get(&key).await.map_err(|e| e.context("cannot read the run's dataset"))?;
    let dataset: Dataset = serde_json::from_slice(&bytes)
        .map_err(|e| Error::invalid(format!("{key} is damaged: submit the run again")).with_source(e))?;
    Ok(Arc::new(dataset))
}
