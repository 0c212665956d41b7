//! What the readers return: a dataset with its trailers and everything that was left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::normal_form::Dataset;
use super::readers::layout::Layout;
use super::readers::reject::Reject;

/// What a reader made of the files: the dataset, its trailers, and all that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The normal form.
    pub dataset: Dataset,
    /// The layout that was found.
    pub layout: Layout,
    /// The note of `dataset.toml`: where the data comes from, or how it was made.
    pub note: Option<String>,
    /// The trailer file of each movie that has one, as a key relative to the dataset's folder: `trailers/tt0240200.mp4`.
    pub trailers: BTreeMap<String, String>,
    /// What was left out, in reading order: the first [`MAX_LISTED`].
    pub rejects: Vec<Reject>,
    /// How much was left out in all.
    pub rejected: u64,
    /// Users that the files know but that have no valid rating. They are not in the dataset.
    pub users_without_ratings: u64,
}
