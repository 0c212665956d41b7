//! Orders ratings by time, and splits them by it.

use crate::RecommendError;
use jhalak_common::dataset::Dataset;
use jhalak_common::random::SplitMix;

/// The order of a dataset's ratings in time.
pub struct TimeOrder<'a> {
    times: &'a [i64],
    dataset: &'a Dataset,
    /// By movie: orders ratings of one moment, in a way that has nothing to do with the order of
    /// ids.
    ties: Vec<u64>,
}

impl<'a> TimeOrder<'a> {
    /// Returns the order if every rating has a time.
    #[must_use]
    pub fn of(dataset: &'a Dataset) -> Option<Self> {
        let times = dataset.times()?;
        let tie = |id: &str| id.bytes().fold(0, |state, byte| SplitMix::new(state ^ u64::from(byte)).draw());
        Some(Self { times, dataset, ties: dataset.movies.iter().map(|movie| tie(&movie.id)).collect() })
    }

    /// Sorts pairs (indexes of ratings), oldest first.
    pub fn sort(&self, pairs: &mut [u32]) {
        pairs.sort_unstable_by_key(|&pair| {
            let movie = self.dataset.ratings[pair as usize].movie;
            (self.times[pair as usize], self.ties[movie as usize], movie)
        });
    }

    /// Returns each user's last pairs: the share `share` of the user's pairs, rounded up, sorted.
    /// Users with one pair have none.
    ///
    /// # Errors
    /// All pairs are of one moment.
    pub fn last_of_each_user(&self, share: f64) -> Result<Vec<u32>, RecommendError> {
        if self.times.iter().all(|time| *time == self.times[0]) {
            return Err(self.one_moment());
        }
        let all: Vec<u32> = (0..self.dataset.ratings.len() as u32).collect();
        let user = |pair: &u32| self.dataset.ratings[*pair as usize].user;
        let mut last = Vec::new();
        for own in all.chunk_by(|a, b| user(a) == user(b)).filter(|own| own.len() > 1) {
            let mut own = own.to_vec();
            self.sort(&mut own);
            let count = ((share * own.len() as f64).ceil() as usize).clamp(1, own.len() - 1);
            last.extend_from_slice(&own[own.len() - count..]);
        }
        last.sort_unstable();
        Ok(last)
    }

    fn one_moment(&self) -> RecommendError {
        RecommendError::Dataset {
            dataset: self.dataset.name.clone(),
            reason: "all ratings have the same time: split by pairs, movies or users".to_owned(),
        }
    }

    /// Returns the pairs from one moment on, sorted: about the share `share` of all, and never a
    /// part of those of one moment.
    ///
    /// # Errors
    /// All pairs are of one moment.
    pub fn latest(&self, share: f64) -> Result<Vec<u32>, RecommendError> {
        let mut sorted = self.times.to_vec();
        sorted.sort_unstable();
        let place = ((1.0 - share) * sorted.len() as f64).floor() as usize;
        let mut cut = sorted[place.min(sorted.len() - 1)];
        if cut == sorted[0] {
            // The moment of the cut holds the first pairs too: the cut is after it.
            cut = sorted.iter().copied().find(|time| *time > cut).ok_or_else(|| self.one_moment())?;
        }
        Ok((0u32..).zip(self.times).filter(|(_, time)| **time >= cut).map(|(pair, _)| pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};

    #[test]
    fn the_last_pairs_of_each_user_and_the_latest_of_all_are_held_out() {
        let mut dataset = example(10, 12, 8, Taste::Chance, 1);
        assert!(TimeOrder::of(&dataset).is_none(), "no times");
        // User u rates in steps of one from 100 u on, in the order of the movies.
        dataset.times = (dataset.ratings.iter().zip(0..)).map(|(r, i)| i64::from(r.user) * 100 + i % 8).collect();
        let order = TimeOrder::of(&dataset).expect("times");
        let last = order.last_of_each_user(0.2).expect("many moments");
        assert_eq!(last.len(), 10 * 2, "two of eight, rounded up");
        assert!(last.iter().all(|pair| pair % 8 >= 6));
        let latest = order.latest(0.2).expect("many moments");
        assert_eq!(latest, (64..80).collect::<Vec<u32>>(), "the last two users");
        dataset.times = vec![5; 80];
        let order = TimeOrder::of(&dataset).expect("times");
        assert!(order.latest(0.2).is_err() && order.last_of_each_user(0.2).is_err());
        dataset.times[79] = 6;
        assert_eq!(TimeOrder::of(&dataset).expect("times").latest(0.5).expect("two moments"), [79]);
    }
}
