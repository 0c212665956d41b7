//! Majority baselines, which every model must beat.

use crate::CLASSES;
use jhalak_common::dataset::Dataset;

/// Whose most common class is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// All training pairs.
    All,
    /// Training pairs of the user.
    User,
    /// Training pairs of the movie.
    Movie,
}

/// Returns the class probabilities of each test pair, from counts over the training pairs.
///
/// One pair with the overall class shares is added to a user's or movie's counts: it settles ties,
/// and is the prediction for unseen users and movies.
#[must_use]
pub fn predict(dataset: &Dataset, train: &[u32], test: &[u32], by: CountBy) -> Vec<[f32; CLASSES]> {
    let group = |pair: u32| {
        let rating = dataset.ratings[pair as usize];
        match by {
            CountBy::All => 0,
            CountBy::User => rating.user as usize,
            CountBy::Movie => rating.movie as usize,
        }
    };
    let mut overall = [0.0_f64; CLASSES];
    let mut counts = vec![[0.0_f64; CLASSES]; dataset.users.len().max(dataset.movies.len()).max(1)];
    for &pair in train {
        let label = dataset.ratings[pair as usize].label.index();
        overall[label] += 1.0;
        counts[group(pair)][label] += 1.0;
    }
    let all = overall.iter().sum::<f64>().max(1.0);
    test.iter()
        .map(|&pair| {
            let own = &counts[group(pair)];
            let total = own.iter().sum::<f64>() + 1.0;
            std::array::from_fn(|c| ((own[c] + overall[c] / all) / total) as f32)
        })
        .collect()
}
