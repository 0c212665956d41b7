//! The result of the readers: a dataset with its trailers and rejects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::reject::{MAX_LISTED, Reject, excerpt};
use super::trailers;
use crate::compact::TextMap;
use crate::dataset::normal_form::{Dataset, Label};
use crate::dataset::stated_content::StatedContent;
use crate::error::{Error, Result};

/// The result of reading a dataset: the dataset, its trailers, and the rejects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The normal form.
    pub dataset: Dataset,
    /// The layout that was found.
    pub layout: Layout,
    /// How the ratings were read: the file, the scale, and the class of each value.
    #[serde(default)]
    pub read_as: String,
    /// Columns and files that exist and are not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The note in `dataset.toml`: the source of the data, or how it was generated.
    pub note: Option<String>,
    /// The trailer of each movie: a key relative to the dataset's folder, such as
    /// `trailers/tt0240200.mp4`, or a location, `file:///path`, `s3://bucket/key` or
    /// `https://host/path`.
    pub trailers: TextMap,
    /// Further files of a movie, in ascending order; each is among the rejects.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_trailers: BTreeMap<String, Vec<String>>,
    /// The content that the catalogue states for a movie's trailer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stated: BTreeMap<String, StatedContent>,
    /// The rejects in reading order: the first [`MAX_LISTED`](crate::dataset::MAX_LISTED).
    pub rejects: Vec<Reject>,
    /// The total number of rejects.
    pub rejected: u64,
    /// Users in the files without a valid rating. They are not in the dataset.
    pub users_without_ratings: u64,
}

impl Reading {
    /// Leaves out the trailer of a movie, which becomes a reject.
    pub fn leave_out_trailer(&mut self, id: &str, reason: impl Into<String>) {
        if let Some(key) = self.trailers.remove(id) {
            self.rejected += 1;
            if self.rejects.len() < MAX_LISTED {
                let subject = format!("movie {id}, {}", excerpt(&key));
                self.rejects.push(Reject { file: "trailers".to_owned(), line: None, subject, reason: reason.into() });
            }
        }
    }

    /// Takes another file of a movie in place of its trailer, which cannot be used because of
    /// `reason`.
    pub fn replace_trailer(&mut self, id: &str, other: &str, reason: &str) {
        let Some(first) = self.trailers.insert(id.to_owned(), other.to_owned()) else { return };
        let (before, now) = (trailers::shown(other), trailers::second(other));
        let others = self.other_trailers.get(id).cloned().unwrap_or_default();
        for reject in self.rejects.iter_mut().filter(|reject| reject.file == "trailers") {
            if reject.subject == before {
                reject.subject = trailers::shown(&first);
                reject.reason = format!("it cannot be used ({reason}): {other} is taken instead");
            } else if others.iter().any(|key| trailers::shown(key) == reject.subject) {
                reject.reason.clone_from(&now);
            }
        }
    }

    /// Checks that something can be learned from the ratings.
    ///
    /// # Errors
    /// InvalidInput without ratings, and where all ratings are of one class.
    pub fn check_trainable(&self) -> Result<()> {
        let counts = self.dataset.label_counts();
        let classes: Vec<(Label, u64)> = Label::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        match classes.as_slice() {
            [] => Err(Error::invalid(format!("dataset {}: no ratings, so nothing can be learned", self.dataset.name))),
            [(label, count)] => Err(Error::invalid(format!(
                "dataset {}: all {count} ratings are a {}, and nothing can be learned from one class: add ratings of \
                 other classes, or set dataset.scale or the thresholds if this is not what they mean ({})",
                self.dataset.name,
                label.name(),
                self.read_as
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that each class has a rating for each of `folds`, so that they can be balanced.
    ///
    /// # Errors
    /// InvalidInput where a class that occurs has fewer.
    pub fn check_folds(&self, folds: usize) -> Result<()> {
        let classes = Label::ALL.into_iter().zip(self.dataset.label_counts());
        let Some((label, count)) = classes.filter(|(_, count)| *count > 0).min_by_key(|(_, count)| *count) else {
            return Ok(());
        };
        if count >= folds as u64 {
            return Ok(());
        }
        let (name, label) = (&self.dataset.name, label.name());
        let (are, way) = match count {
            1 => ("rating is", "add ratings".to_owned()),
            _ => ("ratings are", format!("add ratings, or set evaluate.folds to {count} or less")),
        };
        Err(Error::invalid(format!(
            "dataset {name}: only {count} {are} a {label}, fewer than the {folds} folds: {way}; to extract the trailers \
             alone, use `jhalak extract`"
        )))
    }
}
