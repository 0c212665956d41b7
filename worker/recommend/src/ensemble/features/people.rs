//! Who made and played in a movie, and how their other movies fared.

use crate::CLASSES;
use crate::ensemble::linear::mixed_logit::Labelled;
use crate::ensemble::linear::softmax::smoothed;
use jhalak_common::dataset::{Dataset, Movie};
use std::collections::BTreeMap;

/// What somebody did in a movie. The same name in two roles counts as two people.
pub const ROLES: [&str; 3] = ["cast", "director", "writer"];

/// The people of every movie, by number, sorted: role by role.
#[derive(Debug)]
pub struct People {
    of: Vec<[Vec<u32>; ROLES.len()]>,
    count: usize,
}

impl People {
    /// Numbers everybody in the catalogue. Nothing is fitted here.
    pub fn number(dataset: &Dataset) -> Self {
        let names = |movie: &'_ Movie| [movie.cast.clone(), movie.directors.clone(), movie.writers.clone()];
        let mut numbers: BTreeMap<(usize, String), u32> = BTreeMap::new();
        let mut of = Vec::with_capacity(dataset.movies.len());
        for movie in &dataset.movies {
            let mut roles: [Vec<u32>; ROLES.len()] = Default::default();
            for (role, names) in names(movie).into_iter().enumerate() {
                for name in names {
                    let next = numbers.len() as u32;
                    roles[role].push(*numbers.entry((role, name)).or_insert(next));
                }
                roles[role].sort_unstable();
                roles[role].dedup();
            }
            of.push(roles);
        }
        Self { of, count: numbers.len() }
    }

    /// How many people two movies share, role by role.
    pub fn shared(&self, a: usize, b: usize) -> [u32; ROLES.len()] {
        std::array::from_fn(|role| {
            let (a, b) = (&self.of[a][role], &self.of[b][role]);
            a.iter().filter(|person| b.binary_search(person).is_ok()).count() as u32
        })
    }

    /// Class counts of everybody over the known pairs: people x classes.
    pub fn counts(&self, known: &[Labelled]) -> Vec<[f64; CLASSES]> {
        let mut counts = vec![[0.0; CLASSES]; self.count];
        for pair in known {
            for &person in self.of[pair.movie as usize].iter().flatten() {
                counts[person as usize][usize::from(pair.label)] += 1.0;
            }
        }
        counts
    }

    /// How the *other* movies of the movie's people fared, role by role: class rates drawn towards `overall`, and the number of
    /// pairs behind them.
    pub fn record(
        &self,
        counts: &[[f64; CLASSES]],
        movie: usize,
        own: [f64; CLASSES],
        overall: [f64; CLASSES],
        smoothing: f64,
    ) -> [([f64; CLASSES], f64); ROLES.len()] {
        std::array::from_fn(|role| {
            let mut sum = [0.0; CLASSES];
            for &person in &self.of[movie][role] {
                (0..CLASSES).for_each(|c| sum[c] += counts[person as usize][c] - own[c]);
            }
            (smoothed(sum, overall, smoothing), sum.iter().sum())
        })
    }
}
