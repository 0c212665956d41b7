//! The report of a run: one structure that is stored as `report.json`, rendered as one HTML page
//! ([`render`]) and summarised on a terminal ([`summary`]).
//!
//! The page is self-contained: it loads no script, font or image, and forbids the browser to load
//! any. Text from a dataset is untrusted input and escaped by the template engine. Every figure on
//! the page is in the structure.

mod cell;
mod chart;
mod comparison;
mod confusion;
#[cfg(test)]
pub(crate) mod example;
mod examples;
mod facts;
mod gallery;
mod gallery_page;
mod leading;
mod measures;
mod measures_page;
mod model_charts;
mod model_figures;
mod number;
mod operation;
mod operation_page;
mod overview;
mod page;
mod paper;
mod parts;
mod summary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jhalak_common::dataset::Description;
use jhalak_common::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use cell::{Cell, Compared, Decision, Protocol, Published, Split, Versus};
pub use examples::{Example, Recommended};
pub use gallery::{Gallery, Map, MapPoint, Near, Shown};
pub use leading::leading;
pub use measures::{Ablation, ColdStart, ColdStartCurve, ColdStartPoint, Measures, Ranked, Ranking};
pub use model_figures::{Bin, Learning, ModelFigures, Part};
pub use operation::{FailedJob, Operation, Seconds, SlowTrailer};
pub use page::render;
pub use paper::{Figures, PaperRow, PaperTable};
pub use summary::summary;

/// The version of `report.json` that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The report of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// The title of the page.
    pub title: String,
    /// The run, its times and its settings.
    pub run: Run,
    /// The contents of the dataset and its rejected rows.
    pub dataset: Description,
    /// The models that made the embeddings.
    pub models: Vec<Model>,
    /// How each kind of artifact was made.
    pub recipes: Vec<Recipe>,
    /// The extraction of the trailers; `None` when the dataset has none.
    pub extraction: Option<Extraction>,
    /// Modalities that were not evaluated at all.
    pub left_out: Vec<LeftOut>,
    /// The evaluation, in the order in which it is shown.
    pub evaluation: Vec<Cell>,
    /// The paper's tables with our figures, when the run's grid is the paper's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paper: Vec<PaperTable>,
    /// How the run went; `None` in a report of an older program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Pictures and maps of the trailers; `None` without trailers or with `report.images = none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<Gallery>,
    /// Figures of single models, of those that lead their modality.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<ModelFigures>,
    /// Measures that are not part of the run's cells.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
    /// What the final model recommends to a few viewers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
    /// The location of the final model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Further remarks of one or two sentences each, such as how many settings were tried.
    pub notes: Vec<String>,
}

/// The run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// When it began, RFC 3339 in UTC.
    pub started: String,
    /// When it ended; `None` in a report that was written before the end.
    pub ended: Option<String>,
    /// The program's version.
    pub program_version: String,
    /// The settings, without secrets.
    pub settings: Value,
    /// Every seed by its purpose.
    pub seeds: BTreeMap<String, u64>,
}

/// A pretrained model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in the registry of models.
    pub name: String,
    /// The role of the model.
    pub role: String,
    /// The source of the weights, as text.
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
    /// The hash of the recipe in hex, which names the folder of its artifacts.
    pub hash: String,
    /// The parameters of the recipe.
    pub parameters: Value,
}

/// The extraction of the trailers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// Trailers in the dataset.
    pub trailers: u64,
    /// Trailers that this run worked on.
    pub processed: u64,
    /// Trailers whose artifacts are all committed, by this run or before it. The tables of
    /// embeddings hold those of them that have an embedding.
    pub committed: u64,
    /// Trailers that the run does not extract (`--only-new`) and that lack artifacts.
    #[serde(default)]
    pub out_of_scope: u64,
    /// Quarantined trailers.
    pub quarantined: Vec<Quarantined>,
    /// The movies whose trailers have no sound and therefore no audio embedding.
    pub without_sound: Vec<String>,
    /// The movies in whose trailers no keyframe was chosen: a video embedding of theirs is that of
    /// a clip of zeros.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zero_clips: BTreeSet<String>,
}

/// A quarantined trailer.
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

impl LeftOut {
    /// The start of the name of a part of the final model.
    const OF_FINAL_MODEL: &'static str = "final model, ";

    /// Names a part that the final model lacks.
    pub fn of_final_model(part: &str, reason: String) -> LeftOut {
        LeftOut { modality: format!("{}{part}", Self::OF_FINAL_MODEL), reason }
    }

    /// Whether this is a part that the final model lacks.
    pub fn is_of_final_model(&self) -> bool {
        self.modality.starts_with(Self::OF_FINAL_MODEL)
    }
}

impl Report {
    /// The bytes of `report.json`.
    ///
    /// # Errors
    /// Bug when the structure does not serialise.
    pub fn to_json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| Error::bug("write report.json").with_source(error))
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// InvalidInput when the bytes are not a report, or are the report of a newer program.
    pub fn from_json(bytes: &[u8]) -> Result<Report> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |error: serde_json::Error| {
            Error::invalid("report.json is not a report: delete it and repeat the run").with_source(error)
        };
        let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version > VERSION {
            let newer = format!("report.json has version {version}, this program knows versions up to {VERSION}");
            return Err(Error::invalid(format!("{newer}: use the newer program that wrote it")));
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// The movies whose trailers are shown; `None` without pictures.
    fn shown_movies(&self) -> Option<Vec<&str>> {
        self.gallery.as_ref().map(|gallery| gallery.trailers.iter().map(|shown| shown.view.movie.as_str()).collect())
    }

    /// Whether `other` says the same about dataset, trailers, figures and model. It may be of
    /// another time, and of a drive that found everything done.
    pub fn says_the_same(&self, other: &Report) -> bool {
        let trailers = |report: &Report| report.extraction.clone().map(|found| Extraction { processed: 0, ..found });
        self.dataset == other.dataset
            && self.recipes == other.recipes
            && trailers(self) == trailers(other)
            && self.left_out == other.left_out
            && self.evaluation == other.evaluation
            && self.paper == other.paper
            && self.figures == other.figures
            && self.examples == other.examples
            && self.shown_movies() == other.shown_movies()
            && self.model == other.model
    }
}
