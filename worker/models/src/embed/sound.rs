//! Parts shared by both ways to embed sound: its samples, the models and the running mean.

use std::io::Read;

use jhalak_common::Result;
use jhalak_common::artifact::recipes::SOUND_PARTS;
use jhalak_common::models::Model;

use crate::inference::Session;

/// A trailer's audio embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioEmbedding {
    /// The mean over the vectors.
    pub mean: Vec<f32>,
    /// Number of vectors: one per window or frame of sound.
    pub windows: usize,
    /// The means over at most [`SOUND_PARTS`] equal stretches of the vectors, in their order, one
    /// after the other; the last stretch may be shorter.
    pub parts: Vec<f32>,
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
    parts: PartSums,
}

/// Sums over equal stretches. When there are too many, each two become one, so that memory does not
/// grow with the sound.
#[derive(Default)]
struct PartSums {
    /// Vectors in each full stretch, at least 1 once there is one.
    length: usize,
    sums: Vec<Vec<f64>>,
    /// Vectors in the last stretch.
    last: usize,
}

impl PartSums {
    fn add(&mut self, vector: &[f32]) {
        if self.sums.is_empty() || self.last == self.length {
            if self.sums.len() == SOUND_PARTS {
                let sum = |two: &[Vec<f64>]| two[0].iter().zip(&two[1]).map(|(a, b)| a + b).collect();
                self.sums = self.sums.chunks_exact(2).map(sum).collect();
                self.length *= 2;
            }
            self.length = self.length.max(1);
            self.sums.push(vec![0.0; vector.len()]);
            self.last = 0;
        }
        if let Some(sum) = self.sums.last_mut() {
            sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += f64::from(*x));
        }
        self.last += 1;
    }

    fn means(&self) -> Vec<f32> {
        let count = self.sums.len();
        let length = |i: usize| if i + 1 == count { self.last } else { self.length } as f64;
        self.sums.iter().enumerate().flat_map(|(i, sum)| sum.iter().map(move |x| (x / length(i)) as f32)).collect()
    }
}

impl MeanAccumulator {
    /// Adds one vector.
    pub(super) fn add(&mut self, vector: impl ExactSizeIterator<Item = f32>) {
        self.sum.resize(vector.len(), 0.0);
        let vector: Vec<f32> = vector.collect();
        for (total, value) in self.sum.iter_mut().zip(&vector) {
            *total += f64::from(*value);
        }
        self.parts.add(&vector);
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
            parts: self.parts.means(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_means_of_equal_stretches_however_long_the_sound() {
        for (windows, length) in [(1usize, 1usize), (15, 1), (16, 1), (17, 2), (32, 2), (33, 4), (1_000, 64)] {
            let mut total = MeanAccumulator::default();
            (0..windows).for_each(|i| total.add([i as f32, 1.0].into_iter()));
            let found = total.mean().expect("not empty");
            let expected: Vec<f32> = (0..windows)
                .collect::<Vec<_>>()
                .chunks(length)
                .flat_map(|own| [own.iter().sum::<usize>() as f32 / own.len() as f32, 1.0])
                .collect();
            assert_eq!(found.parts, expected, "{windows}");
            assert!(found.parts.len() <= 2 * SOUND_PARTS);
        }
    }
}
