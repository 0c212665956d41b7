//! Reads the artifacts of one trailer.

use std::io::Read;

use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, CommitRecord, Recipe, Subject};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::thumbnail::{Thumbnail, thumbnail};

/// The most keyframes of a set that are read.
const MAX_KEYFRAMES: usize = 64;

/// The artifacts of one trailer. Those that were not made are empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrailerView {
    /// The movie's id.
    pub movie: String,
    /// The video stream.
    pub video: Option<VideoFacts>,
    /// Why the file ended early, if it did.
    pub short: Option<String>,
    /// The keyframes of each strategy.
    pub sets: Vec<KeyframeSet>,
    /// The scenes.
    pub scenes: Option<Scenes>,
    /// Objects by class over all frames that the detector saw, the most frequent first.
    pub objects: Vec<(String, u64)>,
    /// The sound.
    pub sound: Option<Sound>,
}

/// The video stream, as the commit record describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VideoFacts {
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Displayed width in pixels.
    pub width: u32,
    /// Displayed height in pixels.
    pub height: u32,
    /// Average frames per second.
    pub fps: f64,
    /// Seconds from the first frame to the end of the last one.
    pub duration_s: f64,
}

/// The keyframes of one strategy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyframeSet {
    /// The name of the strategy.
    pub strategy: String,
    /// The keyframes, in their order.
    pub keyframes: Vec<KeyframeView>,
    /// Black pictures that stand for missing keyframes.
    pub padding: usize,
    /// Why there are fewer than requested.
    pub shortfall: Option<String>,
}

/// A keyframe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyframeView {
    /// Seconds from the first frame of the video.
    pub time_s: f64,
    /// Number of its scene, from 1.
    pub scene: Option<u64>,
    /// Its objects.
    pub objects: Vec<ObjectView>,
    /// Width and height of the stored picture, in whose pixels the boxes are.
    pub size: [usize; 2],
    /// A small JPEG. Not part of JSON.
    #[serde(skip)]
    pub jpeg: Vec<u8>,
}

/// An object in a keyframe.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ObjectView {
    /// The name of its class.
    pub label: String,
    /// From 0 to 1.
    pub confidence: f32,
    /// Left, upper, right and lower edge in pixels of the stored picture.
    pub edges: [f32; 4],
}

/// The scenes of a trailer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Scenes {
    /// A frame with at least this score starts a scene.
    pub threshold: f64,
    /// The least number of frames of a scene; `None` in artifacts of older programs.
    #[serde(default)]
    pub min_scene_len: Option<u32>,
    /// First and last second of each scene.
    pub spans_s: Vec<[f64; 2]>,
    /// The score of each frame.
    pub scores: Vec<f64>,
}

/// The sound of a trailer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sound {
    /// The loudest sample of equal stretches, from 0 to 255; empty in artifacts of older programs.
    pub peaks: Vec<u8>,
    /// Why there is no embedding.
    pub without: Option<String>,
    /// Which track was read, if the file has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<TrackOf>,
}

/// One of several sound tracks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrackOf {
    /// Its number, from 1.
    pub number: u32,
    /// The number of tracks.
    pub of: u32,
}

/// The fields that are read of a keyframe's description.
#[derive(Deserialize)]
struct Description {
    #[serde(default)]
    padding: bool,
    #[serde(default)]
    time_s: f64,
    scene: Option<SceneOf>,
    objects: Option<ObjectsOf>,
}

#[derive(Deserialize)]
struct SceneOf {
    index: u64,
}

#[derive(Deserialize)]
struct ObjectsOf {
    objects: Vec<ObjectOf>,
}

#[derive(Deserialize)]
struct ObjectOf {
    class: usize,
    confidence: f32,
    #[serde(rename = "box")]
    bounds: Edges,
}

#[derive(Deserialize)]
struct Edges {
    left: f32,
    top: f32,
    right: f32,
    bottom: f32,
}

#[derive(Deserialize)]
struct SceneFile {
    fps: f64,
    threshold: f64,
    min_scene_len: Option<u32>,
    scenes: Vec<[u64; 2]>,
    #[serde(default)]
    shown_s: Vec<[f64; 2]>,
    scores: Vec<f64>,
}

#[derive(Deserialize)]
struct ObjectFile {
    classes: Vec<String>,
    histogram: Vec<u64>,
}

/// Reads what the store holds of a trailer under these recipes, with pictures of at least `width`
/// pixels; none when `width` is 0.
///
/// # Errors
/// InvalidInput when an artifact is damaged; the errors of the store.
pub async fn read(store: &dyn ObjectStore, recipes: &[Recipe], subject: &Subject, width: usize) -> Result<TrailerView> {
    let mut view = TrailerView { movie: subject.id.clone(), ..TrailerView::default() };
    for recipe in recipes {
        let Some(record) = artifact::committed(store, &ArtifactKey::new(recipe, subject)).await? else { continue };
        match recipe.kind {
            ArtifactKind::Keyframes => keyframes(store, &record, width, &mut view).await?,
            ArtifactKind::Scenes => {
                let file: SceneFile = json_file(store, &record, "scenes.json").await?;
                view.scenes = Some(file.into());
            }
            ArtifactKind::Objects => {
                let file: ObjectFile = json_file(store, &record, "objects.json").await?;
                let found = file.classes.into_iter().zip(file.histogram).filter(|(_, count)| *count > 0);
                view.objects = found.collect();
                view.objects.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            }
            ArtifactKind::AudioEmbedding => view.sound = Sound::deserialize(&record.facts).ok(),
            _ => {}
        }
    }
    Ok(view)
}

async fn json_file<T: serde::de::DeserializeOwned>(
    store: &dyn ObjectStore,
    record: &CommitRecord,
    name: &str,
) -> Result<T> {
    let bytes = artifact::read_file(store, record, name).await?;
    serde_json::from_slice(&bytes).map_err(|e| damaged(record, name).with_source(e))
}

fn damaged(record: &CommitRecord, name: &str) -> Error {
    let folder = ArtifactKey::new(&record.recipe, &record.subject).folder();
    Error::invalid(format!("{folder}{name} is damaged: delete the folder and repeat the run"))
}

async fn keyframes(store: &dyn ObjectStore, record: &CommitRecord, width: usize, view: &mut TrailerView) -> Result<()> {
    const FILE: &str = "keyframes.tar";
    let text = |value: &Value| value.as_str().map(str::to_owned);
    view.video = VideoFacts::deserialize(&record.facts["video"]).ok().or(view.video.take());
    view.short = text(&record.facts["outcome"]["reason"]).or(view.short.take());
    let mut set = KeyframeSet {
        strategy: text(&record.recipe.params["strategy"]).unwrap_or_else(|| "unknown".to_owned()),
        shortfall: text(&record.facts["shortfall"]),
        ..KeyframeSet::default()
    };
    let bytes = artifact::read_file(store, record, FILE).await?;
    let record = record.clone();
    // Decoding sixteen pictures takes longer than the runtime may be kept.
    let found = tokio::task::spawn_blocking(move || samples(&bytes, width).ok_or_else(|| damaged(&record, FILE)));
    for (description, picture) in found.await.map_err(|e| Error::bug("the pictures of a trailer").with_source(e))?? {
        if description.padding {
            set.padding += 1;
            continue;
        }
        let objects = description.objects.into_iter().flat_map(|found| found.objects);
        set.keyframes.push(KeyframeView {
            time_s: description.time_s,
            scene: description.scene.map(|scene| scene.index + 1),
            objects: objects.map(ObjectView::from).collect(),
            size: picture.of,
            jpeg: picture.jpeg,
        });
    }
    view.sets.push(set);
    Ok(())
}

/// Reads the samples of an archive: each JPEG is followed by its description. None when it is
/// damaged.
fn samples(tar: &[u8], width: usize) -> Option<Vec<(Description, Thumbnail)>> {
    const QUALITY: u8 = 62;
    let mut archive = tar::Archive::new(tar);
    let mut waiting: Option<Vec<u8>> = None;
    let mut found = Vec::new();
    for member in archive.entries().ok()? {
        let mut bytes = Vec::new();
        member.ok()?.read_to_end(&mut bytes).ok()?;
        let Some(jpeg) = waiting.take() else {
            waiting = Some(bytes);
            continue;
        };
        let description: Description = serde_json::from_slice(&bytes).ok()?;
        let picture = if width == 0 || description.padding {
            Thumbnail { width: 0, height: 0, jpeg: Vec::new(), of: [0; 2] }
        } else {
            thumbnail(&jpeg, width, QUALITY).ok()?
        };
        found.push((description, picture));
        if found.len() == MAX_KEYFRAMES {
            break;
        }
    }
    Some(found)
}

impl From<ObjectOf> for ObjectView {
    fn from(found: ObjectOf) -> Self {
        let Edges { left, top, right, bottom } = found.bounds;
        let label = jhalak_common::models::COCO
            .get(found.class)
            .map_or_else(|| format!("class {}", found.class), |name| (*name).to_owned());
        ObjectView { label, confidence: found.confidence, edges: [left, top, right, bottom] }
    }
}

impl From<SceneFile> for Scenes {
    fn from(file: SceneFile) -> Self {
        let fps = if file.fps > 0.0 { file.fps } else { 1.0 };
        let spans_s = match file.shown_s.is_empty() {
            true => file.scenes.iter().map(|span| span.map(|frame| frame as f64 / fps)).collect(),
            false => file.shown_s,
        };
        Scenes { threshold: file.threshold, min_scene_len: file.min_scene_len, spans_s, scores: file.scores }
    }
}
