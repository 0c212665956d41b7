//! The settings of the readers.

use serde::{Deserialize, Serialize};

/// The thresholds that turn stars into labels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadSettings {
    /// MovieLens: at most this many stars are a dislike.
    pub dislike_at_most: f64,
    /// MovieLens: at least this many stars are a like. Anything between is neutral.
    pub like_at_least: f64,
}

impl Default for ReadSettings {
    fn default() -> Self {
        ReadSettings { dislike_at_most: 2.0, like_at_least: 4.0 }
    }
}
