//! What is extracted from a trailer: the parameters of its artifacts and how their recipes follow from the settings.

use serde::{Deserialize, Serialize};

use super::{ArtifactKind, Recipe};
use crate::error::Result;
use crate::models::{
    ClipInput, DetectorOutput, Model, ModelFacts, PictureInput, Registry, Role, SoundInput, WaveformInput, WindowInput,
};
use crate::settings::{InferenceSettings, KeyframePosition, Provider, Settings, Strategy};

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
    /// Which point of each interval, for equal intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<KeyframePosition>,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// How scenes are told apart, for the strategies that look at them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<SceneParams>,
    /// What counts as an object, for scene-object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectsParams>,
}

/// How scenes are told apart: parameters of [`ArtifactKind::Scenes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneParams {
    /// A frame whose score reaches this begins a scene.
    pub threshold: f64,
    /// Frames that a scene has at least.
    pub min_scene_len: u32,
}

impl SceneParams {
    /// How the settings tell scenes apart.
    fn of(settings: &Settings) -> SceneParams {
        let extract = &settings.extract;
        SceneParams { threshold: extract.scene_threshold, min_scene_len: extract.min_scene_len }
    }
}

/// How objects are found and counted. The detector is named by the recipe's checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectsParams {
    /// Scenes of this many frames or fewer are passed over.
    pub longer_than: u64,
    /// Objects count that score more than this.
    pub confidence: f32,
    /// Every how many frames of a scene the detector looks.
    pub stride: u64,
    /// How a picture becomes the detector's input.
    pub picture: PictureInput,
    /// What its output means.
    pub detector: DetectorOutput,
    /// What computes it.
    #[serde(flatten)]
    pub run: ModelRun,
}

impl ObjectsParams {
    /// How `model` is fed and its objects counted.
    pub fn of(model: &Model, settings: &Settings) -> Result<ObjectsParams> {
        let extract = &settings.extract;
        let mut params = Self::run_by(model, &settings.inference)?;
        params.longer_than = extract.scenes_longer_than;
        params.confidence = extract.object_confidence;
        params.stride = extract.object_stride;
        Ok(params)
    }

    /// Whether a worker that runs models as `inference` says would feed and read `model` as these parameters say.
    pub fn fits(&self, model: &Model, inference: &InferenceSettings) -> bool {
        let same =
            |own: ObjectsParams| own.picture == self.picture && own.detector == self.detector && own.run == self.run;
        Self::run_by(model, inference).is_ok_and(same)
    }

    fn run_by(model: &Model, inference: &InferenceSettings) -> Result<ObjectsParams> {
        let detector = section(&model.detector, model)?;
        if !detector.labels.is_coco() {
            return Err(crate::Error::invalid(format!(
                "the model `{}` does not tell COCO's classes apart, and scene-object keyframes need them",
                model.name
            )));
        }
        Ok(ObjectsParams {
            longer_than: 0,
            confidence: 0.0,
            stride: 1,
            picture: section(&model.picture, model)?,
            detector,
            run: ModelRun::of(model, inference),
        })
    }
}

/// Parameters of [`ArtifactKind::VideoEmbedding`]. The model is named by the recipe's checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoEmbeddingParams {
    /// How keyframes become the model's input.
    pub picture: PictureInput,
    /// How they become a clip, for a model that sees them together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipInput>,
    /// What computes it.
    #[serde(flatten)]
    pub run: ModelRun,
}

/// Parameters of [`ArtifactKind::AudioEmbedding`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AudioEmbeddingParams {
    /// Windows of features; the recipe's models are the features model, then the embedding model.
    Windows {
        /// How sound becomes features.
        sound: SoundInput,
        /// How features become windows.
        windows: WindowInput,
        /// Windows that are computed together.
        chunk_windows: usize,
        /// What computes it.
        #[serde(flatten)]
        run: ModelRun,
    },
    /// Sound as it is; the recipe's models are the embedding model, then the one that measures moments, where there is one.
    Waveform {
        /// How sound becomes input.
        waveform: WaveformInput,
        /// The same for the model that measures moments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moments: Option<WaveformInput>,
        /// What computes it.
        #[serde(flatten)]
        run: ModelRun,
    },
}

/// What of an inference's surroundings may change its last digits, or which of a file's outputs is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRun {
    /// Threads inside one inference.
    pub threads: usize,
    /// What computes.
    #[serde(default, skip_serializing_if = "Provider::is_cpu")]
    pub provider: Provider,
    /// The output that is read, where the registry names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl ModelRun {
    fn of(model: &Model, inference: &InferenceSettings) -> ModelRun {
        ModelRun {
            threads: inference.threads,
            provider: inference.provider,
            output: model.output.0.first().and_then(|o| o.name.clone()),
        }
    }
}

impl VideoEmbeddingParams {
    /// How `model` is fed.
    pub fn of(model: &Model, inference: &InferenceSettings) -> Result<VideoEmbeddingParams> {
        Ok(VideoEmbeddingParams {
            picture: section(&model.picture, model)?,
            clip: model.clip.clone(),
            run: ModelRun::of(model, inference),
        })
    }
}

impl AudioEmbeddingParams {
    /// How `model` is fed, and the models of the recipe in its order.
    pub fn of<'a>(
        model: &'a Model,
        registry: &'a Registry,
        inference: &InferenceSettings,
    ) -> Result<(AudioEmbeddingParams, Vec<&'a Model>)> {
        let run = ModelRun::of(model, inference);
        let Some(waveform) = model.waveform.clone() else {
            let windows = section(&model.windows, model)?;
            let features = registry.model(&windows.features, Role::AudioFeatures)?;
            let sound = section(&features.sound, features)?;
            let params = AudioEmbeddingParams::Windows { sound, windows, chunk_windows: CHUNK_WINDOWS, run };
            return Ok((params, vec![features, model]));
        };
        let Some(name) = &waveform.moments else {
            return Ok((AudioEmbeddingParams::Waveform { waveform, moments: None, run }, vec![model]));
        };
        let measured = registry.model(name, Role::AudioMoments)?;
        let moments = Some(section(&measured.waveform, measured)?);
        Ok((AudioEmbeddingParams::Waveform { waveform, moments, run }, vec![model, measured]))
    }

    /// The rate that the sound is asked for at.
    pub fn sample_rate_hz(&self) -> u32 {
        match self {
            AudioEmbeddingParams::Windows { sound, .. } => sound.sample_rate_hz,
            AudioEmbeddingParams::Waveform { waveform, .. } => waveform.sample_rate_hz,
        }
    }
}

/// What the settings ask to extract: the recipes of a trailer's artifacts, upstream before downstream, and the models that they use. Of
/// several video embeddings the first is the run's own: that of [`crate::settings::ExtractSettings::strategy`] by
/// [`crate::settings::ModelSettings::video`].
pub fn recipes(settings: &Settings, registry: &Registry) -> Result<(Vec<Recipe>, Vec<ModelFacts>)> {
    let strategies = settings.strategies();
    let (mut recipes, mut models) = (Vec::new(), Vec::new());
    if strategies.iter().any(|strategy| strategy.by_scenes()) {
        recipes.push(Recipe::new(ArtifactKind::Scenes, SceneParams::of(settings))?);
    }
    let video = registry.one_of(&settings.models.video, &Role::VIDEO)?;
    let mut video_models = vec![video];
    for name in &settings.models.video_also {
        let model = registry.one_of(name, &Role::VIDEO)?;
        if video_models.iter().all(|other| other.sha256 != model.sha256) {
            video_models.push(model);
        }
    }
    for (place, &strategy) in strategies.iter().enumerate() {
        let (keyframes, objects, detector) = keyframe_recipes(strategy, settings, registry)?;
        models.extend(detector);
        let through = if place == 0 { &video_models[..] } else { &[video] };
        let embeddings = through.iter().map(|model| video_recipe(&keyframes, model, settings));
        let embeddings = embeddings.collect::<Result<Vec<_>>>()?;
        recipes.push(keyframes);
        recipes.extend(objects);
        recipes.extend(embeddings);
    }
    models.extend(video_models);
    let audio = registry.one_of(&settings.models.audio, &Role::AUDIO)?;
    let (params, heard) = AudioEmbeddingParams::of(audio, registry, &settings.inference)?;
    let mut audio_embedding = Recipe::new(ArtifactKind::AudioEmbedding, params)?;
    audio_embedding.models = heard.iter().map(|model| model.sha256).collect();
    recipes.push(audio_embedding);
    models.extend(heard);
    Ok((recipes, models.into_iter().map(facts).collect()))
}

/// The recipe of the video embedding of these keyframes by `model`.
fn video_recipe(keyframes: &Recipe, model: &Model, settings: &Settings) -> Result<Recipe> {
    let params = VideoEmbeddingParams::of(model, &settings.inference)?;
    let mut recipe = Recipe::new(ArtifactKind::VideoEmbedding, params)?;
    recipe.models = vec![model.sha256];
    recipe.upstream = vec![keyframes.hash()];
    Ok(recipe)
}

/// The recipe of keyframes; for scene-object also that of objects, and the detector.
fn keyframe_recipes<'a>(
    strategy: Strategy,
    settings: &Settings,
    registry: &'a Registry,
) -> Result<(Recipe, Option<Recipe>, Option<&'a Model>)> {
    let extract = &settings.extract;
    let detector = match strategy {
        Strategy::SceneObject => Some(registry.model(&settings.models.detector, Role::Detector)?),
        Strategy::EqualInterval | Strategy::SceneMiddle => None,
    };
    let params = KeyframesParams {
        strategy,
        count: KEYFRAMES,
        position: (!strategy.by_scenes()).then_some(extract.keyframe_position),
        jpeg_quality: extract.jpeg_quality,
        scenes: strategy.by_scenes().then(|| SceneParams::of(settings)),
        objects: detector.map(|model| ObjectsParams::of(model, settings)).transpose()?,
    };
    let models: Vec<_> = detector.iter().map(|model| model.sha256).collect();
    let made = |kind| Recipe::new(kind, &params).map(|recipe| Recipe { models: models.clone(), ..recipe });
    let objects = detector.map(|_| made(ArtifactKind::Objects)).transpose()?;
    Ok((made(ArtifactKind::Keyframes)?, objects, detector))
}

fn section<T: Clone>(section: &Option<T>, model: &Model) -> Result<T> {
    section
        .clone()
        .ok_or_else(|| crate::Error::bug(format!("the registry let the model {} pass without its section", model.name)))
}

fn facts(model: &Model) -> ModelFacts {
    let source = match &model.source {
        Some(source) => format!("{} package {} {}", source.registry, source.package, source.version),
        None => format!("the file {}", model.file.display()),
    };
    ModelFacts {
        name: model.name.clone(),
        role: model.role.name().into(),
        sha256: model.sha256,
        licence: model.licence.clone(),
        source,
    }
}
