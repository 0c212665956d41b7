//! Linear weights between movies, learned from who watched what.
//!
//! "Embarrassingly Shallow Autoencoders for Sparse Data" (Steck 2019): the weights B with a zero
//! diagonal that best predict each user's history from itself under a quadratic penalty. With P the
//! inverse of G + penalty, where G counts the viewers that two movies share,
//! `B[i][j] = -P[i][j] / P[j][j]`.

use super::history::History;
use super::inverse::invert;
use crate::RecommendError;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// The largest number of movies that weights are learned for: the most watched ones. The matrix
/// then takes 256 MiB, and its inverse about a minute.
const MAX_MOVIES: usize = 8192;
/// The quadratic penalty.
const PENALTY: f32 = 250.0;
/// The weights that are kept of each movie: the largest ones.
const KEPT: usize = 400;

/// The weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ease {
    /// The rows of each movie: `starts[movie]..starts[movie + 1]`.
    starts: Vec<u32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

impl Ease {
    /// Learns from histories over `movies` movies.
    ///
    /// # Errors
    /// `stop`.
    pub fn fit(histories: &[History], movies: usize, stop: &AtomicBool) -> Result<Self, RecommendError> {
        let (columns, column_of) = columns(histories, movies);
        let n = columns.len();
        let mut gram = vec![0.0_f32; n * n];
        for history in histories {
            check(stop)?;
            let own: Vec<(usize, f32)> =
                history.iter().filter_map(|(movie, weight)| Some((column_of[*movie as usize]?, *weight))).collect();
            for (i, a) in &own {
                let row = &mut gram[i * n..(i + 1) * n];
                own.iter().for_each(|(j, b)| row[*j] += a * b);
            }
        }
        (0..n).for_each(|i| gram[i * n + i] += PENALTY);
        check(stop)?;
        invert(&mut gram, n);
        check(stop)?;
        let diagonal: Vec<f32> = (0..n).map(|i| gram[i * n + i]).collect();
        let mut ease = Self { starts: vec![0], ..Self::default() };
        for column in &column_of {
            if let &Some(i) = column {
                let mut row: Vec<(u32, f32)> = (0..n)
                    .filter(|&j| j != i)
                    .map(|j| (columns[j], -gram[i * n + j] / diagonal[j]))
                    .filter(|(_, weight)| *weight != 0.0 && weight.is_finite())
                    .collect();
                let largest = |a: &(u32, f32), b: &(u32, f32)| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(&b.0));
                if row.len() > KEPT {
                    row.select_nth_unstable_by(KEPT, largest);
                    row.truncate(KEPT);
                }
                row.sort_unstable_by_key(|(movie, _)| *movie);
                ease.targets.extend(row.iter().map(|(movie, _)| movie));
                ease.weights.extend(row.iter().map(|(_, weight)| weight));
            }
            ease.starts.push(ease.targets.len() as u32);
        }
        Ok(ease)
    }

    /// Adds the scores that a history gives to every movie to `scores`.
    pub fn add_scores(&self, history: &[(u32, f32)], scores: &mut [f32]) {
        for &(movie, weight) in history {
            for (target, between) in self.row(movie) {
                if let Some(score) = scores.get_mut(target as usize) {
                    *score += weight * between;
                }
            }
        }
    }

    /// Returns what a rated movie says for (above 0) or against another one, for each unit of its
    /// weight.
    #[must_use]
    pub fn between(&self, rated: u32, movie: u32) -> f32 {
        self.row(rated).find(|(target, _)| *target == movie).map_or(0.0, |(_, weight)| weight)
    }

    /// Whether every index lies within `movies`, for weights that were stored.
    pub(super) fn fits(&self, movies: usize) -> bool {
        self.starts.len() == movies + 1
            && self.starts.first() == Some(&0)
            && self.starts.is_sorted()
            && self.starts.last().is_some_and(|end| *end as usize == self.targets.len())
            && self.targets.len() == self.weights.len()
            && self.targets.iter().all(|target| (*target as usize) < movies)
            && self.weights.iter().all(|weight| weight.is_finite())
    }

    fn row(&self, movie: u32) -> impl Iterator<Item = (u32, f32)> {
        let at = |i: usize| self.starts.get(i).copied().unwrap_or(self.targets.len() as u32) as usize;
        let own = at(movie as usize)..at(movie as usize + 1);
        self.targets[own.clone()].iter().copied().zip(self.weights[own].iter().copied())
    }
}

fn check(stop: &AtomicBool) -> Result<(), RecommendError> {
    if stop.load(Ordering::Relaxed) { Err(RecommendError::Stopped) } else { Ok(()) }
}

/// Returns the watched movies, at most [`MAX_MOVIES`] of them, and the column of each movie.
fn columns(histories: &[History], movies: usize) -> (Vec<u32>, Vec<Option<usize>>) {
    let mut viewers = vec![0_u32; movies];
    histories.iter().flatten().for_each(|(movie, _)| viewers[*movie as usize] += 1);
    let mut columns: Vec<u32> = (0..movies as u32).filter(|movie| viewers[*movie as usize] > 0).collect();
    columns.sort_by_key(|movie| (std::cmp::Reverse(viewers[*movie as usize]), *movie));
    columns.truncate(MAX_MOVIES);
    columns.sort_unstable();
    let mut column_of = vec![None; movies];
    columns.iter().enumerate().for_each(|(column, movie)| column_of[*movie as usize] = Some(column));
    (columns, column_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two movies that the same people watch speak for each other, in both directions, and a third
    /// one does not; no movie speaks for itself.
    #[test]
    fn movies_that_share_viewers_speak_for_each_other() {
        let history = |user: usize| -> History {
            if user.is_multiple_of(2) { vec![(0, 1.0), (1, 1.0)] } else { vec![(2, 1.0), (user as u32 % 2 + 3, 1.0)] }
        };
        let histories: Vec<History> = (0..400).map(history).collect();
        let ease = Ease::fit(&histories, 6, &AtomicBool::new(false)).expect("it is not stopped");
        assert!(ease.between(0, 1) > 0.3 && ease.between(1, 0) > 0.3, "{ease:?}");
        assert!(ease.between(0, 2) <= 0.0);
        assert_eq!((ease.between(0, 0), ease.between(5, 0), ease.between(0, 5)), (0.0, 0.0, 0.0));
        let mut scores = [0.0; 6];
        ease.add_scores(&[(0, 1.0)], &mut scores);
        assert!(scores[1] > scores[2] && scores[5] == 0.0);
        assert!(ease.fits(6) && !ease.fits(5) && !ease.fits(7));
        assert_eq!(Ease::fit(&histories, 6, &AtomicBool::new(true)), Err(RecommendError::Stopped));
    }
}
