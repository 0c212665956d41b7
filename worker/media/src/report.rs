//! The report of a decode. Crosses a process boundary as JSON; keyframe descriptions are stored in
//! their archive.

use crate::detector::Object;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The results of a decode. Everything but `usage` is the same on every run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecodeReport {
    /// The video stream.
    pub video: VideoInfo,
    /// Whether the file is an image, not a video.
    #[serde(default)]
    pub is_picture: bool,
    /// Whether the whole file could be read.
    pub outcome: Outcome,
    /// Packets and frames that the demuxer or a decoder refused, without ending the decode.
    pub errors: u64,
    /// The archive with the keyframes at equal intervals, if requested.
    pub keyframes_tar: Option<PathBuf>,
    /// The keyframes, in the order of their targets; empty if not requested.
    pub keyframes: Vec<Keyframe>,
    /// The list of scenes, if requested.
    #[serde(default)]
    pub scenes: Option<SceneReport>,
    /// Keyframes from the middle of scenes, if requested.
    #[serde(default)]
    pub scene_middle: Option<KeyframeSet>,
    /// Keyframes with the most objects, if requested.
    #[serde(default)]
    pub scene_object: Option<KeyframeSet>,
    /// The sound, if requested.
    pub audio: Option<AudioTrack>,
    /// Resources used. Differs from run to run: never store it in an artifact.
    pub usage: Usage,
}

/// Keyframes that were chosen by scenes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyframeSet {
    /// The archive.
    pub tar: PathBuf,
    /// The keyframes, in the order of their scenes, or from the most objects to the fewest.
    pub keyframes: Vec<Keyframe>,
    /// Number of keyframes requested.
    pub wanted: u32,
    /// Why there are fewer, if there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortfall: Option<String>,
    /// Black pictures after the keyframes in the archive, if there are fewer than requested: the
    /// rest of the paper's clip stays zero.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub padding: Vec<Padding>,
    /// For scene-object: number of objects of each class in all frames that the detector got, over
    /// all scenes that were not skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Vec<u64>>,
}

/// The files with the list of scenes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneReport {
    /// CSV in the format of PySceneDetect's `list-scenes`.
    pub csv: PathBuf,
    /// JSON of a [`SceneList`](crate::scenes::list::SceneList), with the score of every frame.
    pub json: PathBuf,
    /// Number of scenes.
    pub scenes: u64,
}

/// The video stream of a trailer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// FFmpeg's name of the codec, such as `h264`.
    pub codec: String,
    /// Displayed width in pixels, after rotation.
    pub width: u32,
    /// Displayed height in pixels.
    pub height: u32,
    /// Average frames per second, 0 if unknown.
    pub fps: f64,
    /// Seconds from the first frame to the end of the last one, as the packets show; keyframes are
    /// spread over them.
    pub duration_s: f64,
    /// Declared duration in seconds, if there is one.
    pub announced_s: Option<f64>,
    /// Frames in the video; absent if the video was not decoded.
    pub frames: Option<u64>,
    /// Whether the frame rate varies: `fps` is an average, and frame numbers are not times.
    #[serde(default)]
    pub rate_varies: bool,
    /// Frames per second that are shown, if they are constant and not the `fps` that the file
    /// states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_fps: Option<f64>,
    /// Further video streams, which are not read; covers do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_streams: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Whether a file was read to its declared end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Read to the end.
    Complete,
    /// Ended early; the existing part was used.
    Short {
        /// How much is missing, with FFmpeg's message, if any.
        reason: String,
    },
}

/// One chosen frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keyframe {
    /// 0-based index among the keyframes.
    pub index: u32,
    /// 0-based number of the frame in presentation order.
    pub frame: u64,
    /// Target time in seconds from the first frame of the video.
    pub target_s: f64,
    /// Presentation time in seconds from the first frame of the video.
    pub time_s: f64,
    /// Its JPEG in the archive.
    pub file: String,
    /// The earlier keyframe with the same picture, if the video has fewer frames than requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// The scene that it represents, if it was chosen by scene.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scene: Option<SceneSpan>,
    /// The objects that it was chosen for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<FoundObjects>,
}

/// A black picture instead of a missing keyframe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Padding {
    /// 0-based index, after all keyframes.
    pub index: u32,
    /// Its JPEG in the archive.
    pub file: String,
    /// Always true: distinguishes padding from a keyframe.
    pub padding: bool,
}

/// A scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneSpan {
    /// 0-based index among all scenes of the video.
    pub index: u64,
    /// Its first frame.
    pub start: u64,
    /// The frame after its last.
    pub end: u64,
}

/// Objects in a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundObjects {
    /// Number of objects times number of classes.
    pub score: u64,
    /// Number of classes.
    pub classes: u32,
    /// The objects that counted.
    pub objects: Vec<Object>,
}

/// The sound of a trailer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AudioTrack {
    /// Mono signed 16-bit little-endian samples, without a header.
    Present {
        /// The file with the samples.
        file: PathBuf,
        /// Number of samples.
        samples: u64,
        /// Samples per second.
        sample_rate: u32,
        /// Which track it is, if the file has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        choice: Option<SoundChoice>,
    },
    /// No sound, which is not an error.
    None {
        /// Why.
        reason: String,
    },
}

/// Which of several sound tracks was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoundChoice {
    /// Number of the track, from 1.
    pub number: u32,
    /// Number of sound tracks in the file.
    pub of: u32,
}

impl std::fmt::Display for SoundChoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sound track {} of {}", self.number, self.of)
    }
}

/// Resources used by a decode.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Seconds of CPU time, user and system.
    pub cpu_s: f64,
    /// Peak resident memory in MB (2^20 bytes) of the whole process.
    pub peak_memory_mb: u64,
    /// Frames returned by the video decoder; fewer than the video has if keyframes were decoded by
    /// seeking.
    #[serde(default)]
    pub frames_decoded: u64,
}
