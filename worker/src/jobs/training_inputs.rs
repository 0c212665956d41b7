//! The inputs of training jobs: the dataset and the tables of embeddings, cached for the next job.

use std::sync::Arc;

use jhalak_common::artifact::{self, ArtifactKey, Subject, table};
use jhalak_common::dataset::Dataset;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::dataset_key;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use tokio::sync::Mutex;

use jhalak_recommend::features::embedding::{Features, TableRows};

/// The dataset and the tables that were read last. The jobs of a run follow each other and read the
/// same.
#[derive(Default)]
pub(super) struct TrainingInputs(Mutex<Option<Loaded>>);

struct Loaded {
    content: Hash,
    tables: Vec<ArtifactKey>,
    rows: TableRows,
    inputs: Inputs,
}

/// The inputs of a training job.
#[derive(Clone)]
pub(super) struct Inputs {
    pub(super) dataset: Arc<Dataset>,
    pub(super) features: Arc<Features>,
    /// The contents of the tables that have rows, which the job's recipe names.
    pub(super) contents: Vec<Hash>,
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
    ) -> Result<Inputs> {
        let content = dataset.content;
        let mut last = self.0.lock().await;
        let is_known =
            |l: &&Loaded| l.content == content && l.tables == tables && (l.rows == rows || tables.is_empty());
        if let Some(loaded) = last.as_ref().filter(is_known) {
            return Ok(loaded.inputs.clone());
        }
        // What was read last is freed first: two catalogues at once may not fit.
        let known = last.take().filter(|l| l.content == content).map(|l| l.inputs.dataset);
        let dataset = match known {
            Some(dataset) => dataset,
            None => read_dataset(store, &content).await?,
        };
        let (mut features, mut contents) = (Features::default(), Vec::new());
        for key in tables {
            let record = artifact::committed(store, key).await?.ok_or_else(|| {
                Error::not_found(format!("the table {} is not committed: submit the run again", key.folder()))
            })?;
            contents.extend(table::content(&record));
            features.read(store, &record, &dataset, rows).await?;
        }
        let inputs = Inputs { dataset, features: Arc::new(features), contents };
        *last = Some(Loaded { content, tables: tables.to_vec(), rows, inputs: inputs.clone() });
        Ok(inputs)
    }
}

async fn read_dataset(store: &dyn ObjectStore, content: &Hash) -> Result<Arc<Dataset>> {
    let key = dataset_key(content);
    let bytes = store.get(&key).await.map_err(|e| e.context("cannot read the run's dataset"))?;
    let read = Dataset::read_normal_form(&hash::of_bytes(&bytes), content, || serde_json::from_slice(&bytes));
    read.map(Arc::new).map_err(|e| e.context(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::artifact::table::{SHARD_ROWS, ShardedWriter};
    use jhalak_common::artifact::{ArtifactKind, Recipe};
    use jhalak_common::dataset::{Label, Movie, Rating, User};
    use jhalak_common::settings::TablePrecision;
    use jhalak_common::store::local::LocalStore;
    use serde_json::json;

    const MOVIES: usize = SHARD_ROWS + 100;
    /// A rated movie of each of the two shards.
    const RATED: [u32; 2] = [3, SHARD_ROWS as u32 + 7];

    fn id(movie: usize) -> String {
        format!("tt{movie:07}")
    }

    #[tokio::test]
    async fn evaluation_of_a_large_catalogue_holds_the_rows_of_rated_movies_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = LocalStore::open(folder.path().join("store")).expect("a folder");
        let rating = |movie| Rating { user: 0, movie, label: Label::Like, half_stars: None };
        let dataset = Dataset {
            name: "d".into(),
            synthetic: true,
            movies: (0..MOVIES).map(|i| Movie { id: id(i), ..Movie::default() }).collect(),
            users: vec![User { id: "u".into(), ..User::default() }],
            ratings: RATED.map(rating).to_vec(),
            times: Vec::new(),
            genres: Vec::new(),
        };
        let json = dataset.canonical_json().expect("JSON");
        let subject = Subject { id: "d".into(), content: hash::of_bytes(json.as_bytes()) };
        store.put(&dataset_key(&subject.content), json.into()).await.expect("room on disk");
        let mut writer = ShardedWriter::new(folder.path(), MOVIES, TablePrecision::Float32);
        (0..MOVIES).for_each(|i| writer.push(&id(i), &[i as f32]).expect("room on disk"));
        let recipe =
            Recipe::new(ArtifactKind::VideoTable, table::params(MOVIES, TablePrecision::Float32)).expect("JSON");
        writer.commit(&store, &recipe, &subject, json!({ "without": [] })).await.expect("room on disk");

        let inputs = TrainingInputs::default();
        let tables = [ArtifactKey::new(&recipe, &subject)];
        for (wanted, held) in [(TableRows::Rated, RATED.len()), (TableRows::All, MOVIES)] {
            let Inputs { features, .. } = inputs.load(&store, &subject, &tables, wanted).await.expect("a table");
            let video = features.video.as_ref().expect("a table");
            assert_eq!((video.dim, video.rows.len(), video.rows.iter().flatten().count()), (1, MOVIES, held));
            assert!(RATED.iter().all(|&movie| video.row(movie).is_some_and(|row| *row == [movie as f32])));
        }
    }
}
