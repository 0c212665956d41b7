//! Parts shared by both ways to embed sound: its samples, the models and the running mean.

use std::io::Read;

use jhalak_common::Result;
use jhalak_common::models::Model;

use crate::inference::Session;

/// A trailer's audio embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioEmbedding {
    /// The mean over the vectors.
    pub mean: Vec<f32>,
    /// Number of vectors: one per window or frame of sound.
    pub windows: usize,
}

/// A model and its session.
#[derive(Clone, Copy)]
pub struct ModelSession<'a> {
    /// Its registry entry.
    pub model: &'a Model,
    /// The loaded file.
    pub session: &'a Session,
}

/// Appends up to `count` samples, multiplied by `scale`, to `samples`. Returns how many were read.
pub(super) fn read_samples(sound: &mut impl Read, count: usize, scale: f32, samples: &mut Vec<f32>) -> Result<usize> {
    let mut bytes = Vec::with_capacity(count * 2);
    sound.take(count as u64 * 2).read_to_end(&mut bytes)?;
    samples.extend(bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) * scale));
    Ok(bytes.len() / 2)
}

/// A running mean, summed in f64 so that it does not depend on the chunk length.
#[derive(Default)]
pub(super) struct MeanAccumulator {
    sum: Vec<f64>,
    windows: usize,
}

impl MeanAccumulator {
    /// Adds one vector.
    pub(super) fn add(&mut self, vector: impl ExactSizeIterator<Item = f32>) {
        self.sum.resize(vector.len(), 0.0);
        for (total, value) in self.sum.iter_mut().zip(vector) {
            *total += f64::from(value);
        }
        self.windows += 1;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.windows == 0
    }

    pub(super) fn mean(self) -> Option<AudioEmbedding> {
        let count = self.windows as f64;
        (self.windows > 0).then(|| AudioEmbedding {
            mean: self.sum.iter().map(|total| (total / count) as f32).collect(),
            windows: self.windows,
        })
    }
}
