//! Jobs and results: the messages on the queue, as JSON with `version` and a tag. `golden/` has a
//! golden file of every version.

mod recipes;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact::{ArtifactKey, ArtifactKind, Recipe, Subject, check_version};
use crate::compact::Row;
use crate::compact::fields::{put_number, put_text, put_texts, take_bytes, take_number, take_text, take_texts};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{CellSpec, FitSpec};
use crate::hash::{self, Hash};
use crate::queue::WorkKind;
use crate::store::check_key;

/// The version of the messages that this program writes and the newest that it reads.
pub const MESSAGE_VERSION: u32 = 1;

/// The longest message that a worker reads, in bytes. A job takes a few thousand.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// One unit of work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// [`MESSAGE_VERSION`] of the sender.
    pub version: u32,
    /// The job's id within its run: the same work has the same id.
    pub id: String,
    /// The run that it belongs to.
    pub run: String,
    /// The store that the run lives in: a worker with another store refuses the job.
    pub store: String,
    /// Number of earlier attempts, excluding crashes (they count as redeliveries).
    #[serde(default)]
    pub attempt: u32,
    /// The ids of the workers that failed in those attempts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub failed_on: BTreeSet<String>,
    /// Whether another copy may wait on the queue or be at work: a worker then looks for it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_copy: bool,
    /// The place of the job in its trace, as in W3C Trace Context, where traces are exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The signature, where coordinators and workers share a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The task.
    pub task: Task,
}

/// The task of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Makes the missing artifacts of one trailer.
    Extract(ExtractTask),
    /// Trains and tests one fold of one cell of the evaluation grid.
    Cell(Box<CellTask>),
    /// Fits the final model on every rating of the dataset.
    Fit(Box<FitTask>),
    /// Checks the path from the queue through a worker to the store.
    Probe(ProbeTask),
}

/// A job without work, sent by `jhalak doctor --workers` and by the benchmark of the queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeTask {
    /// The workers that are probed.
    pub workers: WorkKind,
    /// The subject of the probe's commit record.
    pub subject: Subject,
    /// Of kind [`ArtifactKind::Probe`]; None to commit nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Recipe>,
}

/// Makes the missing artifacts of one trailer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExtractTask {
    /// The trailer.
    pub trailer: Trailer,
    /// The recipes of the missing artifacts, upstream before downstream. Artifacts that are already
    /// committed are skipped.
    pub wanted: Vec<Recipe>,
}

/// A trailer and the location of its file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trailer {
    /// The movie id, and the identity of the content: the SHA-256 of the file, or of the store's
    /// tag if the tag is checked instead.
    #[serde(flatten)]
    pub subject: Subject,
    /// The store that holds the file.
    pub store: String,
    /// Its key there.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// The store's tag of the planned content, where hashing every file while planning would be too
    /// expensive (S3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl Row for Trailer {
    fn pack(&self, to: &mut Vec<u8>) {
        [&self.subject.id, &self.store, &self.key].into_iter().for_each(|text| put_text(to, text));
        to.extend_from_slice(&self.subject.content.bytes());
        put_number(to, self.size);
        put_texts(to, self.tag.as_slice());
    }

    fn unpack(from: &mut &[u8]) -> Option<Trailer> {
        let (id, store, key) = (take_text(from)?, take_text(from)?, take_text(from)?);
        let content = Hash::from_bytes(take_bytes(from, 32)?.try_into().ok()?);
        let size = take_number(from)?;
        Some(Trailer { subject: Subject { id, content }, store, key, size, tag: take_texts(from)?.pop() })
    }
}

/// Trains and tests one fold of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellTask {
    /// The dataset, with the hash of its normal form, stored at [`crate::run::dataset_key`].
    pub dataset: Subject,
    /// The cell.
    pub cell: CellSpec,
    /// The fold, from 0.
    pub fold: usize,
    /// The recipe of the result; its hash is part of the location.
    pub recipe: Recipe,
    /// The tables of embeddings that the cell reads.
    pub tables: BTreeMap<ArtifactKind, Hash>,
    /// The subject of those tables.
    pub table_subject: Subject,
    /// The subjects of tables that hold other trailers than the first table: a trailer may have
    /// only an audio embedding.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<ArtifactKind, Subject>,
}

/// Fits the final model on every rating of the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FitTask {
    /// The dataset, with the hash of its normal form, stored at [`crate::run::dataset_key`].
    pub dataset: Subject,
    /// The models to fit.
    pub fit: FitSpec,
    /// The recipe of the model; its hash is part of the location.
    pub recipe: Recipe,
    /// The tables of embeddings that the network reads.
    pub tables: BTreeMap<ArtifactKind, Hash>,
    /// The subject of those tables.
    pub table_subject: Subject,
    /// The subjects of tables that hold other trailers than the first table: a trailer may have
    /// only an audio embedding.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub subjects: BTreeMap<ArtifactKind, Subject>,
}

impl CellTask {
    /// Returns the locations of the tables that it reads.
    pub fn table_keys(&self) -> Vec<ArtifactKey> {
        table_keys(&self.tables, &self.table_subject, &self.subjects)
    }
}

impl FitTask {
    /// Returns the locations of the tables that it reads.
    pub fn table_keys(&self) -> Vec<ArtifactKey> {
        table_keys(&self.tables, &self.table_subject, &self.subjects)
    }
}

fn table_keys(
    tables: &BTreeMap<ArtifactKind, Hash>,
    common: &Subject,
    others: &BTreeMap<ArtifactKind, Subject>,
) -> Vec<ArtifactKey> {
    let subject = |kind| others.get(kind).unwrap_or(common).clone();
    tables.iter().map(|(kind, recipe)| ArtifactKey { kind: *kind, recipe: *recipe, subject: subject(kind) }).collect()
}

impl Trailer {
    /// Returns the identity of content that is known by the store's tag alone.
    pub fn content_of_tag(size: u64, tag: &str) -> Hash {
        hash::of_json(&serde_json::json!({ "size": size, "tag": tag }))
    }

    /// Refuses a trailer whose tag is not the one that its content was derived from: such a message
    /// would commit artifacts of one file in the name of another.
    pub fn check_tag(&self) -> Result<()> {
        match &self.tag {
            Some(tag) if Self::content_of_tag(self.size, tag) != self.subject.content => Err(Error::invalid(format!(
                "the job of {} contradicts itself: its content does not follow from its size and tag",
                self.subject.id
            ))),
            _ => Ok(()),
        }
    }
}

impl Task {
    /// Returns a short description for people.
    pub fn about(&self) -> String {
        match self {
            Task::Extract(task) => format!("trailer of {}", task.trailer.subject.id),
            Task::Cell(task) => format!("cell {}, fold {}", task.cell.name(), task.fold),
            Task::Probe(_) => "probe".into(),
            Task::Fit(task) => format!("the final model of {}", task.dataset.id),
        }
    }

    /// Returns the kind of work, which decides the queue.
    pub fn work_kind(&self) -> WorkKind {
        match self {
            Task::Extract(_) => WorkKind::Extract,
            Task::Cell(_) | Task::Fit(_) => WorkKind::Train,
            Task::Probe(task) => task.workers,
        }
    }

    /// Returns the recipes of its artifacts.
    pub fn recipes(&self) -> Vec<&Recipe> {
        match self {
            Task::Extract(task) => task.wanted.iter().collect(),
            Task::Cell(task) => vec![&task.recipe],
            Task::Fit(task) => vec![&task.recipe],
            Task::Probe(task) => task.recipe.iter().collect(),
        }
    }

    /// Returns the artifacts that exist when it is done.
    pub fn artifacts(&self) -> Vec<ArtifactKey> {
        match self {
            Task::Extract(task) => {
                task.wanted.iter().map(|recipe| ArtifactKey::new(recipe, &task.trailer.subject)).collect()
            }
            Task::Cell(task) => vec![ArtifactKey::new(&task.recipe, &task.dataset)],
            Task::Probe(task) => task.recipe.iter().map(|recipe| ArtifactKey::new(recipe, &task.subject)).collect(),
            Task::Fit(task) => vec![ArtifactKey::new(&task.recipe, &task.dataset)],
        }
    }
}

impl Job {
    /// Creates a job of this version that was never tried.
    pub fn new(id: impl Into<String>, run: impl Into<String>, store: impl Into<String>, task: Task) -> Job {
        Job {
            version: MESSAGE_VERSION,
            id: id.into(),
            run: run.into(),
            store: store.into(),
            attempt: 0,
            failed_on: BTreeSet::new(),
            is_copy: false,
            traceparent: None,
            signature: None,
            task,
        }
    }

    /// Encodes the message.
    pub fn encode(&self) -> Result<Bytes> {
        encode(self)
    }

    /// Decodes a message.
    ///
    /// # Errors
    /// InvalidInput, with advice, for a message that is not a job or has a newer version, see
    /// [`Envelope::of_newer_job`].
    pub fn decode(body: &[u8]) -> Result<Job> {
        let job: Job = decode(body, "the job")?;
        for artifact in job.task.artifacts() {
            check_key(&artifact.commit()).map_err(|e| e.context("the job has a subject that cannot be stored"))?;
        }
        Ok(job)
    }
}

/// The fields that jobs of every version have.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Envelope {
    version: u64,
    /// The job's id within its run.
    pub id: String,
    /// Its run.
    pub run: String,
    /// The store that the run lives in.
    pub store: String,
}

impl Envelope {
    /// Reads these fields of a job of a newer version than this program knows; None for every other
    /// message.
    pub fn of_newer_job(body: &[u8]) -> Option<Envelope> {
        let envelope: Envelope = serde_json::from_slice(body).ok()?;
        (envelope.version > u64::from(MESSAGE_VERSION)).then_some(envelope)
    }
}

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// [`MESSAGE_VERSION`] of the sender.
    pub version: u32,
    /// The job's id.
    pub job: String,
    /// Its run.
    pub run: String,
    /// Number of earlier attempts, crashes included; None from an older worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The id of the worker; None from an older one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The end state.
    pub outcome: Outcome,
}

/// The end state of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Outcome {
    /// Every artifact exists.
    Committed {
        /// Number of artifacts committed by this job; the others existed, or another worker was
        /// first.
        made: usize,
        /// Seconds per step, by name: for the operator, never part of an artifact.
        seconds: BTreeMap<String, f64>,
    },
    /// It was quarantined; the record has the reason.
    Quarantined {
        /// The kind of its last error.
        error: ErrorKind,
        /// The reason, as text.
        reason: String,
    },
    /// It was dropped because its run was cancelled.
    Cancelled,
}

impl JobResult {
    /// Creates the result of a job of `run`, from a worker that is not named.
    pub fn new(job: impl Into<String>, run: impl Into<String>, outcome: Outcome) -> JobResult {
        let (job, run) = (job.into(), run.into());
        JobResult { version: MESSAGE_VERSION, job, run, attempt: None, worker: None, outcome }
    }

    /// Encodes the message.
    pub fn encode(&self) -> Result<Bytes> {
        encode(self)
    }

    /// Decodes a message.
    pub fn decode(body: &[u8]) -> Result<JobResult> {
        decode(body, "the result")
    }
}

/// The reason why a job was quarantined: `runs/RUN/quarantine/JOB.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// [`MESSAGE_VERSION`] of the writer.
    pub version: u32,
    /// The job's id.
    pub job: String,
    /// Its run.
    pub run: String,
    /// Its subject: a movie id or a cell.
    pub about: String,
    /// The kind of its last error.
    pub error: ErrorKind,
    /// The last error with all causes.
    pub reason: String,
    /// Number of attempts, including crashes.
    pub attempts: u32,
    /// When it was quarantined; None in records of older programs, like the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<jiff::Timestamp>,
    /// The id of the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The version of the worker's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Seconds per step of the last attempt, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seconds: BTreeMap<String, f64>,
    /// The original message, for `requeue`. Text if it was not JSON.
    pub message: Value,
}

impl QuarantineRecord {
    /// Creates the record of a job that is quarantined now because of `error`, after `attempts`
    /// attempts.
    pub fn new(run: &str, job: &str, about: String, error: &Error, attempts: u32, message: Value) -> Self {
        QuarantineRecord {
            version: MESSAGE_VERSION,
            job: job.to_string(),
            run: run.to_string(),
            about,
            error: error.kind(),
            reason: error.chain(),
            attempts,
            at: Some(jiff::Timestamp::now()),
            worker: None,
            program: Some(env!("CARGO_PKG_VERSION").into()),
            seconds: BTreeMap::new(),
            message,
        }
    }

    /// Returns the quarantined job; None if the message is not one that this program knows.
    pub fn decode_job(&self) -> Option<Job> {
        serde_json::from_value(self.message.clone()).ok()
    }
}

fn encode(message: &impl Serialize) -> Result<Bytes> {
    serde_json::to_vec(message).map(Bytes::from).map_err(|e| Error::bug("a message does not serialise").with_source(e))
}

fn decode<T: serde::de::DeserializeOwned>(body: &[u8], what: &str) -> Result<T> {
    let value: Value =
        serde_json::from_slice(body).map_err(|e| Error::invalid(format!("{what} is not JSON")).with_source(e))?;
    check_version(&value, MESSAGE_VERSION, what)?;
    serde_json::from_value(value)
        .map_err(|e| Error::invalid(format!("{what} does not have the format of its version")).with_source(e))
}
