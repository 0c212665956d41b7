//! Scene detection with the scores and cuts of PySceneDetect's ContentDetector (0.6.7.1, library
//! API).
//!
//! Steps for a frame: decoded planes -> [`bgr`] (all pixels) or [`yuv`] (the short path: only the
//! pixels that count) -> [`resize`] to at most 256 pixels a side -> [`hsv`] -> [`score`], the mean
//! difference from the previous frame -> [`cuts`]. The loops over pixels are in [`kernels`].
//! [`list`] writes the scenes as CSV like PySceneDetect's `list-scenes`, and as JSON.

pub mod bgr;
pub mod cuts;
pub mod hsv;
pub mod kernels;
pub mod list;
pub mod planes;
pub mod resize;
pub mod score;
pub mod short_path;
pub mod yuv;

use crate::error::MediaError;
use serde::{Deserialize, Serialize};

/// Settings of scene detection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SceneSettings {
    /// A frame with at least this score is a candidate for a cut; above 0, at most 255.
    pub threshold: f64,
    /// Fewest frames of a scene; closer cuts are merged. 0 accepts every candidate.
    pub min_scene_len: u32,
}

impl Default for SceneSettings {
    /// PySceneDetect's defaults.
    fn default() -> Self {
        Self { threshold: 27.0, min_scene_len: 15 }
    }
}

impl SceneSettings {
    /// Checks the range of every setting; `name` is the name of the settings in the message.
    pub fn check(&self, name: &str) -> Result<(), MediaError> {
        if self.threshold > 0.0 && self.threshold <= 255.0 {
            return Ok(());
        }
        let message = format!("{name}.threshold is {}, must be above 0 and at most 255", self.threshold);
        Err(MediaError::permanent(message))
    }
}

/// Returns the scenes as first frame and frame after the last, without gaps from frame 0 to
/// `frames`. Without cuts, the whole video is one scene; without frames, there is none.
pub fn between_cuts(cuts: &[u64], frames: u64) -> Vec<[u64; 2]> {
    if frames == 0 {
        return Vec::new();
    }
    let begins = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(frames));
    begins.zip(ends).map(|(begin, end)| [begin, end]).collect()
}
