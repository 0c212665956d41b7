//! What is extracted from a trailer.

use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// What is extracted from a trailer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractSettings {
    /// How keyframes are chosen: `equal-interval`, `scene-middle` or `scene-object` (method, section 3).
    pub strategy: Strategy,
    /// Other strategies whose keyframes and embeddings are made in the same decode, for comparison. The grid `paper` takes all.
    pub also: Vec<Strategy>,
    /// For the strategies that look at scenes: a frame whose score reaches this begins a scene. PySceneDetect's default is 27; the method's
    /// notebook has 10 for scene-middle.
    pub scene_threshold: f64,
    /// For the same: frames that a scene has at least.
    pub min_scene_len: u32,
    /// For scene-object: scenes of this many frames or fewer are passed over.
    pub scenes_longer_than: u64,
    /// For scene-object: objects count that score more than this.
    pub object_confidence: f32,
    /// For scene-object: every how many frames of a scene the detector looks. 1 is the method's every frame.
    pub object_stride: u64,
    /// Which point of each of the 16 intervals is taken: its `start` (as the method says) or its `middle`.
    pub keyframe_position: KeyframePosition,
    /// JPEG quality of the keyframes, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for ExtractSettings {
    fn default() -> Self {
        ExtractSettings {
            strategy: Strategy::EqualInterval,
            also: Vec::new(),
            scene_threshold: 27.0,
            min_scene_len: 15,
            scenes_longer_than: 20,
            object_confidence: 0.5,
            object_stride: 1,
            keyframe_position: KeyframePosition::Start,
            jpeg_quality: 95,
        }
    }
}

impl ExtractSettings {
    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        require((1..=100).contains(&self.jpeg_quality), "extract.jpeg_quality", "1 to 100")?;
        let threshold = self.scene_threshold;
        require(threshold > 0.0 && threshold <= 255.0, "extract.scene_threshold", "above 0 and at most 255")?;
        require((0.0..=1.0).contains(&self.object_confidence), "extract.object_confidence", "0 to 1")?;
        require(self.object_stride >= 1, "extract.object_stride", "at least 1")
    }
}

/// How keyframes are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// At equal intervals over the trailer.
    #[default]
    EqualInterval,
    /// The middle frames of the scenes in the middle of the trailer.
    SceneMiddle,
    /// Of each scene the frame with the most objects times classes, of those the ones with the most objects.
    SceneObject,
}

impl Strategy {
    /// Every strategy, in the paper's order.
    pub const ALL: [Strategy; 3] = [Strategy::EqualInterval, Strategy::SceneMiddle, Strategy::SceneObject];

    /// The word used in settings, recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::EqualInterval => "equal-interval",
            Strategy::SceneMiddle => "scene-middle",
            Strategy::SceneObject => "scene-object",
        }
    }

    /// Whether it looks at scenes.
    pub fn by_scenes(self) -> bool {
        self != Strategy::EqualInterval
    }
}

/// Which point of an interval an equal-interval keyframe is taken at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyframePosition {
    /// i x D / 16.
    Start,
    /// (i + 1/2) x D / 16.
    Middle,
}
