//! The inputs of a network for every pair: the movie's and the user's embedding in each modality.
//!
//! Embeddings are kept once for each movie and for each profile. Batches are assembled on demand.

use super::embedding::EmbeddingTable;
use super::gl_score::gl_score;
use super::profile::Profiles;
use super::user_embedding::user_embedding;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::CellSpec;

/// One pair to train on or to predict.
#[derive(Clone, Copy, Debug)]
struct Sample {
    movie: u32,
    /// Row of the user embeddings.
    user: u32,
    /// Factor of the movie's embedding.
    gl: f32,
    label: u8,
}

/// The tables of one modality.
#[derive(Debug)]
struct Side {
    dim: usize,
    movies: EmbeddingTable,
    users: Vec<f32>,
    /// Mean and 1 / standard deviation of each movie input, then of each user input.
    scaling: [Vec<(f32, f32)>; 2],
}

/// One batch of one modality: `rows x dim` each.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Movie inputs: m in the paper.
    pub movie: Vec<f32>,
    /// User inputs: u in the paper.
    pub user: Vec<f32>,
}

/// The samples of a fold with the tables that their inputs come from.
#[derive(Debug)]
pub struct Inputs {
    samples: Vec<Sample>,
    sides: Vec<Side>,
    /// Number of user embeddings computed so far.
    users: u32,
}

impl Inputs {
    /// Creates inputs without samples, from one table for each modality.
    #[must_use]
    pub fn new(tables: Vec<EmbeddingTable>) -> Self {
        let side =
            |movies: EmbeddingTable| Side { dim: movies.dim, movies, users: Vec::new(), scaling: [vec![], vec![]] };
        Self { samples: Vec::new(), sides: tables.into_iter().map(side).collect(), users: 0 }
    }

    /// Adds pairs, whose movies must have embeddings, and computes the user embeddings that they
    /// need. Returns the indexes of the new samples, in the order of the pairs.
    ///
    /// `rows` caches the user embedding of each profile, and must be empty at the start of a fold.
    pub fn add(
        &mut self,
        dataset: &Dataset,
        spec: &CellSpec,
        swapped: bool,
        profiles: &Profiles,
        pairs: &[u32],
        rows: &mut Vec<Option<u32>>,
    ) -> Vec<u32> {
        let first = self.samples.len();
        for &pair in pairs {
            let rating = dataset.ratings[pair as usize];
            let profile = profiles.profile(dataset, pair);
            self.push(dataset, spec, swapped, profiles, (profile, rating.movie, rating.label as u8), rows);
        }
        (first..self.samples.len()).filter_map(|i| u32::try_from(i).ok()).collect()
    }

    /// Adds one sample to predict: the user of this profile and a movie with an embedding. They
    /// need not be a pair of the dataset. Otherwise as [`Inputs::add`].
    pub fn add_unlabelled(
        &mut self,
        dataset: &Dataset,
        spec: &CellSpec,
        profiles: &Profiles,
        (profile, movie): (usize, u32),
        rows: &mut Vec<Option<u32>>,
    ) -> u32 {
        self.push(dataset, spec, false, profiles, (profile, movie, 0), rows);
        u32::try_from(self.samples.len() - 1).unwrap_or(u32::MAX)
    }

    fn push(
        &mut self,
        dataset: &Dataset,
        spec: &CellSpec,
        swapped: bool,
        profiles: &Profiles,
        (profile, movie, label): (usize, u32, u8),
        rows: &mut Vec<Option<u32>>,
    ) {
        rows.resize(profiles.len(), None);
        let (sides, made) = (&mut self.sides, &mut self.users);
        let user = *rows[profile].get_or_insert_with(|| {
            for side in sides {
                let start = side.users.len();
                side.users.resize(start + side.dim, 0.0);
                user_embedding(dataset, spec, swapped, &side.movies, profiles, profile, &mut side.users[start..]);
            }
            *made += 1;
            *made - 1
        });
        let gl = if spec.gl {
            gl_score(profiles.genres(movie), profiles.sums(profile), swapped, &spec.gl_score) * spec.gl_score.scale
        } else {
            1.0
        };
        self.samples.push(Sample { movie, user, gl, label });
    }

    /// Returns mean and 1 / standard deviation of each movie input, then of each user input, of one
    /// modality. Both are empty where inputs are not standardised.
    #[must_use]
    pub fn scaling(&self, side: usize) -> &[Vec<(f32, f32)>; 2] {
        &self.sides[side].scaling
    }

    /// Sets the scaling that [`Inputs::scaling`] returned elsewhere.
    pub fn set_scaling(&mut self, side: usize, scaling: [Vec<(f32, f32)>; 2]) {
        self.sides[side].scaling = scaling;
    }

    /// Returns a sample's unscaled inputs in one modality: the movie's embedding, its factor, and
    /// the user's embedding.
    #[must_use]
    pub fn parts(&self, side: usize, sample: u32) -> (&[f32], f32, &[f32]) {
        let Sample { movie, user, gl, .. } = self.samples[sample as usize];
        let Side { dim, movies, users, .. } = &self.sides[side];
        (movies.row(movie).unwrap_or(&[]), gl, &users[user as usize * dim..(user as usize + 1) * dim])
    }

    /// Standardises every input feature with the mean and standard deviation of these samples. A
    /// constant feature becomes 0.
    pub fn standardise(&mut self, samples: &[u32]) {
        let count = samples.len().max(1) as f64;
        for side in 0..self.sides.len() {
            let mut batch = Batch::default();
            let dim = self.sides[side].dim;
            let mut sums = vec![(0.0_f64, 0.0_f64); 2 * dim];
            for sample in samples {
                self.fill_side(side, std::slice::from_ref(sample), &mut batch);
                for (sums, x) in sums.iter_mut().zip(batch.movie.iter().chain(&batch.user)) {
                    sums.0 += f64::from(*x);
                    sums.1 += f64::from(*x).powi(2);
                }
            }
            let scaling = sums.iter().map(|(sum, squares)| {
                let mean = sum / count;
                let variance = squares / count - mean * mean;
                let scale = if variance > 1e-12 * (squares / count).max(1e-12) { 1.0 / variance.sqrt() } else { 0.0 };
                (mean as f32, scale as f32)
            });
            let scaling: Vec<_> = scaling.collect();
            self.sides[side].scaling = [scaling[..dim].to_vec(), scaling[dim..].to_vec()];
        }
    }

    /// Returns the number of input features of each modality.
    #[must_use]
    pub fn dims(&self) -> Vec<usize> {
        self.sides.iter().map(|side| side.dim).collect()
    }

    /// Assembles the batch of these samples: one [`Batch`] for each modality, and the label
    /// indexes.
    pub fn fill(&self, samples: &[u32], batches: &mut Vec<Batch>, labels: &mut Vec<u8>) {
        batches.resize_with(self.sides.len(), Batch::default);
        for (side, batch) in batches.iter_mut().enumerate() {
            self.fill_side(side, samples, batch);
        }
        labels.clear();
        labels.extend(samples.iter().map(|&s| self.samples[s as usize].label));
    }

    fn fill_side(&self, side: usize, samples: &[u32], batch: &mut Batch) {
        let Side { dim, movies, users, scaling: [movie_scaling, user_scaling] } = &self.sides[side];
        batch.movie.clear();
        batch.user.clear();
        for &sample in samples {
            let Sample { movie, user, gl, .. } = self.samples[sample as usize];
            let start = batch.movie.len();
            batch.movie.extend(movies.row(movie).unwrap_or(&[]).iter().map(|x| gl * x));
            batch.user.extend_from_slice(&users[user as usize * dim..(user as usize + 1) * dim]);
            scale(&mut batch.movie[start..], movie_scaling);
            scale(&mut batch.user[start..], user_scaling);
        }
    }
}

/// Applies the scaling, if any.
fn scale(row: &mut [f32], scaling: &[(f32, f32)]) {
    for (x, (mean, scale)) in row.iter_mut().zip(scaling) {
        *x = (*x - mean) * scale;
    }
}
