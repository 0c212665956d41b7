//! A training's state between two epochs: what is kept so that an interrupted training goes on and ends with the same weights.
//!
//! The state is a safetensors file: of each parameter its values, its optimiser's running means and its best values so far; in the
//! metadata the history and a fingerprint of settings, seed and samples. A state of another training is not taken.

use super::outcome::History;
use super::trainable::Trainable;
use crate::optimizer::Learner;
use jhalak_common::evaluation::FitSettings;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Where the states of a fold's trainings are kept. A fold has several trainings: each has its own `stage`.
pub trait Resume: Sync {
    /// The state that was kept last, if any.
    fn load(&self, stage: &str) -> Option<Vec<u8>>;
    /// Whether it is time to keep a state again. Asked after every epoch.
    fn due(&self) -> bool;
    /// Keeps a state in the place of the one before.
    fn keep(&self, stage: &str, state: Vec<u8>);
}

/// Keeps nothing: an interrupted training starts again.
#[derive(Clone, Copy, Debug)]
pub struct StartAgain;

impl Resume for StartAgain {
    fn load(&self, _stage: &str) -> Option<Vec<u8>> {
        None
    }
    fn due(&self) -> bool {
        false
    }
    fn keep(&self, _stage: &str, _state: Vec<u8>) {}
}

/// What is kept beside the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    fingerprint: String,
    /// Epochs that are done.
    pub epochs: usize,
    /// Steps of the optimiser.
    steps: i32,
    pub best: Option<f64>,
    pub history: History,
    /// The training has ended, and only its best weights are still to be put back.
    pub ended: bool,
}

/// The name of the metadata entry.
const PROGRESS: &str = "progress";

/// What tells one training from another.
pub(super) fn fingerprint(settings: &FitSettings, seed: u64, train: &[u32], validation: &[u32]) -> String {
    let sum = |samples: &[u32]| {
        samples.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &s| (hash ^ u64::from(s)).wrapping_mul(0x100_0000_01b3))
    };
    format!("{settings:?} seed {seed} train {:x} validation {:x}", sum(train), sum(validation))
}

/// The state as a file. `best` are the best values so far, parameter after parameter; empty if there are none.
pub(super) fn encode(
    model: &mut dyn Trainable,
    learner: &Learner,
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
        steps: learner.steps(),
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

/// Puts a kept state back into the model and the learner; best values go to `best`. `None`, and nothing is touched, where the state is of
/// another training or cannot be read.
pub(super) fn decode(
    state: &[u8],
    model: &mut dyn Trainable,
    learner: &mut Learner,
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
    learner.set_steps(progress.steps);
    Some(progress)
}
