//! The settings of the readers.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::scale::{Scale, Thresholds};
use crate::error::{Error, Result};

/// How ratings become labels, and how much of a file may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReadSettings {
    /// The scale of ratings: `labels` (-1, 0, 1), `binary` (0, 1), `stars` (up to 5), or the lowest
    /// and the highest value, such as `1-10`. Default: decided by the values of the column.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub scale: Option<Scale>,
    /// At most this many stars are a dislike. Other scales are mapped to five stars: 2 stars are 4
    /// of 10 points.
    pub dislike_at_most: f64,
    /// At least this many stars are a like. Anything between is neutral.
    pub like_at_least: f64,
    /// The largest share of the rows of a file, in percent, that is left out for one kind of fault.
    /// Above it the file is refused.
    pub max_rejected_percent: f64,
}

impl Default for ReadSettings {
    fn default() -> Self {
        ReadSettings { scale: None, dislike_at_most: 2.0, like_at_least: 4.0, max_rejected_percent: 5.0 }
    }
}

impl ReadSettings {
    /// Checks the thresholds.
    ///
    /// # Errors
    /// Invalid input with the setting and its range.
    pub(super) fn check(&self) -> Result<()> {
        let ReadSettings { dislike_at_most, like_at_least, max_rejected_percent, .. } = *self;
        if dislike_at_most.partial_cmp(&like_at_least) != Some(Ordering::Less) {
            let thresholds =
                format!("dislike_at_most = {dislike_at_most} is not below like_at_least = {like_at_least}");
            return Err(Error::invalid(format!("{thresholds}: set the first below the second")));
        }
        for (name, stars) in [("dislike_at_most", dislike_at_most), ("like_at_least", like_at_least)] {
            if !(0.0..=5.0).contains(&stars) {
                return Err(Error::invalid(format!(
                    "dataset.{name} = {stars} is not from 0 to 5: it is a number of stars on every scale, so 8 of 10 points are 4"
                )));
            }
        }
        if !(0.0..=100.0).contains(&max_rejected_percent) {
            return Err(Error::invalid(format!(
                "dataset.max_rejected_percent = {max_rejected_percent} is not from 0 to 100"
            )));
        }
        Ok(())
    }

    /// Returns the thresholds, in stars.
    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds { dislike_at_most: self.dislike_at_most, like_at_least: self.like_at_least }
    }
}
