//! What a decode is asked for and what it reports. Both cross a process boundary as JSON.

use crate::detector::Object;
use crate::error::MediaError;
use crate::scenes::SceneSettings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One decode of one trailer. Only what is asked for is decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeRequest {
    /// The trailer's id; names the members of the keyframe archive (see [`DecodeRequest::member_stem`]).
    pub id: String,
    /// The trailer: a regular file. Never interpreted as a URL.
    pub video: PathBuf,
    /// An existing folder that receives `keyframes.tar`, `keyframes-*.tar`, `scenes.*` and `audio.s16le`; older files of these names are replaced.
    pub out_dir: PathBuf,
    /// Keyframes at equal intervals, if wanted.
    #[serde(default)]
    pub keyframes: Option<KeyframeSettings>,
    /// The list of scenes, if wanted.
    #[serde(default)]
    pub scenes: Option<SceneSettings>,
    /// Keyframes from the middle of scenes, if wanted.
    #[serde(default)]
    pub scene_middle: Option<SceneMiddleSettings>,
    /// Keyframes with the most objects, if wanted. Needs a detector.
    #[serde(default)]
    pub scene_object: Option<SceneObjectSettings>,
    /// Frames for a viewer, if wanted. The file may then be a picture, too.
    #[serde(default)]
    pub frames: Option<FrameSettings>,
    /// The sound track, if wanted.
    #[serde(default)]
    pub audio: Option<AudioSettings>,
}

impl DecodeRequest {
    /// A request that asks for nothing yet.
    pub fn new(id: impl Into<String>, video: impl Into<PathBuf>, out_dir: impl Into<PathBuf>) -> Self {
        let (id, video, out_dir) = (id.into(), video.into(), out_dir.into());
        Self {
            id,
            video,
            out_dir,
            keyframes: None,
            scenes: None,
            scene_middle: None,
            scene_object: None,
            frames: None,
            audio: None,
        }
    }

    /// The id as it stands in file names: ASCII letters, digits, `-` and `_` stay, every other character becomes `_`
    /// (a dot would end the sample's key for webdataset), at most 80 of them.
    pub fn member_stem(&self) -> String {
        let kept = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }
        };
        let stem: String = self.id.chars().take(80).map(kept).collect();
        if stem.is_empty() { "_".to_owned() } else { stem }
    }

    /// Whether anything that is asked for depends on scenes.
    pub fn needs_scenes(&self) -> bool {
        self.scenes.is_some() || self.scene_middle.is_some() || self.scene_object.is_some()
    }

    /// Whether every setting is in its range.
    pub fn check(&self) -> Result<(), MediaError> {
        if let Some(k) = &self.keyframes {
            check_keyframes("keyframes", k.count, k.jpeg_quality)?;
        }
        if let Some(scenes) = &self.scenes {
            scenes.check("scenes")?;
        }
        if let Some(middle) = &self.scene_middle {
            check_keyframes("scene_middle", middle.count, middle.jpeg_quality)?;
            middle.scenes.check("scene_middle.scenes")?;
        }
        if let Some(object) = &self.scene_object {
            check_keyframes("scene_object", object.count, object.jpeg_quality)?;
            object.scenes.check("scene_object.scenes")?;
            if object.stride == 0 || !(0.0..=1.0).contains(&object.confidence) {
                let message = format!(
                    "scene_object.stride is {} and must be at least 1, confidence is {} and must be 0 to 1",
                    object.stride, object.confidence
                );
                return Err(MediaError::permanent(message));
            }
        }
        if self.frames.is_some() && self.scene_object.is_some() {
            return Err(MediaError::bug("frames for a viewer and scene-object keyframes are decodes of their own"));
        }
        if self.frames.as_ref().is_some_and(|frames| frames.stride == 0) {
            return Err(MediaError::permanent("frames.stride is 0 and must be at least 1"));
        }
        match &self.audio {
            Some(a) if !(4_000..=192_000).contains(&a.sample_rate) => {
                let message = format!("audio.sample_rate is {}, must be 4000 to 192000", a.sample_rate);
                Err(MediaError::permanent(message))
            }
            _ => Ok(()),
        }
    }
}

fn check_keyframes(name: &str, count: u32, jpeg_quality: u8) -> Result<(), MediaError> {
    if !(1..=256).contains(&count) {
        return Err(MediaError::permanent(format!("{name}.count is {count}, must be 1 to 256")));
    }
    if !(1..=100).contains(&jpeg_quality) {
        return Err(MediaError::permanent(format!("{name}.jpeg_quality is {jpeg_quality}, must be 1 to 100")));
    }
    Ok(())
}

/// Frames for a [`Viewer`](crate::frame_visitor::Viewer).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameSettings {
    /// Every how many frames, from the first.
    pub stride: u64,
}

/// Where in its interval a keyframe is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// At i x D / count, the paper's reading.
    #[default]
    Start,
    /// At (i + 1/2) x D / count.
    Middle,
}

/// Keyframes at equal intervals (method, section 3).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyframeSettings {
    /// How many, 1 to 256.
    pub count: u32,
    /// Where in each interval.
    pub position: Position,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for KeyframeSettings {
    fn default() -> Self {
        Self { count: 16, position: Position::Start, jpeg_quality: 95 }
    }
}

/// Keyframes from the middle of scenes (method, section 3): the middle frame of each scene, of those scenes that stand
/// in the middle of the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneMiddleSettings {
    /// How scenes are found. The paper's notebook has a threshold of 10, PySceneDetect's own is 27.
    pub scenes: SceneSettings,
    /// How many keyframes at most, 1 to 256.
    pub count: u32,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for SceneMiddleSettings {
    fn default() -> Self {
        Self { scenes: SceneSettings::default(), count: 16, jpeg_quality: 95 }
    }
}

/// Keyframes with the most objects (method, section 3): of each scene the frame with the highest number of objects times
/// number of classes, of those frames the ones with the most objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneObjectSettings {
    /// How scenes are found.
    pub scenes: SceneSettings,
    /// How many keyframes at most, 1 to 256.
    pub count: u32,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// Scenes of this many frames or fewer are passed over.
    pub longer_than: u64,
    /// Objects count if the detector is surer than this.
    pub confidence: f32,
    /// Every how many frames of a scene the detector looks, from the scene's first; 1 is the paper's every frame.
    pub stride: u64,
}

impl Default for SceneObjectSettings {
    fn default() -> Self {
        let scenes = SceneSettings::default();
        Self { scenes, count: 16, jpeg_quality: 95, longer_than: 20, confidence: 0.5, stride: 1 }
    }
}

/// The sound track as one channel of signed 16-bit samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioSettings {
    /// Samples a second, 4000 to 192000.
    pub sample_rate: u32,
}

impl Default for AudioSettings {
    fn default() -> Self {
        Self { sample_rate: 16_000 }
    }
}

/// What a decode found and wrote. Everything but `usage` is the same on every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeReport {
    /// The video stream.
    pub video: VideoInfo,
    /// Whether the file is a picture and no video.
    #[serde(default)]
    pub is_picture: bool,
    /// Whether the whole file could be read.
    pub outcome: Outcome,
    /// Packets and frames that the demuxer or a decoder refused, without ending the decode.
    pub errors: u64,
    /// The archive with the keyframes, where they were asked for.
    pub keyframes_tar: Option<PathBuf>,
    /// The keyframes, in the order of their targets; empty where none were asked for.
    pub keyframes: Vec<Keyframe>,
    /// The list of scenes, where it was asked for.
    #[serde(default)]
    pub scenes: Option<SceneReport>,
    /// Keyframes from the middle of scenes, where they were asked for.
    #[serde(default)]
    pub scene_middle: Option<KeyframeSet>,
    /// Keyframes with the most objects, where they were asked for.
    #[serde(default)]
    pub scene_object: Option<KeyframeSet>,
    /// The sound, where it was asked for.
    pub audio: Option<AudioTrack>,
    /// What the decode cost. Differs from run to run: never put it into an artifact.
    pub usage: Usage,
}

/// Keyframes that were chosen by scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyframeSet {
    /// The archive.
    pub tar: PathBuf,
    /// The keyframes, in the order of their scenes, or from the most objects to the fewest.
    pub keyframes: Vec<Keyframe>,
    /// How many were asked for.
    pub wanted: u32,
    /// Why there are fewer than that, if there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// Black pictures that follow the keyframes in the archive where there are fewer than were asked for: the rest of the
    /// method's clip stays zero.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub padding: Vec<Padding>,
    /// For scene-object: objects of each class that were counted in all frames that the detector saw, over all scenes
    /// that were not passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Vec<u64>>,
}

/// Where the scenes are listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneReport {
    /// As PySceneDetect's `list-scenes` writes it.
    pub csv: PathBuf,
    /// A [`SceneList`](crate::scenes::list::SceneList), with the score of every frame.
    pub json: PathBuf,
    /// How many scenes.
    pub scenes: u64,
}

/// The video stream of a trailer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// Width in pixels as displayed, that is after rotation.
    pub width: u32,
    /// Height in pixels as displayed.
    pub height: u32,
    /// Average frames a second, 0 where the file does not say.
    pub fps: f64,
    /// Seconds that the keyframes are spread over: the announced duration, or the real one of a short file.
    pub duration_s: f64,
    /// Seconds that the file announces, if it does.
    pub announced_s: Option<f64>,
    /// Frames decoded; absent where the video was not decoded.
    pub frames: Option<u64>,
}

/// Whether a file was read to the end that it announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// It was.
    Complete,
    /// It ended early; what was there was used.
    Short {
        /// How much is missing, with FFmpeg's words where it has any.
        reason: String,
    },
}

/// One chosen frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// 0-based place among the keyframes.
    pub index: u32,
    /// 0-based number of the frame in presentation order.
    pub frame: u64,
    /// The time it stands for, in seconds from the start of the video stream.
    pub target_s: f64,
    /// The time at which it is shown, in seconds from the start of the video stream.
    pub time_s: f64,
    /// Its member of the archive, a JPEG.
    pub file: String,
    /// The earlier keyframe with the same picture, where the video has fewer frames than were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// The scene that it stands for, where it was chosen for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<SceneSpan>,
    /// The objects that it was chosen for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<FoundObjects>,
}

/// A black picture in the place of a keyframe that there is none for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// 0-based place, after all keyframes.
    pub index: u32,
    /// Its member of the archive, a JPEG.
    pub file: String,
    /// Always true: tells it from a keyframe.
    pub padding: bool,
}

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneSpan {
    /// 0-based place among all scenes of the video.
    pub index: u64,
    /// Its first frame.
    pub start: u64,
    /// The frame after its last.
    pub end: u64,
}

/// Objects in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundObjects {
    /// Number of objects times number of different classes.
    pub score: u64,
    /// Different classes.
    pub classes: u32,
    /// The objects that counted.
    pub objects: Vec<Object>,
}

/// The sound of a trailer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AudioTrack {
    /// One channel of signed 16-bit little-endian samples, without a header.
    Present {
        /// Where they are.
        file: PathBuf,
        /// How many.
        samples: u64,
        /// Samples a second.
        sample_rate: u32,
    },
    /// There is none, which is no error.
    None {
        /// Why.
        reason: String,
    },
}

/// What a decode cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of CPU time, user and system.
    pub cpu_s: f64,
    /// Peak resident memory in MB (2^20 bytes) of the whole process.
    pub peak_memory_mb: u64,
    /// Frames that came out of the video decoder; fewer than the video has where keyframes were reached by seeking.
    #[serde(default)]
    pub frames_decoded: u64,
}
