//! The inputs of [`super::trailer_attention`]: each trailer as up to 16 tokens of each track, and
//! for each pair the user's rated movies, which look at them.

use super::trailer_batch::{SHARES, TokenBatch};
use crate::CLASSES;
use crate::features::embedding::PartTable;
use crate::features::principal_components::Reduction;
use jhalak_common::dataset::{Dataset, Rating};

/// Maximum number of frames, and of sound windows, of a trailer.
const TOKENS: usize = 16;
/// Principal components of a part: the numbers of a token in its track.
const COMPONENTS: usize = 16;
/// Maximum number of rated movies of a pair: those whose trailers are most alike.
const RATED: usize = 16;
/// Parts that the components are learned from, evenly chosen.
const LEARNED: usize = 8_000;

/// A trailer as tokens.
#[derive(Debug)]
struct Trailer {
    /// `tracks x TOKENS x dim`: frames, then sound windows.
    tokens: Vec<f32>,
    /// Whether there is a part for each token.
    present: Vec<bool>,
    /// The mean of all parts in every track, `dim`.
    mean: Vec<f32>,
}

/// The tokens of every movie.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Numbers of a token: [`COMPONENTS`] for each track, zero in the other track.
    dim: usize,
    /// Tokens of a trailer.
    count: usize,
    /// By movie; `None` without parts in every track.
    movies: Vec<Option<Trailer>>,
}

impl Tokens {
    /// Reduces the parts to the directions in which those of the `fitted` movies differ. A trailer
    /// of more parts than [`TOKENS`] gives evenly chosen ones. Reads no label.
    pub(super) fn learn(tracks: &[PartTable], fitted: &[bool], (seed, stream): (u64, u64)) -> Self {
        let reduced: Vec<Vec<Option<Vec<Vec<f32>>>>> =
            tracks.iter().enumerate().map(|(i, track)| reduce(track, fitted, (seed, stream + i as u64))).collect();
        let (dim, count) = (COMPONENTS * tracks.len(), TOKENS * tracks.len());
        let movie = |movie: usize| {
            let (mut tokens, mut present) = (vec![0.0; count * dim], vec![false; count]);
            let mut mean = Vec::with_capacity(dim);
            for (track, rows) in reduced.iter().enumerate() {
                let parts = rows[movie].as_ref()?;
                let chosen = parts.len().min(TOKENS);
                for i in 0..chosen {
                    let (token, start) = (track * TOKENS + i, track * COMPONENTS);
                    tokens[token * dim + start..][..COMPONENTS].copy_from_slice(&parts[i * parts.len() / chosen]);
                    present[token] = true;
                }
                let number = |c: usize| parts.iter().map(|part| part[c]).sum::<f32>() / parts.len() as f32;
                mean.extend((0..COMPONENTS).map(number));
            }
            Some(Trailer { tokens, present, mean })
        };
        Self { dim, count, movies: (0..fitted.len()).map(movie).collect() }
    }

    fn mean(&self, movie: u32) -> Option<&[f32]> {
        self.movies[movie as usize].as_ref().map(|trailer| trailer.mean.as_slice())
    }
}

/// Returns the reduced parts of each trailer, with unit variance over those of the fitted ones.
fn reduce(track: &PartTable, fitted: &[bool], (seed, stream): (u64, u64)) -> Vec<Option<Vec<Vec<f32>>>> {
    let of_fitted = track.rows.iter().zip(fitted).filter(|(_, fitted)| **fitted).filter_map(|(row, _)| row.as_deref());
    let all: Vec<&[f32]> = of_fitted.flat_map(|row| row.chunks_exact(track.dim)).collect();
    let learned: Vec<&[f32]> = all.iter().copied().step_by(all.len().div_ceil(LEARNED).max(1)).collect();
    let reduction = Reduction::learn(&learned, (track.dim, COMPONENTS.min(track.dim)), seed, stream);
    let mut squares = [0.0_f64; COMPONENTS];
    for row in &learned {
        squares.iter_mut().zip(reduction.reduce(row)).for_each(|(sum, x)| *sum += f64::from(x).powi(2));
    }
    let scales = squares.map(|sum| {
        let deviation = (sum / learned.len().max(1) as f64).sqrt();
        if deviation > 1e-9 { (1.0 / deviation) as f32 } else { 0.0 }
    });
    let reduced = |part: &[f32]| -> Vec<f32> {
        let mut reduced = reduction.reduce(part);
        reduced.resize(COMPONENTS, 0.0);
        reduced.iter_mut().zip(scales).for_each(|(x, scale)| *x *= scale);
        reduced
    };
    let movie = |row: &Option<Vec<f32>>| Some(row.as_ref()?.chunks_exact(track.dim).map(reduced).collect());
    track.rows.iter().map(movie).collect()
}

/// One pair to train on or to predict.
#[derive(Debug)]
struct Sample {
    movie: u32,
    label: u8,
    /// Rated movies that look at it, with their classes; at most [`RATED`].
    rated: Vec<(u32, u8)>,
    shares: [f32; SHARES],
}

/// The pairs of a fold.
#[derive(Debug)]
pub(super) struct TrailerPairs {
    tokens: Tokens,
    samples: Vec<Sample>,
}

impl TrailerPairs {
    /// Creates an empty list over these trailers.
    pub(super) fn new(tokens: Tokens) -> Self {
        Self { tokens, samples: Vec::new() }
    }

    /// Returns the numbers of a token.
    pub(super) fn dim(&self) -> usize {
        self.tokens.dim
    }

    /// Adds pairs, whose movies have tokens, and returns their indexes. `known` are the training
    /// pairs, sorted. A pair's own rating counts neither in its shares nor among the movies that
    /// look at its trailer.
    pub(super) fn add(&mut self, dataset: &Dataset, known: &[u32], pairs: &[u32]) -> Vec<u32> {
        let first = self.samples.len() as u32;
        let rating = |pair: u32| -> Rating { dataset.ratings[pair as usize] };
        for &pair in pairs {
            let own = rating(pair);
            let start = known.partition_point(|&known| rating(known).user < own.user);
            let of_user = known[start..].iter().map(|&known| rating(known)).take_while(|known| known.user == own.user);
            let others: Vec<(u32, u8)> = of_user
                .filter(|known| known.movie != own.movie)
                .map(|known| (known.movie, known.label as u8))
                .collect();
            let rated = self.nearest(own.movie, &others);
            self.samples.push(Sample { movie: own.movie, label: own.label as u8, rated, shares: shares(&others) });
        }
        (first..self.samples.len() as u32).collect()
    }

    /// Returns the rated movies whose mean tokens point most in the direction of the movie's.
    fn nearest(&self, movie: u32, others: &[(u32, u8)]) -> Vec<(u32, u8)> {
        let Some(own) = self.tokens.mean(movie) else { return Vec::new() };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let mut alike: Vec<(f32, (u32, u8))> = others
            .iter()
            .filter_map(|&other| {
                let mean = self.tokens.mean(other.0)?;
                Some((dot(own, mean) / dot(mean, mean).sqrt().max(f32::MIN_POSITIVE), other))
            })
            .collect();
        alike.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        alike.truncate(RATED);
        alike.into_iter().map(|(_, other)| other).collect()
    }

    /// Assembles the batch of these samples, and their labels.
    pub(super) fn fill(&self, samples: &[u32], batch: &mut TokenBatch, labels: &mut Vec<u8>) {
        let Tokens { dim, count, movies } = &self.tokens;
        batch.clear(samples.len(), (RATED, *count));
        labels.clear();
        for &sample in samples {
            let Sample { movie, label, rated, shares } = &self.samples[sample as usize];
            // Every sample has tokens: see `add`.
            let Some(trailer) = movies[*movie as usize].as_ref() else { continue };
            labels.push(*label);
            for i in 0..RATED {
                let start = batch.rated.len();
                batch.rated.resize(start + dim + CLASSES, 0.0);
                batch.weights.push(if i < rated.len() { 1.0 / rated.len() as f32 } else { 0.0 });
                let Some(&(other, class)) = rated.get(i) else { continue };
                let row = &mut batch.rated[start..];
                row[..*dim].copy_from_slice(self.tokens.mean(other).unwrap_or(&[]));
                row[dim + usize::from(class)] = 1.0;
            }
            batch.tokens.extend_from_slice(&trailer.tokens);
            batch.present.extend_from_slice(&trailer.present);
            batch.extra.extend_from_slice(&trailer.mean);
            batch.extra.extend_from_slice(shares);
        }
    }
}

/// Returns the class shares, shrunk towards equal ones, and the logarithm of the count.
fn shares(rated: &[(u32, u8)]) -> [f32; SHARES] {
    let mut counts = [0.0_f32; CLASSES];
    rated.iter().for_each(|&(_, label)| counts[usize::from(label)] += 1.0);
    let all: f32 = counts.iter().sum();
    let [dislike, neutral, like] = counts.map(|count| (count + 1.0) / (all + CLASSES as f32));
    [dislike, neutral, like, (1.0 + all).ln() / 5.0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use jhalak_nn::seeded;

    /// Parts of `movies` trailers: 1 to 20 of each, and none of the third.
    fn parts(movies: usize, dim: usize, seed: u64) -> PartTable {
        let random = &mut seeded(seed, 0);
        let row = |movie: usize| {
            let count = 1 + movie * 7 % 20;
            (movie != 2).then(|| (0..count * dim).map(|_| random.normal()).collect())
        };
        PartTable { dim, rows: (0..movies).map(row).collect() }
    }

    #[test]
    fn a_trailer_has_a_token_for_each_part_up_to_sixteen() {
        let tracks = [parts(8, 24, 1), parts(8, 5, 2)];
        let tokens = Tokens::learn(&tracks, &[true; 8], (3, 4));
        assert_eq!((tokens.dim, tokens.count), (32, 32));
        assert!(tokens.movies[2].is_none());
        for (movie, trailer) in tokens.movies.iter().enumerate() {
            let Some(trailer) = trailer else { continue };
            let expected = (1 + movie * 7 % 20).min(16);
            for track in 0..2 {
                let present = &trailer.present[track * 16..][..16];
                assert!(present.iter().enumerate().all(|(i, present)| *present == (i < expected)), "{movie}");
                for token in track * 16..(track + 1) * 16 {
                    let other = &trailer.tokens[token * 32 + (1 - track) * 16..][..16];
                    assert_eq!(other, [0.0; 16], "a token is of one track");
                }
            }
        }
    }

    #[test]
    fn tokens_of_training_movies_do_not_depend_on_other_trailers() {
        let table = parts(8, 24, 1);
        let fitted = [true, true, true, true, true, true, false, false];
        let before = Tokens::learn(std::slice::from_ref(&table), &fitted, (3, 4));
        let mut changed = table;
        changed.rows[7] = Some(vec![9.0; 24]);
        let after = Tokens::learn(&[changed], &fitted, (3, 4));
        let of = |tokens: &Tokens| tokens.movies[..7].iter().flatten().map(|t| t.tokens.clone()).collect::<Vec<_>>();
        assert_eq!(of(&before), of(&after));
    }

    #[test]
    fn a_pair_sees_the_known_ratings_of_its_user_and_never_its_own() {
        let dataset = example(30, 12, 6, Taste::Chance, 4);
        let known: Vec<u32> = (0..dataset.ratings.len() as u32).filter(|pair| pair % 3 != 0).collect();
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let mut pairs = TrailerPairs::new(Tokens::learn(&[parts(12, 6, 1)], &[true; 12], (3, 4)));
        pairs.add(&dataset, &known, &all);
        for (pair, sample) in all.iter().zip(&pairs.samples) {
            let own = dataset.ratings[*pair as usize];
            if own.movie == 2 {
                continue; // It has no trailer, so nothing is predicted for it.
            }
            let mut expected: Vec<(u32, u8)> = known
                .iter()
                .map(|&known| dataset.ratings[known as usize])
                .filter(|known| known.user == own.user && known.movie != own.movie && known.movie != 2)
                .map(|known| (known.movie, known.label as u8))
                .collect();
            let mut found = sample.rated.clone();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected);
        }
    }
}
