//! The result of the readers: a dataset with its trailers and rejects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::normal_form::Dataset;
use super::readers::layout::Layout;
use super::readers::reject::Reject;

/// The result of reading a dataset: the dataset, its trailers, and the rejects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The normal form.
    pub dataset: Dataset,
    /// The layout that was found.
    pub layout: Layout,
    /// The note in `dataset.toml`: the source of the data, or how it was generated.
    pub note: Option<String>,
    /// The trailer file of each movie, as a key relative to the dataset's folder:
    /// `trailers/tt0240200.mp4`.
    pub trailers: BTreeMap<String, String>,
    /// The rejects in reading order: the first [`MAX_LISTED`](super::MAX_LISTED).
    pub rejects: Vec<Reject>,
    /// The total number of rejects.
    pub rejected: u64,
    /// Users in the files without a valid rating. They are not in the dataset.
    pub users_without_ratings: u64,
}
