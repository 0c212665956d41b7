//! What a decode is asked for and what it reports. Both cross a process boundary as JSON.

use super::error::MediaError;
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
    /// An existing folder that receives `keyframes.tar` and `audio.s16le`; older files of these names are replaced.
    pub out_dir: PathBuf,
    /// Keyframes at equal intervals, if wanted.
    #[serde(default)]
    pub keyframes: Option<KeyframeSettings>,
    /// The sound track, if wanted.
    #[serde(default)]
    pub audio: Option<AudioSettings>,
}

impl DecodeRequest {
    /// The id as it stands in file names: ASCII letters, digits, `-` and `_` stay, every other character becomes `_`
    /// (a dot would end the sample's key for webdataset), at most 80 of them.
    pub fn member_stem(&self) -> String {
        let kept = |c: char| {
            if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }
        };
        let stem: String = self.id.chars().take(80).map(kept).collect();
        if stem.is_empty() { "_".to_owned() } else { stem }
    }

    /// Whether every setting is in its range.
    pub fn check(&self) -> Result<(), MediaError> {
        if let Some(k) = &self.keyframes {
            if !(1..=256).contains(&k.count) {
                return Err(MediaError::permanent(format!("keyframes.count is {}, must be 1 to 256", k.count)));
            }
            if !(1..=100).contains(&k.jpeg_quality) {
                let message = format!("keyframes.jpeg_quality is {}, must be 1 to 100", k.jpeg_quality);
                return Err(MediaError::permanent(message));
            }
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
    /// Whether the whole file could be read.
    pub outcome: Outcome,
    /// Packets and frames that the demuxer or a decoder refused, without ending the decode.
    pub errors: u64,
    /// The archive with the keyframes, where they were asked for.
    pub keyframes_tar: Option<PathBuf>,
    /// The keyframes, in the order of their targets; empty where none were asked for.
    pub keyframes: Vec<Keyframe>,
    /// The sound, where it was asked for.
    pub audio: Option<AudioTrack>,
    /// What the decode cost. Differs from run to run: never put it into an artifact.
    pub usage: Usage,
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
}
