//! A run: a request, frozen in the store, so that any coordinator can resume it.
//!
//! ```text
//! datasets/HASH/dataset.json       the normalised dataset (written once)
//! folds/HASH.json                  given folds of runs (written once)
//! runs/RUN/spec.json               the specification (written once)
//! runs/RUN/trailers.json           the trailers at planning time (written once)
//! trailer-lists/HASH.json.gz       a shard of a long list of trailers (written once)
//! runs/RUN/state.json              its state, for display; derived, may be stale
//! runs/RUN/cancelled.json          exists if the run was cancelled: its jobs are dropped
//! runs/RUN/lead/NUMBER.json        leases of coordinators; the highest number is valid
//! runs/RUN/at-work/WORKER.json     the jobs that a worker holds; a hint, may be stale
//! runs/RUN/quarantine/JOB.json     quarantined jobs, with their reasons
//! runs/RUN/report/                 index.html and report.json
//! ```

mod at_work;
pub mod job;
mod records;
mod signature;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKind, Recipe, Subject};
use crate::compact::Packed;
use crate::evaluation::{CellSpec, FitSpec, Pictures};
use crate::hash::{self, Hash};
pub use crate::models::ModelFacts;
use crate::settings::{Grid, TablePrecision};

pub use at_work::{AT_WORK_INTERVAL_S, AtWork, JobAtWork, at_work_folder, at_work_key};
use job::Trailer;
pub use records::{
    CANCELLED, RUN_VERSION, SHARDED_VERSION, SPECIFICATION, UNREADABLE_RUN, dataset_key, folds_key, get_json,
    is_cancelled, is_planned, put_json, put_json_once, quarantine_folder, quarantine_key, run_key, trailer_shard_key,
};
pub use signature::{SigningKey, encode_signed};

/// The specification of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The run's id: the dataset's name and a hash of the request, so that the same request is the
    /// same run.
    pub id: String,
    /// The dataset's folder as given.
    pub dataset_url: String,
    /// The dataset, by its normal form.
    pub dataset: Subject,
    /// Whether the feedback is synthetic.
    pub synthetic: bool,
    /// The hash of the list of trailers and their contents.
    pub trailers: Hash,
    /// The shards of a long list of trailers, in its order; none where it is in `trailers.json`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailer_shards: Vec<Hash>,
    /// The recipes of a trailer's artifacts, upstream before downstream.
    pub recipes: Vec<Recipe>,
    /// The evaluation grid.
    pub cells: Vec<CellSpec>,
    /// The kind of grid.
    #[serde(default)]
    pub grid: Grid,
    /// The final model, fitted on every rating; None in a run of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<FitSpec>,
    /// The models that the recipes use, for the report.
    pub models: Vec<ModelFacts>,
    /// The slot of the run, such as a night or a week. One run per slot, even if the dataset has
    /// changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// If only new trailers were requested: the subject folders of trailers without artifacts at
    /// planning time. Others are not extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<String>>,
    /// Embeddings that were computed elsewhere, video before audio. A run with them extracts no
    /// trailers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub given: Vec<GivenTable>,
    /// The numbers in the tables that the run gathers.
    #[serde(default, skip_serializing_if = "TablePrecision::is_default")]
    pub table_precision: TablePrecision,
    /// Time of the first request.
    pub created: jiff::Timestamp,
}

/// A table of embeddings that were computed elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GivenTable {
    /// The recipe of the table; its kind is the modality's.
    pub recipe: Recipe,
    /// The name of the dataset, and the hash of the rows.
    pub subject: Subject,
    /// The name of the file that they were read from, for the report.
    pub file: String,
    /// Numbers of a row.
    pub dim: usize,
    /// Movies of the dataset with a row.
    pub movies: usize,
}

/// The trailers of a run, in ascending order of movie id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrailerList {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The trailers.
    pub trailers: Packed<Trailer>,
}

/// The stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Frozen in the store, no jobs sent.
    Planned,
    /// Trailers are being processed.
    Extracting,
    /// Cells are being evaluated, and the final model is being fitted.
    #[serde(alias = "fitting")]
    Training,
    /// The report is being written.
    Reporting,
    /// Everything is committed.
    Done,
    /// Everything is committed except quarantined jobs.
    DoneWithFailures,
    /// Cancelled: committed artifacts are kept, the rest is not done.
    Cancelled,
}

impl Stage {
    /// Returns the name for display.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Planned => "planned",
            Stage::Extracting => "extracting",
            Stage::Training => "training",
            Stage::Reporting => "reporting",
            Stage::Done => "done",
            Stage::DoneWithFailures => "done-with-failures",
            Stage::Cancelled => "cancelled",
        }
    }

    /// Whether the stage is an end state.
    pub fn is_final(self) -> bool {
        matches!(self, Stage::Done | Stage::DoneWithFailures | Stage::Cancelled)
    }
}

/// The state of a run, for display.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The stage.
    pub stage: Stage,
    /// Jobs of the stage.
    pub jobs: usize,
    /// Committed jobs of the stage.
    pub committed: usize,
    /// Quarantined jobs of the stage.
    pub quarantined: usize,
    /// Jobs of the stage that are not done because the run was cancelled.
    #[serde(default)]
    pub cancelled: usize,
    /// Jobs of the stage that were committed or quarantined before the current coordinator started.
    #[serde(default)]
    pub before: usize,
    /// When the last job of the stage ended, or the stage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressed: Option<jiff::Timestamp>,
    /// Share of the current coordinator's work of the stage that is done, from 0 to 1: jobs by
    /// their estimated costs, which differ widely, and the dearest come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The priority of the run, `low` or `high`; None for a normal one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
    /// Start of the stage by the current coordinator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<jiff::Timestamp>,
    /// Time of writing.
    pub updated: jiff::Timestamp,
}

impl RunState {
    /// Returns the state at the start of `stage`, without counted jobs.
    pub fn of(stage: Stage) -> RunState {
        RunState {
            version: RUN_VERSION,
            stage,
            jobs: 0,
            committed: 0,
            quarantined: 0,
            cancelled: 0,
            before: 0,
            progressed: None,
            share: None,
            priority: None,
            since: None,
            updated: jiff::Timestamp::now(),
        }
    }

    /// Returns the jobs per second that ended since the current coordinator started; None if
    /// unknown.
    pub fn rate(&self) -> Option<f64> {
        let seconds = (self.updated.as_millisecond() - self.since?.as_millisecond()) as f64 / 1000.0;
        let ended = (self.committed + self.quarantined).checked_sub(self.before)?;
        (seconds > 0.0 && ended > 0).then(|| ended as f64 / seconds)
    }

    /// Returns the seconds without the end of a job, if they are more than the pace of the stage
    /// explains: the stage has stalled.
    pub fn stalled_s(&self) -> Option<f64> {
        /// Jobs end within this time on an idle machine.
        const PATIENCE_S: f64 = 60.0;
        /// Factor on the mean time between two ends.
        const SLACK: f64 = 5.0;
        let silent = (self.updated.as_millisecond() - self.progressed?.as_millisecond()) as f64 / 1000.0;
        let usual = self.rate().map_or(0.0, |rate| SLACK / rate);
        (silent > PATIENCE_S.max(usual) && !self.stage.is_final()).then_some(silent)
    }

    /// Returns the estimated seconds until the end of the stage: by the costs of its jobs, or by
    /// their number if those are unknown. None while less than [`LEAST_SHARE`] has ended, since the
    /// first jobs are often the longest, or the stage has stalled.
    pub fn left_s(&self) -> Option<f64> {
        if self.stalled_s().is_some() {
            return None;
        }
        if let (Some(share), Some(since)) = (self.share, self.since) {
            let seconds = (self.updated.as_millisecond() - since.as_millisecond()) as f64 / 1000.0;
            return (share >= LEAST_SHARE && seconds > 0.0).then(|| seconds * (1.0 - share).max(0.0) / share);
        }
        let open = self.jobs.saturating_sub(self.committed + self.quarantined + self.cancelled);
        let is_known = (self.jobs - open) as f64 >= LEAST_SHARE * self.jobs as f64;
        self.rate().filter(|_| is_known).map(|rate| open as f64 / rate)
    }
}

/// The share of the work that has to be done before the time left is estimated.
pub const LEAST_SHARE: f64 = 0.1;

/// The record that cancels a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// Time of the cancellation.
    pub at: jiff::Timestamp,
}

impl RunSpec {
    /// Returns the id of the run: from the slot if given, else from the dataset, trailers, recipes
    /// and cells.
    pub fn derive_id(&self) -> String {
        let mut asked = serde_json::json!({
            "dataset": self.dataset, "trailers": self.trailers, "recipes": self.recipes, "cells": self.cells, "grid": self.grid, "fit": self.fit,
        });
        if let Some(only) = &self.only {
            asked["only"] = serde_json::json!(only);
        }
        if !self.given.is_empty() {
            let given: Vec<Hash> = self.given.iter().map(|table| table.recipe.hash()).collect();
            asked["given"] = serde_json::json!(given);
        }
        if !self.table_precision.is_default() {
            asked["table_precision"] = serde_json::json!(self.table_precision);
        }
        let name: String = self
            .dataset
            .id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
        let name = match words.join("-").as_str() {
            // A name without ASCII letters and digits. In a slot, its folder distinguishes
            // datasets.
            "" if self.slot.is_some() => {
                format!("dataset-{}", &hash::of_bytes(self.dataset_url.as_bytes()).short()[..8])
            }
            "" => "dataset".to_owned(),
            name => name.to_owned(),
        };
        match &self.slot {
            Some(slot) => format!("{name}-{slot}"),
            None => format!("{name}-{}", &hash::of_json(&asked).short()[..12]),
        }
    }

    /// Returns the recipe of `kind`, if the run makes it: of several the primary one, which comes
    /// first.
    pub fn recipe(&self, kind: ArtifactKind) -> Option<&Recipe> {
        self.recipes.iter().find(|r| r.kind == kind)
    }

    /// Returns the recipe of the video embeddings of these pictures; the primary one if None.
    pub fn video_embedding(&self, pictures: Option<&Pictures>) -> Option<&Recipe> {
        let Some(Pictures { strategy, model }) = pictures else { return self.recipe(ArtifactKind::VideoEmbedding) };
        let model = self.models.iter().find(|facts| facts.name == *model)?.sha256;
        let chosen = |hash: &Hash| {
            let keyframes = |r: &&Recipe| r.kind == ArtifactKind::Keyframes && r.hash() == *hash;
            self.recipes.iter().find(keyframes).is_some_and(|r| r.params["strategy"] == strategy.name())
        };
        self.recipes.iter().find(|recipe| {
            recipe.kind == ArtifactKind::VideoEmbedding
                && recipe.models.first() == Some(&model)
                && recipe.upstream.first().is_some_and(chosen)
        })
    }
}
