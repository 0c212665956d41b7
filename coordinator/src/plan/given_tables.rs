//! Embeddings that were computed elsewhere, as tables of a run: they take the place of its
//! trailers.

use std::sync::Arc;

use jhalak_common::Result;
use jhalak_common::artifact::table::{self, ShardedWriter};
use jhalak_common::artifact::table_file::Table;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::evaluation::Modality;
use jhalak_common::hash;
use jhalak_common::run::{GivenTable, RunSpec};
use jhalak_common::settings::TablePrecision;
use jhalak_common::store::ObjectStore;
use serde_json::json;

/// The rows of a given table, next to its entry in the specification.
#[derive(Debug, Clone)]
pub struct GivenRows {
    /// The entry.
    pub entry: GivenTable,
    /// The rows, of movies of the dataset alone.
    pub rows: Arc<Table>,
}

impl GivenRows {
    /// Returns the table `kind` of `rows`, which were read from `file`.
    ///
    /// # Errors
    /// Those of the canonical form of its parameters.
    pub fn new(kind: ArtifactKind, rows: Table, file: String, dataset: &Subject) -> Result<Self> {
        let content = hash::of_json(&json!(rows.rows));
        let mut params = table::params(rows.rows.len(), TablePrecision::Float32);
        params["given"] = json!(content);
        let entry = GivenTable {
            recipe: Recipe::new(kind, params)?,
            subject: Subject { id: dataset.id.clone(), content },
            file,
            dim: rows.dim,
            movies: rows.rows.len(),
        };
        Ok(Self { entry, rows: Arc::new(rows) })
    }

    /// Commits the table, if it is not committed.
    ///
    /// # Errors
    /// A full disk, and those of the store.
    pub async fn commit(self, store: &dyn ObjectStore) -> Result<()> {
        let GivenTable { recipe, subject, .. } = &self.entry;
        if artifact::committed(store, &ArtifactKey::new(recipe, subject)).await?.is_some() {
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        let mut writer = ShardedWriter::new(folder.path(), self.rows.rows.len(), TablePrecision::Float32);
        self.rows.rows.iter().try_for_each(|(id, vector)| writer.push(id, vector))?;
        writer.commit(store, recipe, subject, json!({ "without": [] })).await
    }
}

/// Returns the modality that the tables or trailers of a run give; None without any.
pub fn modality(given: &[GivenTable], has_trailers: bool) -> Option<Modality> {
    let has = |kind| given.iter().any(|table| table.recipe.kind == kind);
    match (has(ArtifactKind::VideoTable), has(ArtifactKind::AudioTable)) {
        (true, true) => Some(Modality::AudioVideo),
        (true, false) => Some(Modality::Video),
        (false, true) => Some(Modality::Audio),
        (false, false) => has_trailers.then_some(Modality::AudioVideo),
    }
}

/// Returns the modality that a planned run gives to models that read trailers.
pub fn modality_of(spec: &RunSpec, trailers: usize) -> Option<Modality> {
    modality(&spec.given, trailers > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn given_tables_decide_the_modality_and_trailers_without_them() {
        let dataset = Subject { id: "films".into(), content: hash::of_bytes(b"films") };
        let given = |kind| {
            let rows = Table { dim: 1, rows: [("m0".to_owned(), vec![1.0])].into() };
            GivenRows::new(kind, rows, "a.npy".into(), &dataset).expect("a recipe").entry
        };
        let (video, audio) = (given(ArtifactKind::VideoTable), given(ArtifactKind::AudioTable));
        assert_ne!(video.recipe.hash(), audio.recipe.hash());
        assert_eq!(modality(&[], false), None);
        assert_eq!(modality(&[], true), Some(Modality::AudioVideo));
        assert_eq!(modality(std::slice::from_ref(&audio), false), Some(Modality::Audio));
        assert_eq!(modality(&[video, audio], false), Some(Modality::AudioVideo));
    }
}
