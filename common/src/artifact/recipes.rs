//! Recipes of the artifacts that are extracted from a trailer: their parameters, and how they
//! follow from the settings.

use serde::{Deserialize, Serialize};

use super::{ArtifactKind, Recipe};
use crate::error::Result;
use crate::models::{
    ClipInput, DetectorOutput, Model, ModelFacts, PictureInput, Registry, Role, SoundInput, WaveformInput, WindowInput,
};
use crate::settings::{InferenceSettings, KeyframePosition, Provider, Settings, Strategy};

/// Keyframes per trailer, as in the paper.
pub const KEYFRAMES: u32 = 16;

/// Maximum number of windows that an audio embedding stores as parts: as many as keyframes.
pub const SOUND_PARTS: usize = KEYFRAMES as usize;

/// Windows of sound in one inference; see [`SoundInput::floor_below_max_db`].
pub const CHUNK_WINDOWS: usize = 64;

/// Parameters of [`ArtifactKind::Keyframes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyframesParams {
    /// The strategy that chooses them.
    pub strategy: Strategy,
    /// Their number.
    pub count: u32,
    /// The point of each interval, for equal intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<KeyframePosition>,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// How scenes are detected, for the strategies that use scenes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<SceneParams>,
    /// Which objects count, for scene-object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectsParams>,
}

/// How scenes are detected: parameters of [`ArtifactKind::Scenes`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneParams {
    /// A frame with at least this score starts a scene.
    pub threshold: f64,
    /// Minimum length of a scene in frames.
    pub min_scene_len: u32,
}

impl SceneParams {
    /// Takes the parameters from the settings.
    fn of(settings: &Settings) -> SceneParams {
        let extract = &settings.extract;
        SceneParams { threshold: extract.scene_threshold, min_scene_len: extract.min_scene_len }
    }
}

/// How objects are found and counted. The recipe names the detector by its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectsParams {
    /// Scenes of this many frames or fewer are skipped.
    pub longer_than: u64,
    /// Only objects with a higher score count.
    pub confidence: f32,
    /// The detector runs on every n-th frame of a scene.
    pub stride: u64,
    /// How a picture becomes the detector's input.
    pub picture: PictureInput,
    /// The meaning of its output.
    pub detector: DetectorOutput,
    /// How the model is run.
    #[serde(flatten)]
    pub run: ModelRun,
}

impl ObjectsParams {
    /// Returns the input of `model` and the counting of its objects.
    pub fn of(model: &Model, settings: &Settings) -> Result<ObjectsParams> {
        let extract = &settings.extract;
        let mut params = Self::run_by(model, &settings.inference)?;
        params.longer_than = extract.scenes_longer_than;
        params.confidence = extract.object_confidence;
        params.stride = extract.object_stride;
        Ok(params)
    }

    /// Whether a worker with the settings `inference` would feed and read `model` with these
    /// parameters.
    pub fn fits(&self, model: &Model, inference: &InferenceSettings) -> bool {
        let same =
            |own: ObjectsParams| own.picture == self.picture && own.detector == self.detector && own.run == self.run;
        Self::run_by(model, inference).is_ok_and(same)
    }

    fn run_by(model: &Model, inference: &InferenceSettings) -> Result<ObjectsParams> {
        let detector = section(&model.detector, model)?;
        if !detector.labels.is_coco() {
            return Err(crate::Error::invalid(format!(
                "the model `{}` does not detect the classes of COCO, which scene-object keyframes need",
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

/// Parameters of [`ArtifactKind::VideoEmbedding`]. The recipe names the model by its checksum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoEmbeddingParams {
    /// How keyframes become the model's input.
    pub picture: PictureInput,
    /// How they become a clip, for a model that takes all keyframes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipInput>,
    /// How the model is run.
    #[serde(flatten)]
    pub run: ModelRun,
}

/// Parameters of an [`ArtifactKind::AudioEmbedding`] that also stores windows of the sound. Those
/// of one that stores the mean alone are inside, as in every version: a worker that does not know
/// of windows refuses these parameters and does not leave the windows out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AudioPartsParams {
    embedding: AudioEmbeddingParams,
    /// Maximum number of windows: [`SOUND_PARTS`].
    parts: usize,
}

/// Whether the recipe is that of an audio embedding with windows of the sound.
pub fn has_sound_parts(recipe: &Recipe) -> bool {
    recipe.kind == ArtifactKind::AudioEmbedding && recipe.params.get("parts").is_some()
}

/// Parameters of [`ArtifactKind::AudioEmbedding`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AudioEmbeddingParams {
    /// Windows of features. The recipe's models are the feature model, then the embedding model.
    Windows {
        /// How sound becomes features.
        sound: SoundInput,
        /// How features become windows.
        windows: WindowInput,
        /// Windows in one inference.
        chunk_windows: usize,
        /// How the model is run.
        #[serde(flatten)]
        run: ModelRun,
    },
    /// Raw samples. The recipe's models are the embedding model, then the model that measures
    /// moments, if any.
    Waveform {
        /// How sound becomes the model's input.
        waveform: WaveformInput,
        /// How sound becomes the input of the model that measures moments.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moments: Option<WaveformInput>,
        /// How the model is run.
        #[serde(flatten)]
        run: ModelRun,
    },
}

/// The conditions of an inference that may change its last digits, and which output of the file is
/// read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRun {
    /// Threads inside one inference.
    pub threads: usize,
    /// The execution provider.
    #[serde(default, skip_serializing_if = "Provider::is_cpu")]
    pub provider: Provider,
    /// The output that is read, if the registry names one.
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
    /// Returns how `model` is fed.
    pub fn of(model: &Model, inference: &InferenceSettings) -> Result<VideoEmbeddingParams> {
        Ok(VideoEmbeddingParams {
            picture: section(&model.picture, model)?,
            clip: model.clip.clone(),
            run: ModelRun::of(model, inference),
        })
    }
}

impl AudioEmbeddingParams {
    /// Returns how `model` is fed, and the models of the recipe in its order.
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

    /// Reads the parameters of a recipe, with or without windows of the sound.
    ///
    /// # Errors
    /// InvalidInput for parameters that this version does not read.
    pub fn of_recipe(recipe: &Recipe) -> Result<AudioEmbeddingParams> {
        if !has_sound_parts(recipe) {
            return recipe.parse();
        }
        let AudioPartsParams { embedding, parts } = recipe.parse()?;
        if parts != SOUND_PARTS {
            return Err(crate::Error::invalid(format!(
                "an audio embedding with up to {parts} windows is planned, and this version stores up to {SOUND_PARTS}: \
                 use the version that planned it"
            )));
        }
        Ok(embedding)
    }

    /// Returns the sample rate of the model's input.
    pub fn sample_rate_hz(&self) -> u32 {
        match self {
            AudioEmbeddingParams::Windows { sound, .. } => sound.sample_rate_hz,
            AudioEmbeddingParams::Waveform { waveform, .. } => waveform.sample_rate_hz,
        }
    }
}

/// Returns the recipes of a trailer's artifacts under these settings, upstream before downstream,
/// and the models that they use. The first video embedding is the run's primary one: the strategy
/// [`crate::settings::ExtractSettings::strategy`] with the model
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
    let mut audio_embedding = match settings.evaluate.trailer_attention {
        true => {
            let params = AudioPartsParams { embedding: params, parts: SOUND_PARTS };
            Recipe::new(ArtifactKind::AudioEmbedding, params)?
        }
        false => Recipe::new(ArtifactKind::AudioEmbedding, params)?,
    };
    audio_embedding.models = heard.iter().map(|model| model.sha256).collect();
    recipes.push(audio_embedding);
    models.extend(heard);
    Ok((recipes, models.into_iter().map(facts).collect()))
}

/// Returns the recipe of the video embedding of these keyframes by `model`.
fn video_recipe(keyframes: &Recipe, model: &Model, settings: &Settings) -> Result<Recipe> {
    let params = VideoEmbeddingParams::of(model, &settings.inference)?;
    let mut recipe = Recipe::new(ArtifactKind::VideoEmbedding, params)?;
    recipe.models = vec![model.sha256];
    recipe.upstream = vec![keyframes.hash()];
    Ok(recipe)
}

/// Returns the recipe of keyframes and, for scene-object, the recipe of objects and the detector.
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
        .ok_or_else(|| crate::Error::bug(format!("the registry accepted the model {} without its section", model.name)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_sound_change_the_audio_recipe_alone_and_an_earlier_worker_refuses_it() {
        let registry = Registry::load(None).expect("the built-in models");
        let mut settings = Settings::default();
        let (before, _) = recipes(&settings, &registry).expect("recipes");
        settings.evaluate.trailer_attention = true;
        let (after, _) = recipes(&settings, &registry).expect("recipes");
        let changed: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
        let [(plain, with_parts)] = changed[..] else { panic!("{changed:?}") };
        assert_eq!((plain.kind, has_sound_parts(plain)), (ArtifactKind::AudioEmbedding, false));
        assert!(has_sound_parts(with_parts));
        let of = |recipe| AudioEmbeddingParams::of_recipe(recipe).expect("parameters");
        assert_eq!(of(plain), of(with_parts));
        assert!(with_parts.parse::<AudioEmbeddingParams>().is_err(), "as a worker that knows no windows reads it");
        let mut other = with_parts.clone();
        other.params["parts"] = 99.into();
        assert!(AudioEmbeddingParams::of_recipe(&other).expect_err("another number").to_string().contains("99"));
    }
}
