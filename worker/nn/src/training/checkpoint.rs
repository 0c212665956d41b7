//! Checkpoints between two epochs, so that a resumed training ends with the same weights.
//!
//! A checkpoint is a safetensors file: for each parameter its values, the running means of the
//! optimizer and its best values so far; in the metadata the history and a fingerprint of settings,
//! seed and samples. A checkpoint of another training is not used.

use super::outcome::History;
use super::trainable::Trainable;
use crate::optimizer::OptimizerState;
use jhalak_common::evaluation::FitSettings;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Stores the checkpoints of a fold. A fold has several trainings, each with its own `stage`.
pub trait CheckpointStore: Sync {
    /// Returns the last checkpoint, if any.
    fn load(&self, stage: &str) -> Option<Vec<u8>>;
    /// Whether the next checkpoint is due. Called after each epoch.
    fn due(&self) -> bool;
    /// Replaces the checkpoint.
    fn keep(&self, stage: &str, state: Vec<u8>);
}

/// Stores no checkpoints: an interrupted training starts from the first epoch.
#[derive(Clone, Copy, Debug)]
pub struct NoCheckpoints;

impl CheckpointStore for NoCheckpoints {
    fn load(&self, _stage: &str) -> Option<Vec<u8>> {
        None
    }
    fn due(&self) -> bool {
        false
    }
    fn keep(&self, _stage: &str, _state: Vec<u8>) {}
}

/// The metadata of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    fingerprint: String,
    /// Finished epochs.
    pub epochs: usize,
    /// Steps of the optimizer.
    steps: i32,
    pub best: Option<f64>,
    pub history: History,
    /// The training has ended; only its best weights must be restored.
    pub ended: bool,
}

/// Name of the metadata entry.
const PROGRESS: &str = "progress";

/// Identifies a training by its settings, seed and samples.
pub(super) fn fingerprint(settings: &FitSettings, seed: u64, train: &[u32], validation: &[u32]) -> String {
    let sum = |samples: &[u32]| {
        samples.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &s| (hash ^ u64::from(s)).wrapping_mul(0x100_0000_01b3))
    };
    format!("{settings:?} seed {seed} train {:x} validation {:x}", sum(train), sum(validation))
}

/// Encodes a checkpoint. `best` are the best values so far, parameter after parameter; empty if
/// there are none.
pub(super) fn encode(
    model: &mut dyn Trainable,
    optimizer: &OptimizerState,
    best: &[f32],
    fingerprint: &str,
    progress: (usize, Option<f64>, &History, bool),
) -> Option<Vec<u8>> {
    let (epochs, best_loss, history, ended) = progress;
    let mut tensors: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let bytes = |numbers: &[f32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let mut rest = best;
    model.parameters(&mut |name, parameter| {
        let (own, after) = rest.split_at(parameter.value.len().min(rest.len()));
        rest = after;
        for (part, numbers) in [
            ("value", parameter.value.as_slice()),
            ("mean", &parameter.mean),
            ("square", &parameter.square),
            ("best", own),
        ] {
            tensors.insert(format!("{name}/{part}"), bytes(numbers));
        }
    });
    let progress = Progress {
        fingerprint: fingerprint.to_owned(),
        epochs,
        steps: optimizer.steps(),
        best: best_loss,
        history: history.clone(),
        ended,
    };
    let metadata = HashMap::from([(PROGRESS.to_owned(), serde_json::to_string(&progress).ok()?)]);
    let views: Result<Vec<(&String, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, bytes)| TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes).map(|view| (name, view)))
        .collect();
    serialize(views.ok()?, Some(metadata)).ok()
}

/// Restores a checkpoint into the model and the optimizer; the best values go to `best`. Returns
/// `None` and changes nothing if the checkpoint belongs to another training or cannot be read.
pub(super) fn decode(
    state: &[u8],
    model: &mut dyn Trainable,
    optimizer: &mut OptimizerState,
    best: &mut Vec<f32>,
    fingerprint: &str,
) -> Option<Progress> {
    let (_, header) = SafeTensors::read_metadata(state).ok()?;
    let progress: Progress = serde_json::from_str(header.metadata().as_ref()?.get(PROGRESS)?).ok()?;
    if progress.fingerprint != fingerprint {
        return None;
    }
    let tensors = SafeTensors::deserialize(state).ok()?;
    let numbers = |name: &str, part: &str| -> Option<Vec<f32>> {
        let tensor = tensors.tensor(&format!("{name}/{part}")).ok()?;
        Some(tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    };
    let mut parts = Vec::new();
    let mut fits = true;
    model.parameters(&mut |name, parameter| {
        let read = ["value", "mean", "square", "best"].map(|part| numbers(name, part));
        let len = parameter.value.len();
        let right = |part: &Option<Vec<f32>>, may_miss: bool| {
            part.as_ref().is_some_and(|part| part.len() == len || (may_miss && part.is_empty()))
        };
        fits &= right(&read[0], false) && read[1..].iter().all(|part| right(part, true));
        parts.push(read.map(Option::unwrap_or_default));
    });
    if !fits {
        return None;
    }
    best.clear();
    let mut parts = parts.into_iter();
    model.parameters(&mut |_, parameter| {
        if let Some([value, mean, square, own]) = parts.next() {
            (parameter.value, parameter.mean, parameter.square) = (value, mean, square);
            best.extend(own);
        }
    });
    optimizer.set_steps(progress.steps);
    Some(progress)
}
