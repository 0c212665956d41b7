//! The request for a decode, with the settings of each output. Crosses a process boundary as JSON.

use crate::error::MediaError;
use crate::frame_visitor::FrameSettings;
use crate::scenes::SceneSettings;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One decode of one trailer. Only what is requested is decoded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecodeRequest {
    /// The trailer's id; names the members of the keyframe archive (see
    /// [`DecodeRequest::member_stem`]).
    pub id: String,
    /// The trailer: a regular file. Never interpreted as a URL.
    pub video: PathBuf,
    /// An existing folder that receives `keyframes.tar`, `keyframes-*.tar`, `scenes.*` and
    /// `audio.s16le`, replacing older files of these names.
    pub out_dir: PathBuf,
    /// Keyframes at equal intervals, if requested.
    #[serde(default)]
    pub keyframes: Option<KeyframeSettings>,
    /// The list of scenes, if requested.
    #[serde(default)]
    pub scenes: Option<SceneSettings>,
    /// Keyframes from the middle of scenes, if requested.
    #[serde(default)]
    pub scene_middle: Option<SceneMiddleSettings>,
    /// Keyframes with the most objects, if requested. Needs a detector.
    #[serde(default)]
    pub scene_object: Option<SceneObjectSettings>,
    /// Frames for a visitor, if requested. The file may then also be an image.
    #[serde(default)]
    pub frames: Option<FrameSettings>,
    /// The sound track, if requested.
    #[serde(default)]
    pub audio: Option<AudioSettings>,
}

/// See [`DecodeRequest::member_stem`].
pub fn member_stem(id: &str) -> String {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' }
    };
    let stem: String = id.chars().take(80).map(kept).collect();
    if stem.is_empty() { "_".to_owned() } else { stem }
}

impl DecodeRequest {
    /// Creates a request without outputs.
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

    /// Returns the id for file names: ASCII letters, digits, `-` and `_` stay, every other
    /// character becomes `_` (a dot would end the sample's key for webdataset); at most 80
    /// characters.
    pub fn member_stem(&self) -> String {
        member_stem(&self.id)
    }

    /// Whether any requested output depends on scenes.
    pub fn needs_scenes(&self) -> bool {
        self.scenes.is_some() || self.scene_middle.is_some() || self.scene_object.is_some()
    }

    /// Checks the range of every setting.
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
            return Err(MediaError::bug("frames for a visitor and scene-object keyframes need separate decodes"));
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

/// Position of a keyframe in its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Position {
    /// At i x D / count, as in the paper.
    #[default]
    Start,
    /// At (i + 1/2) x D / count.
    Middle,
}

/// Keyframes at equal intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyframeSettings {
    /// Number of keyframes, 1 to 256.
    pub count: u32,
    /// Position in each interval.
    pub position: Position,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for KeyframeSettings {
    fn default() -> Self {
        Self { count: 16, position: Position::Start, jpeg_quality: 95 }
    }
}

/// Keyframes from the middle of scenes: the middle frames of the scenes in the middle of the video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneMiddleSettings {
    /// Scene detection. The paper's notebook uses a threshold of 10, PySceneDetect's default is 27.
    pub scenes: SceneSettings,
    /// Most keyframes, 1 to 256.
    pub count: u32,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for SceneMiddleSettings {
    fn default() -> Self {
        Self { scenes: SceneSettings::default(), count: 16, jpeg_quality: 95 }
    }
}

/// Keyframes with the most objects: from each scene the frame with the highest product of objects
/// and classes, and from these frames the ones with the most objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneObjectSettings {
    /// Scene detection.
    pub scenes: SceneSettings,
    /// Most keyframes, 1 to 256.
    pub count: u32,
    /// JPEG quality, 1 to 100.
    pub jpeg_quality: u8,
    /// Scenes of this many frames or fewer are skipped.
    pub longer_than: u64,
    /// Objects count above this confidence, 0 to 1.
    pub confidence: f32,
    /// The detector gets every `stride`-th frame of a scene, from its first; 1 is every frame, as
    /// in the paper.
    pub stride: u64,
}

impl Default for SceneObjectSettings {
    fn default() -> Self {
        let scenes = SceneSettings::default();
        Self { scenes, count: 16, jpeg_quality: 95, longer_than: 20, confidence: 0.5, stride: 1 }
    }
}

/// The sound track as mono signed 16-bit samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioSettings {
    /// Samples per second, 4000 to 192000.
    pub sample_rate: u32,
}

impl Default for AudioSettings {
    fn default() -> Self {
        Self { sample_rate: 16_000 }
    }
}
