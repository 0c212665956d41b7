//! Extracts one file in this process and outside any run: for questions about a new trailer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jhalak_common::artifact::embedding_file::{self, Vectors};
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, Recipe, Subject};
use jhalak_common::hash;
use jhalak_common::models::Registry;
use jhalak_common::run::job::{ExtractTask, Job, Task, Trailer};
use jhalak_common::settings::Settings;
use jhalak_common::store::ObjectStore;
use jhalak_common::store::local::LocalStore;
use jhalak_common::{Error, Result};
use jhalak_worker::inference::Models;
use jhalak_worker::jobs::{self, Context, JobProgress};
use jhalak_worker::media::ffmpeg::source::NO_VIDEO;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The artifacts that were extracted from a file.
pub struct Extracted {
    /// The embeddings, by `video` and `audio`; neither key for a file without video or sound.
    pub embeddings: BTreeMap<&'static str, Vectors>,
    /// The keyframes, as the commit record describes them.
    pub keyframes: Vec<Value>,
}

impl Extracted {
    /// Reads what is committed of these recipes for a trailer.
    pub async fn stored(store: &dyn ObjectStore, recipes: &[Recipe], subject: &Subject) -> Result<Extracted> {
        let mut found = Extracted { embeddings: BTreeMap::new(), keyframes: Vec::new() };
        for recipe in recipes {
            let Some(record) = artifact::committed(store, &ArtifactKey::new(recipe, subject)).await? else { continue };
            let modality = match recipe.kind {
                ArtifactKind::VideoEmbedding => "video",
                ArtifactKind::AudioEmbedding => "audio",
                _ => {
                    found.keyframes = record.facts["keyframes"].as_array().cloned().unwrap_or_default();
                    continue;
                }
            };
            if !record.files.is_empty() {
                let bytes = artifact::read_file(store, &record, embedding_file::FILE).await?;
                found.embeddings.insert(modality, embedding_file::decode(&bytes)?);
            }
        }
        Ok(found)
    }
}

/// Returns the recipes of the primary video embedding, its keyframes and the audio embedding.
pub fn primary(recipes: &[Recipe]) -> Vec<Recipe> {
    let of = |kind| recipes.iter().find(move |recipe| recipe.kind == kind);
    let video = of(ArtifactKind::VideoEmbedding);
    let keyframes = video.and_then(|video| {
        let upstream = video.upstream.first()?;
        recipes.iter().find(|recipe| recipe.kind == ArtifactKind::Keyframes && recipe.hash() == *upstream)
    });
    [keyframes, video, of(ArtifactKind::AudioEmbedding)].into_iter().flatten().cloned().collect()
}

/// Extracts what `recipes` make from the video or sound file `file`. Leaves nothing behind.
///
/// # Errors
/// InvalidInput if the file does not decode; Unable if a model of the recipes is not in the
/// registry.
pub async fn extract(
    file: &Path,
    recipes: &[Recipe],
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<Extracted> {
    if recipes.iter().any(|recipe| recipe.contract != recipe.kind.contract()) {
        return Err(Error::invalid(
            "the run was extracted by another version of this program, whose vectors may differ: start the same run or \
             extraction again, and ask the new run",
        ));
    }
    let scratch = tempfile::tempdir_in(&settings.worker.scratch)?;
    let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::open(scratch.path().join("store"))?);
    let absolute = file.canonicalize().map_err(|e| Error::from(e).context(file.display().to_string()))?;
    let unnamed = || Error::invalid(format!("{}: the path is not UTF-8: rename the file", file.display()));
    let name = absolute.file_name().and_then(|name| name.to_str()).ok_or_else(unnamed)?;
    let folder = absolute.parent().and_then(Path::to_str).ok_or_else(unnamed)?;
    let (content, size) = hash::of_file(absolute.clone()).await?;
    let subject = Subject { id: "file".to_owned(), content };
    let trailer =
        Trailer { subject: subject.clone(), store: format!("file://{folder}"), key: name.to_owned(), size, tag: None };
    let models = Models::open(settings, Registry::load(settings.models.registry.as_deref())?)?;
    let mut of_worker = settings.clone();
    of_worker.worker.sources.push(trailer.store.clone());
    let context = Arc::new(Context::new(store.clone(), of_worker, Some(models))?);
    let job = async |wanted: Vec<Recipe>| {
        let task = Task::Extract(ExtractTask { trailer: trailer.clone(), wanted });
        let job = Job::new("file", "file", store.url(), task);
        jobs::run(&context, &job, &Arc::new(JobProgress::new()), stop.clone()).await
    };
    let within = |e: Error| Error::new(e.kind(), format!("{}: {}", file.display(), e.chain()));
    match job(recipes.to_vec()).await {
        // A file of sound alone has an audio embedding.
        Err(error) if error.chain().contains(NO_VIDEO) => {
            let sound = recipes.iter().filter(|recipe| recipe.kind == ArtifactKind::AudioEmbedding);
            job(sound.cloned().collect()).await.map_err(within)?;
        }
        other => drop(other.map_err(within)?),
    }
    Extracted::stored(store.as_ref(), recipes, &subject).await
}
