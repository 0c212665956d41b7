//! A run: what is asked for, frozen in the store, so that any coordinator can go on with it.
//!
//! ```text
//! datasets/HASH/dataset.json       the normalised dataset (written once)
//! runs/RUN/spec.json               what was asked for (written once)
//! runs/RUN/trailers.json           the trailers found when it was planned (written once)
//! runs/RUN/state.json              where it stands, for people; derived, may be stale
//! runs/RUN/cancelled.json          there where somebody cancelled it: its jobs are dropped
//! runs/RUN/lead/NUMBER.json        which coordinator drives it; the highest number leads
//! runs/RUN/quarantine/JOB.json     jobs that were given up, with their reasons
//! runs/RUN/report/                 index.html and report.json
//! ```

pub mod job;
mod records;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKind, Recipe, Subject};
use crate::evaluation::{CellSpec, FitSpec, Pictures};
use crate::hash::{self, Hash};
pub use crate::models::ModelFacts;
use crate::settings::Grid;

use job::Trailer;
pub use records::{
    CANCELLED, RUN_VERSION, dataset_key, get_json, is_cancelled, put_json, put_json_once, quarantine_folder,
    quarantine_key, run_key,
};

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The run's id: the dataset's name and a hash of what is asked for, so that the same request is the same run.
    pub id: String,
    /// The dataset's folder as it was given.
    pub dataset_url: String,
    /// The dataset, by its normalised form.
    pub dataset: Subject,
    /// Whether the feedback was generated.
    pub synthetic: bool,
    /// The hash of the list of trailers and their contents.
    pub trailers: Hash,
    /// The recipes of a trailer's artifacts, upstream before downstream.
    pub recipes: Vec<Recipe>,
    /// The evaluation grid.
    pub cells: Vec<CellSpec>,
    /// Which cells the grid is made of.
    #[serde(default)]
    pub grid: Grid,
    /// What is fitted on every rating; none in a run of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<FitSpec>,
    /// The models that the recipes use, for the report.
    pub models: Vec<ModelFacts>,
    /// What the run was asked for: a night, a week. One run a slot, whatever the dataset holds by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// Where only new trailers were asked for: the subjects' folders of those that had no artifact when it was planned. Others are not extracted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<String>>,
    /// When it was first asked for.
    pub created: jiff::Timestamp,
}

/// The trailers of a run, in ascending order of movie id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrailerList {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The trailers.
    pub trailers: Vec<Trailer>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Frozen in the store, no job sent.
    Planned,
    /// Trailers are being processed.
    Extracting,
    /// Cells are being trained and tested, and the final model is being fitted.
    #[serde(alias = "fitting")]
    Training,
    /// The report is being written.
    Reporting,
    /// Everything is committed.
    Done,
    /// Everything that was not quarantined is committed.
    DoneWithFailures,
    /// Somebody cancelled it: what is committed stays, the rest is not done.
    Cancelled,
}

impl Stage {
    /// The word shown to people.
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

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Stage::Done | Stage::DoneWithFailures | Stage::Cancelled)
    }
}

/// Where a run stands, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The stage.
    pub stage: Stage,
    /// Jobs of the stage.
    pub jobs: usize,
    /// Those of them that are committed.
    pub committed: usize,
    /// Those of them that were given up.
    pub quarantined: usize,
    /// Those of them that will not be done, for the run was cancelled.
    #[serde(default)]
    pub cancelled: usize,
    /// Those of them that were committed or given up before the coordinator that drives it now began.
    #[serde(default)]
    pub before: usize,
    /// When that coordinator began with the stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<jiff::Timestamp>,
    /// When this was written.
    pub updated: jiff::Timestamp,
}

impl RunState {
    /// The state at the start of `stage`, with no jobs counted yet.
    pub fn of(stage: Stage) -> RunState {
        RunState {
            version: RUN_VERSION,
            stage,
            jobs: 0,
            committed: 0,
            quarantined: 0,
            cancelled: 0,
            before: 0,
            since: None,
            updated: jiff::Timestamp::now(),
        }
    }

    /// Jobs of the stage that ended a second, since the coordinator that drives it now began; None where nothing can be said yet.
    pub fn rate(&self) -> Option<f64> {
        let seconds = (self.updated.as_millisecond() - self.since?.as_millisecond()) as f64 / 1000.0;
        let ended = (self.committed + self.quarantined).checked_sub(self.before)?;
        (seconds > 0.0 && ended > 0).then(|| ended as f64 / seconds)
    }

    /// Seconds until the stage is over, should it go on at this rate.
    pub fn left_s(&self) -> Option<f64> {
        let open = self.jobs.saturating_sub(self.committed + self.quarantined + self.cancelled);
        self.rate().map(|rate| open as f64 / rate)
    }
}

/// That somebody cancelled the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// When.
    pub at: jiff::Timestamp,
}

impl RunSpec {
    /// The id of a run that asks for this: its slot where it has one, else the dataset, the trailers, the recipes and the cells decide it.
    pub fn derive_id(&self) -> String {
        let mut asked = serde_json::json!({
            "dataset": self.dataset, "trailers": self.trailers, "recipes": self.recipes, "cells": self.cells, "grid": self.grid, "fit": self.fit,
        });
        if let Some(only) = &self.only {
            asked["only"] = serde_json::json!(only);
        }
        let name: String = self
            .dataset
            .id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        match &self.slot {
            Some(slot) => format!("{name}-{slot}"),
            None => format!("{name}-{}", &hash::of_json(&asked).short()[..12]),
        }
    }

    /// The recipe of `kind` in this run, if it makes that: of several the run's own, which comes first.
    pub fn recipe(&self, kind: ArtifactKind) -> Option<&Recipe> {
        self.recipes.iter().find(|r| r.kind == kind)
    }

    /// The recipe of the video embeddings of these pictures; the run's own where none are named.
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
