//! Extraction from trailers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// Extraction from trailers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExtractSettings {
    /// The keyframe strategy: `equal-interval`, `scene-middle` or `scene-object`, as in the paper.
    pub strategy: Strategy,
    /// Other strategies whose keyframes and embeddings are made in the same decode, for comparison.
    /// The grid `paper` uses all.
    pub also: Vec<Strategy>,
    /// Scene strategies: a frame with at least this score starts a scene. PySceneDetect's default
    /// is 27; the paper's notebook has 10 for scene-middle.
    pub scene_threshold: f64,
    /// Scene strategies: minimum length of a scene in frames.
    pub min_scene_len: u32,
    /// scene-object: scenes of this many frames or fewer are skipped.
    pub scenes_longer_than: u64,
    /// scene-object: only objects with a higher score count.
    pub object_confidence: f32,
    /// scene-object: the detector runs on every n-th frame of a scene. 1, every frame, as in the
    /// paper.
    pub object_stride: u64,
    /// The point of each of the 16 intervals: `start` (as in the paper) or `middle`.
    pub keyframe_position: KeyframePosition,
    /// JPEG quality of the keyframes, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub jpeg_quality: u8,
    /// The numbers in the tables of embeddings that a run gathers: `float32`, or `float16` in half
    /// of the space and with three significant digits.
    pub table_precision: TablePrecision,
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
            table_precision: TablePrecision::Float32,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// At equal intervals over the trailer.
    #[default]
    EqualInterval,
    /// The middle frames of the scenes in the middle of the trailer.
    SceneMiddle,
    /// The frame of each scene with the highest product of objects and classes; of those frames,
    /// the ones with the most objects.
    SceneObject,
}

impl Strategy {
    /// Every strategy, in the paper's order.
    pub const ALL: [Strategy; 3] = [Strategy::EqualInterval, Strategy::SceneMiddle, Strategy::SceneObject];

    /// Returns the name used in settings, recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::EqualInterval => "equal-interval",
            Strategy::SceneMiddle => "scene-middle",
            Strategy::SceneObject => "scene-object",
        }
    }

    /// Whether the strategy uses scenes.
    pub fn by_scenes(self) -> bool {
        self != Strategy::EqualInterval
    }
}

/// The numbers in a table of embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TablePrecision {
    /// 32 bits, as the model gives them.
    #[default]
    Float32,
    /// 16 bits, rounded to the nearest: three significant digits, up to 65,504.
    Float16,
}

impl TablePrecision {
    /// Whether it is the default one, which recipes and specifications do not name.
    pub fn is_default(&self) -> bool {
        *self == TablePrecision::default()
    }

    /// Returns the name used in settings and recipes.
    pub fn name(self) -> &'static str {
        match self {
            TablePrecision::Float32 => "float32",
            TablePrecision::Float16 => "float16",
        }
    }
}

/// The point of an interval at which an equal-interval keyframe is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyframePosition {
    /// i x D / 16.
    Start,
    /// (i + 1/2) x D / 16.
    Middle,
}
