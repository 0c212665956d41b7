//! What is extracted from a trailer: the parameters of its artifacts and how their recipes follow from the settings.

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKind, Recipe};
use crate::error::Result;
use crate::models::{Model, PictureInput, Registry, Role, SoundInput, WindowInput};
use crate::run::ModelFacts;
use crate::settings::{KeyframePosition, Settings};

/// Keyframes of a trailer, as the method says.
pub const KEYFRAMES: u32 = 16;

/// Windows of sound that are computed together; see [`SoundInput::floor_below_max_db`].
pub const CHUNK_WINDOWS: usize = 64;

/// Parameters of [`ArtifactKind::Keyframes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyframesParams {
    /// How they are chosen.
    pub strategy: Strategy,
    /// How many.
    pub count: u32,
    /// Which point of each interval.
    pub position: KeyframePosition,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
}

/// How keyframes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// At equal intervals over the trailer.
    EqualInterval,
}

/// Parameters of [`ArtifactKind::VideoEmbedding`]. The models are named by the recipe's checksums.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoEmbeddingParams {
    /// How keyframes become the model's input.
    pub picture: PictureInput,
    /// Threads inside one inference: another number may give other last digits.
    pub threads: usize,
}

/// Parameters of [`ArtifactKind::AudioEmbedding`]. The recipe's models are the features model, then the embedding model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioEmbeddingParams {
    /// How sound becomes features.
    pub sound: SoundInput,
    /// How features become windows.
    pub windows: WindowInput,
    /// Windows that are computed together.
    pub chunk_windows: usize,
    /// Threads inside one inference.
    pub threads: usize,
}

/// What the settings ask to extract: the recipes of a trailer's artifacts, upstream before downstream, and the models that they use.
pub fn recipes(settings: &Settings, registry: &Registry) -> Result<(Vec<Recipe>, Vec<ModelFacts>)> {
    let threads = settings.models.threads;
    let keyframes = Recipe::new(
        ArtifactKind::Keyframes,
        KeyframesParams {
            strategy: Strategy::EqualInterval,
            count: KEYFRAMES,
            position: settings.extract.keyframe_position,
            jpeg_quality: settings.extract.jpeg_quality,
        },
    )?;
    let image = registry.model(&settings.models.video, Role::ImageEmbedding)?;
    let audio = registry.model(&settings.models.audio, Role::AudioEmbedding)?;
    let windows = section(&audio.windows, audio)?;
    let features = registry.model(&windows.features, Role::AudioFeatures)?;
    let mut video_embedding = Recipe::new(
        ArtifactKind::VideoEmbedding,
        VideoEmbeddingParams { picture: section(&image.picture, image)?, threads },
    )?;
    video_embedding.models = vec![image.sha256];
    video_embedding.upstream = vec![keyframes.hash()];
    let mut audio_embedding = Recipe::new(
        ArtifactKind::AudioEmbedding,
        AudioEmbeddingParams {
            sound: section(&features.sound, features)?,
            windows,
            chunk_windows: CHUNK_WINDOWS,
            threads,
        },
    )?;
    audio_embedding.models = vec![features.sha256, audio.sha256];
    let models = [image, features, audio].map(facts).to_vec();
    Ok((vec![keyframes, video_embedding, audio_embedding], models))
}

fn section<T: Clone>(section: &Option<T>, model: &Model) -> Result<T> {
    section
        .clone()
        .ok_or_else(|| crate::Error::bug(format!("the registry let the model {} pass without its section", model.name)))
}

fn facts(model: &Model) -> ModelFacts {
    let source = &model.source;
    ModelFacts {
        name: model.name.clone(),
        role: model.role.name().into(),
        sha256: model.sha256,
        licence: model.licence.clone(),
        source: format!("{} package {} {}", source.registry, source.package, source.version),
    }
}
