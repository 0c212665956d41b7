//! The inputs that the parts of an export share: the run, its dataset, and how files and columns
//! name things.

use std::path::{Path, PathBuf};

use jhalak_common::Result;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, CommitRecord, Recipe, Subject};
use jhalak_common::dataset::Dataset;
use jhalak_common::store::ObjectStore;

use crate::artifacts::embedding_tables::GatheredTable;
use crate::plan::Plan;

/// The parts that are exported in addition to the tables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Also write each keyframe as a JPEG in a folder of its trailer.
    pub pictures: bool,
}

/// The inputs that the parts of an export share.
pub(crate) struct Context<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) plan: &'a Plan,
    pub(super) dataset: Dataset,
    pub(super) tables: Vec<GatheredTable>,
    pub(super) out: &'a Path,
    pub(super) options: Options,
}

impl Context<'_> {
    /// Reads the commit record of a trailer's artifact; None if it is not committed.
    pub(super) async fn committed(&self, recipe: &Recipe, subject: &Subject) -> Result<Option<CommitRecord>> {
        artifact::committed(self.store, &ArtifactKey::new(recipe, subject)).await
    }

    pub(super) fn recipes(&self, kind: ArtifactKind) -> impl Iterator<Item = &Recipe> {
        self.plan.spec.recipes.iter().filter(move |recipe| recipe.kind == kind)
    }

    pub(super) fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.plan.trailers.trailers.iter().map(|trailer| &trailer.subject)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    /// The name of the model with this checksum.
    pub(super) fn model_name(&self, recipe: &Recipe) -> String {
        let named = |sha256| self.plan.spec.models.iter().find(|model| model.sha256 == sha256);
        // An embedding of windows of sound names the model of features first.
        let place = usize::from(recipe.params.get("windows").is_some());
        let model = recipe.models.get(place).and_then(|sha256| named(*sha256));
        model.map_or_else(|| "unknown".to_owned(), |model| model.name.clone())
    }

    /// The name of the strategy of a recipe of keyframes or of what follows from one.
    pub(super) fn strategy(&self, recipe: &Recipe) -> String {
        let own = |recipe: &Recipe| recipe.params["strategy"].as_str().map(str::to_owned);
        let upstream = || {
            let hash = recipe.upstream.first()?;
            self.recipes(ArtifactKind::Keyframes).find(|keyframes| keyframes.hash() == *hash).and_then(own)
        };
        own(recipe).or_else(upstream).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The title and the genres of a movie.
    pub(super) fn title(&self, id: &str) -> (String, Vec<String>) {
        let movie = self.dataset.movie_index(id).map(|index| &self.dataset.movies[index]);
        movie.map_or_else(|| (id.to_owned(), Vec::new()), |movie| (movie.name.clone(), movie.genres.clone()))
    }

    /// The length of a trailer's video in seconds, as a decode for keyframes found it.
    pub(super) async fn duration_s(&self, subject: &Subject) -> Result<Option<f64>> {
        let Some(recipe) = self.recipes(ArtifactKind::Keyframes).next() else { return Ok(None) };
        let record = self.committed(recipe, subject).await?;
        Ok(record.and_then(|record| record.facts["video"]["duration_s"].as_f64()))
    }

    /// Facts that every table states.
    pub(super) fn metadata(&self) -> Vec<(String, String)> {
        let spec = &self.plan.spec;
        vec![
            ("run".into(), spec.id.clone()),
            ("dataset".into(), spec.dataset.id.clone()),
            ("dataset_sha256".into(), spec.dataset.content.to_string()),
            ("synthetic".into(), spec.synthetic.to_string()),
        ]
    }
}

/// A part of a file name: the characters of `name` that no file system refuses.
pub(crate) fn file_word(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}
