//! Likeness of movies by their shared viewers, and attention over a user's rated movies by it.
//!
//! Two movies are alike if the same people liked them more, or less, than the bias model expects:
//! the cosine of their columns of residuals. One movie's row of likenesses is summed when it is
//! needed, from the ratings of its viewers, so memory grows with the movies and time with the
//! ratings of those viewers. No matrix of all movies with all movies is kept.

use super::known_pairs::KnownPairs;
use crate::CLASSES;

/// Sum of squares added to each movie's own: movies with few viewers are less alike.
const SHRINK: f64 = 4.0;
/// Total likeness at which the average counts half.
const HALF_WEIGHT: f64 = 0.3;
/// Viewers of a movie that are read at most, in equal steps: bounds the time of popular movies.
const MOST_VIEWERS: usize = 2_000;

/// Numbers of [`Attention`].
pub const WIDTH: usize = CLASSES + 2;

/// Attention over a user's rated movies by shared viewers: the mean residual of the movies alike
/// for each class, the sum of their likenesses, and the signed sum of all.
pub type Attention = [f64; WIDTH];

/// The viewers of each movie.
#[derive(Debug, Default)]
pub struct SharedViewers {
    /// Range of a movie's viewers: `first[movie]..first[movie + 1]`.
    first: Vec<usize>,
    /// User, and how much more than expected the user likes the movie.
    viewers: Vec<(u32, f64)>,
    /// Root of the sum of squares of each movie, shrunk.
    lengths: Vec<f64>,
}

/// Returns how much more than expected a pair is liked.
fn surplus(residual: &[f64; CLASSES]) -> f64 {
    residual[CLASSES - 1] - residual[0]
}

impl SharedViewers {
    /// Sorts the known pairs by movie.
    pub fn learn(movies: usize, known: &KnownPairs) -> Self {
        let (pairs, residuals) = (&known.pairs, &known.residuals);
        let mut first = vec![0; movies + 1];
        let mut lengths = vec![SHRINK; movies];
        for (pair, residual) in pairs.iter().zip(residuals) {
            first[pair.movie as usize + 1] += 1;
            lengths[pair.movie as usize] += surplus(residual).powi(2);
        }
        (0..movies).for_each(|movie| first[movie + 1] += first[movie]);
        let mut next = first.clone();
        let mut viewers = vec![(0, 0.0); residuals.len()];
        for (pair, residual) in pairs.iter().zip(residuals) {
            viewers[next[pair.movie as usize]] = (pair.user, surplus(residual));
            next[pair.movie as usize] += 1;
        }
        lengths.iter_mut().for_each(|length| *length = length.sqrt());
        Self { first, viewers, lengths }
    }

    /// Writes the likeness of `movie` to every movie, from -1 to 1; its own is 0.
    fn likenesses(&self, known: &KnownPairs, movie: usize, to: &mut Vec<f64>) {
        to.clear();
        to.resize(self.lengths.len(), 0.0);
        let viewers = &self.viewers[self.first[movie]..self.first[movie + 1]];
        for &(user, own) in viewers.iter().step_by(viewers.len().div_ceil(MOST_VIEWERS).max(1)) {
            for (pair, residual) in known.of_user(user as usize) {
                to[pair.movie as usize] += own * surplus(residual);
            }
        }
        to[movie] = 0.0;
        for (likeness, length) in to.iter_mut().zip(&self.lengths) {
            *likeness /= self.lengths[movie] * length;
        }
    }

    /// Returns the attention of each pair of (user, movie). Pairs of one movie share its row of
    /// likenesses, in any order.
    pub fn attention(&self, known: &KnownPairs, pairs: &[(usize, usize)]) -> Vec<Attention> {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_unstable_by_key(|&i| (pairs[i].1, i));
        let (mut likenesses, mut row_of) = (Vec::new(), None);
        let mut found = vec![[0.0; WIDTH]; pairs.len()];
        for i in order {
            let (user, movie) = pairs[i];
            if row_of != Some(movie) {
                self.likenesses(known, movie, &mut likenesses);
                row_of = Some(movie);
            }
            let attention = &mut found[i];
            let (mut weight, mut size) = (0.0, 0.0);
            for (pair, residual) in known.of_user(user) {
                let likeness = likenesses[pair.movie as usize];
                size += likeness.abs();
                attention[CLASSES + 1] += likeness * surplus(residual);
                if likeness > 0.0 {
                    weight += likeness;
                    (0..CLASSES).for_each(|c| attention[c] += likeness * residual[c]);
                }
            }
            attention[..CLASSES].iter_mut().for_each(|sum| *sum /= weight + HALF_WEIGHT);
            attention[CLASSES] = weight;
            attention[CLASSES + 1] /= size + HALF_WEIGHT;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::features::knowledge::{Catalogue, Knowledge};
    use crate::ensemble::settings::{ColdStart, Part, Settings};
    use crate::example::{Taste, example};

    #[test]
    fn likeness_is_the_shrunk_cosine_of_the_residuals() {
        let dataset = example(20, 12, 8, Taste::Genre, 1);
        let train: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let mut settings = Settings::new(ColdStart::None);
        settings.without = vec![Part::Factors, Part::Hierarchical, Part::HierarchicalAlone, Part::FactorisationMachine];
        settings.without.push(Part::FactorisationAlone);
        let catalogue = Catalogue::new(&dataset, &train, Vec::new(), &settings, 1);
        let k = Knowledge::learn(&dataset, &catalogue, &train, &settings, 1);
        let column = |movie: u32| {
            let mut column = vec![0.0; dataset.users.len()];
            for (pair, residual) in k.known.pairs.iter().zip(&k.known.residuals).filter(|(pair, _)| pair.movie == movie)
            {
                column[pair.user as usize] = surplus(residual);
            }
            column
        };
        let times = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut likenesses = Vec::new();
        k.shared_viewers.likenesses(&k.known, 3, &mut likenesses);
        let own = column(3);
        for (movie, likeness) in (0..).zip(&likenesses).filter(|(movie, _)| *movie != 3) {
            let other = column(movie);
            let expected =
                times(&own, &other) / ((times(&own, &own) + SHRINK) * (times(&other, &other) + SHRINK)).sqrt();
            assert!((likeness - expected).abs() < 1e-12, "{movie}: {likeness} {expected}");
        }
        assert_eq!(likenesses[3], 0.0);
        let pairs = [(4, 3), (2, 5), (0, 3)];
        let found = k.shared_viewers.attention(&k.known, &pairs);
        for (pair, attention) in pairs.iter().zip(found) {
            assert_eq!(k.shared_viewers.attention(&k.known, &[*pair]), [attention], "the company does not matter");
        }
    }
}
