//! Principal components of trailer embeddings: the ensemble's features of pictures and sound.

use super::embedding::EmbeddingTable;
use super::latent_semantic::orthonormalise;
use crate::RecommendError;
use jhalak_common::evaluation::Modality;
use jhalak_nn::seeded;
use serde::{Deserialize, Serialize};

/// Components that a table is reduced to.
const COMPONENTS: usize = 12;
/// Subspace iterations: enough for the leading directions.
const ITERATIONS: usize = 12;
/// Stream of the seed.
const START: u64 = 21;

/// The part of a trailer that a table describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// Its pictures.
    Video,
    /// Its sound.
    Audio,
}

impl Track {
    /// Returns the tracks of a modality, in the order of its tables.
    #[must_use]
    pub fn of(modality: Modality) -> &'static [Track] {
        match modality {
            Modality::Video => &[Track::Video],
            Modality::Audio => &[Track::Audio],
            Modality::AudioVideo => &[Track::Video, Track::Audio],
            Modality::Genre | Modality::Metadata => &[],
        }
    }

    /// Returns the name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
        }
    }
}

/// The reduced rows of one table, by movie.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Components {
    /// The part that the table describes.
    pub track: Track,
    /// Numbers of a row.
    pub dim: usize,
    /// The rows; `None` for movies without an embedding.
    pub rows: Vec<Option<Vec<f32>>>,
    reduction: Reduction,
}

/// From an embedding to its reduced row: each number minus its mean, times its factor, then the
/// directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reduction {
    means: Vec<f64>,
    factors: Vec<f64>,
    directions: Vec<Vec<f64>>,
}

impl Reduction {
    /// Finds the `dim` directions in which these rows of `width` numbers vary most, `dim` at most
    /// `width`. Columns are standardised first.
    pub(crate) fn learn(learned: &[&[f32]], (width, dim): (usize, usize), seed: u64, stream: u64) -> Self {
        let n = learned.len().max(1) as f64;
        let (mut means, mut factors) = (vec![0.0; width], vec![0.0; width]);
        for row in learned {
            means.iter_mut().zip(*row).for_each(|(mean, &x)| *mean += f64::from(x) / n);
        }
        for row in learned {
            for ((square, mean), &x) in factors.iter_mut().zip(&means).zip(*row) {
                *square += (f64::from(x) - mean).powi(2) / n;
            }
        }
        for factor in &mut factors {
            *factor = if *factor > 1e-18 { 1.0 / factor.sqrt() } else { 0.0 };
        }
        let mut reduction = Reduction { means, factors, directions: Vec::new() };
        let rows: Vec<Vec<f64>> = learned.iter().map(|row| reduction.standard(row)).collect();
        let random = &mut seeded(seed, stream);
        let mut basis: Vec<Vec<f64>> =
            (0..dim).map(|_| (0..width).map(|_| f64::from(random.normal())).collect()).collect();
        orthonormalise(&mut basis);
        for _ in 0..ITERATIONS {
            for direction in &mut basis {
                let mut next = vec![0.0; width];
                for row in &rows {
                    let along = dot(row, direction);
                    next.iter_mut().zip(row).for_each(|(next, x)| *next += along * x);
                }
                *direction = next;
            }
            orthonormalise(&mut basis);
        }
        reduction.directions = basis;
        reduction
    }

    fn standard(&self, row: &[f32]) -> Vec<f64> {
        let scales = self.means.iter().zip(&self.factors);
        row.iter().zip(scales).map(|(&x, (mean, factor))| (f64::from(x) - mean) * factor).collect()
    }

    /// Returns the components of a row.
    pub(crate) fn reduce(&self, row: &[f32]) -> Vec<f32> {
        let row = self.standard(row);
        self.directions.iter().map(|direction| dot(&row, direction) as f32).collect()
    }
}

impl Components {
    /// Reduces a table to the directions in which the rows of the `fitted` movies vary most.
    /// Columns are standardised first. Reads no label.
    pub fn learn(track: Track, table: &EmbeddingTable, fitted: &[bool], seed: u64) -> Self {
        let of_fitted = table.rows.iter().zip(fitted).filter(|(_, fitted)| **fitted);
        let learned: Vec<&[f32]> = of_fitted.filter_map(|(row, _)| row.as_deref()).collect();
        let dim = COMPONENTS.min(table.dim);
        let reduction = Reduction::learn(&learned, (table.dim, dim), seed, START + track as u64);
        let rows = table.rows.iter().map(|row| row.as_ref().map(|row| reduction.reduce(row))).collect();
        Self { track, dim, rows, reduction }
    }

    /// Adds the embeddings of movies that came after the `known` ones of the table.
    ///
    /// # Errors
    /// [`RecommendError::Embedding`]: an embedding of another length, or a number that is not
    /// finite.
    pub fn add(&mut self, known: usize, embeddings: &[Option<Vec<f32>>]) -> Result<(), RecommendError> {
        let fail = |reason: String| Err(RecommendError::Embedding { table: self.track.name(), reason });
        let width = self.reduction.means.len();
        for row in embeddings.iter().flatten() {
            if row.len() != width {
                return fail(format!("a new movie's has {} numbers, and those of the fit have {width}", row.len()));
            }
            if row.iter().any(|x| !x.is_finite()) {
                return fail("a new movie's has a number that is not finite".to_owned());
            }
        }
        self.rows.resize(known, None);
        self.rows.extend(embeddings.iter().map(|row| row.as_ref().map(|row| self.reduction.reduce(row))));
        Ok(())
    }

    /// Returns the row of a movie; `None` also for movies that came after the table.
    pub fn row(&self, movie: usize) -> Option<&[f32]> {
        self.rows.get(movie).and_then(|row| row.as_deref())
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leading_direction_is_found_from_fitted_movies_alone() {
        let random = &mut seeded(1, 0);
        let mut rows = Vec::new();
        for i in 0..200 {
            let (strong, weak) = (random.normal(), 0.1 * random.normal());
            // Unfitted movies vary in another way.
            let row = if i < 150 { vec![strong, -strong, weak, 5.0] } else { vec![0.0, 0.0, 9.0 * strong, 5.0] };
            rows.push((i % 7 != 0).then_some(row));
        }
        let table = EmbeddingTable { dim: 4, rows: rows.into() };
        let fitted: Vec<bool> = (0..200).map(|i| i < 150).collect();
        let found = Components::learn(Track::Audio, &table, &fitted, 3);
        assert_eq!((found.dim, found.row(0), found.row(999)), (4, None, None));
        let (row, given) = (found.row(1).expect("it has a row"), table.row(1).expect("it has a row"));
        let ratio = row[0] / given[0];
        for movie in (0..150).filter(|i| i % 7 != 0) {
            let row = found.row(movie).expect("it has a row");
            let given = table.row(movie as u32).expect("it has a row");
            assert!((row[0] - ratio * given[0]).abs() < 0.4 * ratio.abs(), "{movie}");
        }
        let mut extended = found.clone();
        extended.add(200, &[None, table.rows[1].clone()]).expect("as long as the others");
        assert_eq!((extended.row(200), extended.row(201)), (None, found.row(1)), "reduced as those of the table");
        assert!(
            extended.add(202, &[Some(vec![1.0; 3])]).is_err() && extended.add(202, &[Some(vec![f32::NAN; 4])]).is_err()
        );
        let mut changed = table.clone();
        changed.rows[199] = Some(vec![1.0; 4]);
        assert_eq!(Components::learn(Track::Audio, &changed, &fitted, 3).rows[..150], found.rows[..150]);
    }
}
