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
    /// How many vectors there were: one a window or a frame of sound.
    pub windows: usize,
}

/// A model and its session.
#[derive(Clone, Copy)]
pub struct Loaded<'a> {
    /// What the registry says.
    pub model: &'a Model,
    /// Where it runs.
    pub session: &'a Session,
}

/// Appends up to `count` samples, times `scale`, to `samples`; how many there were.
pub(super) fn read_samples(sound: &mut impl Read, count: usize, scale: f32, samples: &mut Vec<f32>) -> Result<usize> {
    let mut bytes = Vec::with_capacity(count * 2);
    sound.take(count as u64 * 2).read_to_end(&mut bytes)?;
    samples.extend(bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) * scale));
    Ok(bytes.len() / 2)
}

/// A running sum in f64, so that the mean does not depend on the length of the chunks.
#[derive(Default)]
pub(super) struct Total {
    sum: Vec<f64>,
    windows: usize,
}

impl Total {
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
