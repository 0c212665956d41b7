//! What a run came to: one structure that is stored as `report.json`, shown as one HTML page ([`render`]) and, in a few lines, on a terminal
//! ([`summary`]).
//!
//! The page needs nothing beside itself: no script, no font, no picture from elsewhere, and it forbids the browser to load any. Whatever
//! comes from a dataset is hostile input and escaped by the template engine. Every figure on it is in the structure; nothing is worked out
//! from elsewhere.

mod cell;
mod chart;
mod comparison;
mod confusion;
#[cfg(test)]
mod example;
mod facts;
mod number;
mod page;
mod paper;
mod parts;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jhalak_common::dataset::Description;
use jhalak_common::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cell::{Cell, Decision, Protocol, Published, Split};
pub use page::render;
pub use paper::{Figures, PaperRow, PaperTable};
pub use summary::summary;

/// The version of `report.json` that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The page's title.
    pub title: String,
    /// Which run, when, by what.
    pub run: Run,
    /// What the dataset holds and what of it was rejected.
    pub dataset: Description,
    /// The models that made the embeddings.
    pub models: Vec<Model>,
    /// How each kind of artifact was made.
    pub recipes: Vec<Recipe>,
    /// What became of the trailers; `None` where the dataset has none.
    pub extraction: Option<Extraction>,
    /// Modalities that were not evaluated at all.
    pub left_out: Vec<LeftOut>,
    /// The evaluation, in the order in which it is shown.
    pub evaluation: Vec<Cell>,
    /// The paper's tables with ours beside them, where the run's grid is the paper's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paper: Vec<PaperTable>,
    /// Where the final model lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Further remarks, each a sentence or two: how many settings were tried, what a setting means.
    pub notes: Vec<String>,
}

/// Which run it was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// When it ended; `None` where the report was written before that.
    pub ended: Option<String>,
    /// The program's version.
    pub program_version: String,
    /// The settings used. Secrets must have been taken out.
    pub settings: Value,
    /// Every seed, by what it is for.
    pub seeds: BTreeMap<String, u64>,
}

/// A model with weights from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in the registry of models.
    pub name: String,
    /// What it is used for.
    pub role: String,
    /// Where the weights come from, in words.
    pub source: String,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// The licence of the weights.
    pub licence: String,
}

/// How a kind of artifact was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The kind of artifact.
    pub kind: String,
    /// The recipe's hash, in hex: the name under which the artifacts are stored.
    pub hash: String,
    /// The parameters that went into it.
    pub parameters: Value,
}

/// What became of the trailers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// Trailers in the dataset.
    pub trailers: u64,
    /// Trailers that this run worked on.
    pub processed: u64,
    /// Trailers whose artifacts are all committed, by this run or before it.
    pub committed: u64,
    /// Trailers that were given up.
    pub quarantined: Vec<Quarantined>,
    /// The movies whose trailers have no sound, and so no audio embedding.
    pub without_sound: Vec<String>,
}

/// A trailer that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The movie's id.
    pub movie: String,
    /// The trailer's file.
    pub trailer: String,
    /// Why.
    pub reason: String,
}

/// A modality that was not evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub modality: String,
    /// Why.
    pub reason: String,
}

impl Report {
    /// The bytes of `report.json`.
    ///
    /// # Errors
    /// A bug, where the structure does not serialise.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| Error::bug("write report.json").with_source(error))
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// Invalid input where it is no report, or that of a newer program.
    pub fn from_json(bytes: &[u8]) -> Result<Report> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |error: serde_json::Error| Error::invalid("read report.json: it is no report").with_source(error);
        let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version > VERSION {
            let told = format!("report.json has version {version}, this program knows versions up to {VERSION}");
            return Err(Error::invalid(format!("{told}: use the newer program that wrote it")));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }
}
