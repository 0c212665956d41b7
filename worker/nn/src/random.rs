//! Seeded random numbers: the same seed and stream give the same numbers on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers (ChaCha8).
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

/// Opens stream `stream` of seed `seed`. Streams of one seed are independent: one for
/// initialization, one for the order of each epoch, ...
#[must_use]
pub fn seeded(seed: u64, stream: u64) -> Random {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    Random(generator)
}

impl Random {
    /// Draws a number in [low, high), from 24 random bits.
    #[inline]
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u32() >> 8) as f32 * (1.0 / 16_777_216.0);
        low + (high - low) * unit
    }

    /// Draws an integer in 0..bound; 0 if `bound` is 0. The bias is below 2^-32 for any `bound`
    /// that fits memory.
    #[inline]
    pub fn below(&mut self, bound: usize) -> usize {
        let wide = u128::from(self.0.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).unwrap_or(0)
    }

    /// Draws a standard normal number (Box-Muller).
    #[inline]
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform(0.0, 1.0)).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform(0.0, 1.0)).cos()
    }
}

/// Shuffles `items` (Fisher-Yates).
pub fn shuffle<T>(items: &mut [T], random: &mut Random) {
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_repeats_and_differs_from_other_streams() {
        let draw = |seed, stream| {
            (0..8).map(|_| 0).scan(seeded(seed, stream), |r, _: i32| Some(r.below(1000))).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn draws_have_the_documented_range_and_moments() {
        let mut random = seeded(3, 0);
        let n = 20_000;
        let mean = (0..n).map(|_| random.uniform(-1.0, 3.0)).inspect(|x| assert!((-1.0..3.0).contains(x))).sum::<f32>()
            / n as f32;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let square = (0..n).map(|_| random.normal()).map(|x| x * x).sum::<f32>() / n as f32;
        assert!((square - 1.0).abs() < 0.05, "{square}");
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut items, &mut seeded(1, 1));
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
