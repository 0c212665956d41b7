//! The findings in a trailer, read from its artifacts: keyframes by strategy, scenes, objects,
//! sound.

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, CommitRecord, Recipe, Subject};
use jhalak_common::models::COCO;
use jhalak_common::run::ModelFacts;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use jhalak_worker::media::{Keyframe, Padding, SoundChoice, VideoInfo};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serve::svg;

/// Width and height of the score curve.
const CURVE: (f64, f64) = (1000.0, 120.0);

/// Width and height of the waveform.
const WAVEFORM: (f64, f64) = (1000.0, 60.0);

/// Scores above this are drawn at the upper edge.
const TOP_SCORE: f64 = 100.0;

/// The largest file of scenes that is drawn, in bytes.
const MAX_SCENES_BYTES: u64 = 32 << 20;

/// The findings in a trailer.
#[derive(Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Looked {
    /// The video's properties; null before it is decoded.
    video: Option<Video>,
    /// The keyframes of each strategy.
    strategies: Vec<Strategy>,
    /// The scenes, if the run detects them.
    scenes: Option<Scenes>,
    /// Objects by class, most frequent first, summed over the frames that the detector looked at in
    /// scenes long enough for a keyframe.
    objects: Vec<ClassCount>,
    /// Facts about the sound from its embedding; null before it is embedded.
    sound: Option<String>,
    /// The waveform as an SVG path over 1000 by 60: the loudest sample of equal stretches, relative
    /// to the loudest of all; null without sound, and in artifacts of older programs.
    waveform: Option<String>,
    /// The artifacts of the run's recipes.
    artifacts: Vec<Artifact>,
}

/// The properties of a video.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Video {
    /// Codec.
    codec: String,
    /// Pixels per row.
    width: u32,
    /// Rows.
    height: u32,
    /// Frames per second.
    fps: f64,
    /// Seconds.
    duration_s: f64,
    /// Frames, if counted.
    frames: Option<u64>,
}

/// The keyframes of one strategy.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Strategy {
    /// Its name.
    name: String,
    /// The start of the hash of its recipe.
    recipe: String,
    /// The pictures.
    pictures: Vec<Picture>,
    /// Black pictures that complete the set.
    padding: u64,
    /// Why there are fewer than requested.
    shortfall: Option<String>,
}

/// A keyframe.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Picture {
    /// Its number.
    number: u32,
    /// Its frame.
    frame: u64,
    /// Its time in seconds.
    time_s: f64,
    /// The number of its scene, from 1.
    scene: Option<u64>,
    /// Objects that it was chosen for, in pixels of the picture.
    boxes: Vec<BoxOf>,
}

/// An object in a picture.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BoxOf {
    /// Its class.
    label: String,
    /// Confidence, 0 to 1.
    confidence: f32,
    /// Left edge.
    x: f32,
    /// Upper edge.
    y: f32,
    /// Width.
    width: f32,
    /// Height.
    height: f32,
}

/// The scenes of a trailer.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scenes {
    /// A frame with at least this score starts a scene.
    threshold: f64,
    /// The least number of frames of a scene; null in artifacts of older programs.
    min_scene_len: Option<u32>,
    /// The height of the threshold in the curve.
    threshold_y: f64,
    /// The points of the curve of scores, over 1000 by 120.
    curve: String,
    /// The scenes.
    scenes: Vec<Scene>,
}

/// A scene.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Scene {
    /// Its number, from 1.
    number: u64,
    /// Its start in seconds.
    start_s: f64,
    /// Its end in seconds.
    end_s: f64,
    /// Its start in the curve.
    x: f64,
    /// Its width in the curve.
    width: f64,
}

/// The objects of a class.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClassCount {
    /// The class.
    label: String,
    /// Number of objects.
    count: u64,
    /// The share of the most frequent class, 0 to 100.
    width: f64,
}

/// An artifact.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Artifact {
    /// Its kind.
    kind: String,
    /// The strategy of keyframes.
    strategy: Option<String>,
    /// The hash of its recipe.
    recipe: String,
    /// The parameters of its recipe, as JSON text.
    parameters: String,
    /// The models that made it.
    models: Vec<String>,
    /// Its folder in the store.
    folder: String,
    /// Whether it is committed.
    is_committed: bool,
    /// Its files.
    files: Vec<FileOf>,
}

/// A file of an artifact.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileOf {
    /// Its name.
    name: String,
    /// Its size in bytes.
    size: u64,
    /// The hash of its bytes.
    sha256: String,
}

/// Reads the facts about a trailer from its artifacts in `store`.
pub async fn look(
    store: &dyn ObjectStore,
    recipes: &[Recipe],
    models: &[ModelFacts],
    subject: &Subject,
) -> Result<Looked> {
    let mut looked = Looked::default();
    for recipe in recipes {
        let key = ArtifactKey::new(recipe, subject);
        let record = artifact::committed(store, &key).await?;
        looked.artifacts.push(describe(recipe, models, &key, record.as_ref()));
        let Some(record) = record else { continue };
        match recipe.kind {
            ArtifactKind::Keyframes => looked.keyframes(recipe, &record)?,
            ArtifactKind::Scenes => looked.scenes = scenes(store, &record).await?,
            ArtifactKind::Objects => looked.objects = objects(store, &record).await?,
            ArtifactKind::AudioEmbedding => {
                looked.sound = Some(sound(&record));
                looked.waveform = waveform(&record);
            }
            _ => {}
        }
    }
    Ok(looked)
}

fn describe(recipe: &Recipe, models: &[ModelFacts], key: &ArtifactKey, record: Option<&CommitRecord>) -> Artifact {
    let name = |hash: &jhalak_common::hash::Hash| {
        models.iter().find(|model| model.sha256 == *hash).map_or_else(|| hash.short(), |model| model.name.clone())
    };
    let files = record.map(|record| record.files.as_slice()).unwrap_or_default();
    Artifact {
        kind: recipe.kind.name().to_owned(),
        strategy: recipe.params["strategy"].as_str().map(str::to_owned),
        recipe: key.recipe.to_string(),
        parameters: serde_json::to_string_pretty(&recipe.params).unwrap_or_default(),
        models: recipe.models.iter().map(name).collect(),
        folder: key.folder(),
        is_committed: record.is_some(),
        files: files
            .iter()
            .map(|file| FileOf { name: file.name.clone(), size: file.size, sha256: file.sha256.to_string() })
            .collect(),
    }
}

/// The facts in the commit record of keyframes.
#[derive(Deserialize)]
struct KeyframeFacts {
    video: VideoInfo,
    keyframes: Vec<Keyframe>,
    #[serde(default)]
    padding: Vec<Padding>,
    #[serde(default)]
    shortfall: Option<String>,
}

/// Reads the facts of a commit record.
fn facts<T: serde::de::DeserializeOwned>(record: &CommitRecord) -> Result<T> {
    T::deserialize(&record.facts).map_err(|e| {
        let place = ArtifactKey::new(&record.recipe, &record.subject).commit();
        Error::invalid(format!("{place} has facts that this version does not read")).with_source(e)
    })
}

impl Looked {
    /// Whether an artifact of the run's recipes is not committed.
    pub fn lacks_artifacts(&self) -> bool {
        self.artifacts.iter().any(|artifact| !artifact.is_committed)
    }

    fn keyframes(&mut self, recipe: &Recipe, record: &CommitRecord) -> Result<()> {
        let facts: KeyframeFacts = facts(record)?;
        let VideoInfo { codec, width, height, fps, duration_s, frames, .. } = facts.video;
        self.video.get_or_insert(Video { codec, width, height, fps, duration_s, frames });
        self.strategies.push(Strategy {
            name: recipe.params["strategy"].as_str().unwrap_or("keyframes").to_owned(),
            recipe: recipe.hash().short(),
            pictures: facts.keyframes.into_iter().map(picture).collect(),
            padding: facts.padding.len() as u64,
            shortfall: facts.shortfall,
        });
        Ok(())
    }
}

fn picture(keyframe: Keyframe) -> Picture {
    let objects = keyframe.objects.map(|found| found.objects).unwrap_or_default();
    Picture {
        number: keyframe.index,
        frame: keyframe.frame,
        time_s: keyframe.time_s,
        scene: keyframe.scene.map(|scene| scene.index + 1),
        boxes: objects
            .into_iter()
            .map(|object| BoxOf {
                label: COCO.get(object.class as usize).copied().unwrap_or("object").to_owned(),
                confidence: object.confidence,
                x: object.bounds.left,
                y: object.bounds.top,
                width: (object.bounds.right - object.bounds.left).max(0.0),
                height: (object.bounds.bottom - object.bounds.top).max(0.0),
            })
            .collect(),
    }
}

/// The parts of `scenes.json` that are drawn.
#[derive(Deserialize)]
struct SceneFile {
    threshold: f64,
    #[serde(default)]
    min_scene_len: Option<u32>,
    shown_s: Vec<[f64; 2]>,
    scores: Vec<f64>,
}

async fn scenes(store: &dyn ObjectStore, record: &CommitRecord) -> Result<Option<Scenes>> {
    const FILE: &str = "scenes.json";
    if record.files.iter().all(|file| file.name != FILE || file.size > MAX_SCENES_BYTES) {
        return Ok(None);
    }
    let bytes = artifact::read_file(store, record, FILE).await?;
    let damaged = |e| Error::invalid(format!("{FILE} of {} cannot be read", record.subject.id)).with_source(e);
    let SceneFile { threshold, min_scene_len, shown_s, scores } = serde_json::from_slice(&bytes).map_err(damaged)?;
    let (width, height) = CURVE;
    let end = shown_s.last().map_or(1.0, |scene| scene[1]).max(1e-6);
    let scene = |(i, [start_s, end_s]): (usize, &[f64; 2])| Scene {
        number: i as u64 + 1,
        start_s: *start_s,
        end_s: *end_s,
        x: width * start_s / end,
        width: (width * (end_s - start_s) / end).max(0.0),
    };
    let top = scores.iter().copied().fold(2.0 * threshold, f64::max).min(TOP_SCORE.max(threshold));
    Ok(Some(Scenes {
        threshold,
        min_scene_len,
        threshold_y: height - height * (threshold / top).min(1.0),
        curve: svg::curve(&scores, width, height, top),
        scenes: shown_s.iter().enumerate().map(scene).collect(),
    }))
}

/// The parts of `objects.json` that are drawn.
#[derive(Deserialize)]
struct ObjectFile {
    classes: Vec<String>,
    histogram: Vec<u64>,
}

async fn objects(store: &dyn ObjectStore, record: &CommitRecord) -> Result<Vec<ClassCount>> {
    const FILE: &str = "objects.json";
    let bytes = artifact::read_file(store, record, FILE).await?;
    let damaged = |e| Error::invalid(format!("{FILE} of {} cannot be read", record.subject.id)).with_source(e);
    let ObjectFile { classes, histogram } = serde_json::from_slice(&bytes).map_err(damaged)?;
    let most = histogram.iter().copied().max().unwrap_or(0).max(1) as f64;
    let mut counts: Vec<ClassCount> = classes
        .into_iter()
        .zip(histogram)
        .filter(|(_, count)| *count > 0)
        .map(|(label, count)| ClassCount { label, count, width: 100.0 * count as f64 / most })
        .collect();
    counts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.label.cmp(&b.label)));
    Ok(counts)
}

fn waveform(record: &CommitRecord) -> Option<String> {
    let peaks: Vec<u8> = Vec::deserialize(&record.facts["peaks"]).ok()?;
    let loudest = peaks.iter().copied().max().filter(|loudest| *loudest > 0)?;
    let peaks: Vec<f64> = peaks.iter().map(|peak| f64::from(*peak) / f64::from(loudest)).collect();
    Some(svg::waveform(&peaks, WAVEFORM.0, WAVEFORM.1))
}

/// The sound in a sentence.
fn sound(record: &CommitRecord) -> String {
    let facts = &record.facts;
    match (record.files.is_empty(), facts["windows"].as_u64(), facts["dim"].as_u64()) {
        (false, Some(windows), Some(dim)) => {
            let track =
                SoundChoice::deserialize(&facts["track"]).map_or_else(|_| "sound".to_owned(), |t| t.to_string());
            format!("{windows} windows of {track}, embedded in {dim} numbers")
        }
        (false, ..) => "embedded".to_owned(),
        (true, ..) => match facts["without"].as_str() {
            Some(reason) => format!("no embedding: {reason}"),
            None => "no sound".to_owned(),
        },
    }
}
