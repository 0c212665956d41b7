//! The settings of the readers.

use serde::{Deserialize, Serialize};

/// What the reading of a dataset can be told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadSettings {
    /// MovieLens: so many stars or fewer are a dislike.
    pub dislike_at_most: f64,
    /// MovieLens: so many stars or more are a like. What lies between is neutral.
    pub like_at_least: f64,
}

impl Default for ReadSettings {
    fn default() -> Self {
        ReadSettings { dislike_at_most: 2.0, like_at_least: 4.0 }
    }
}
