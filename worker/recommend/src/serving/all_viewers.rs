//! Lists for every viewer of the dataset, in one process.

use super::LoadedModel;
use super::ranked::{RankBy, RankedMovie, best};
use super::viewer_session::{ModelKind, regime_of};
use crate::RecommendError;
use crate::ensemble::{ColdStart, FittedEnsemble};
use crate::ranking::{History, WatchModel};
use jhalak_common::dataset::Dataset;
use std::sync::atomic::{AtomicBool, Ordering};

/// The list of one viewer.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewerList {
    /// Index of the user.
    pub user: u32,
    /// The best movies that the user has not rated, best first.
    pub movies: Vec<RankedMovie>,
}

/// The settings of the lists.
struct Models {
    dataset: Dataset,
    /// In the order of `cold_starts`.
    ensembles: Vec<FittedEnsemble>,
    cold_starts: Vec<ColdStart>,
    watch: Option<(WatchModel, Vec<History>)>,
    /// Ratings of each movie.
    raters: Vec<u32>,
}

impl LoadedModel {
    /// Returns the best `most` movies for every user of the dataset, in the order of the users, on
    /// at most `threads` threads, and calls `ended` after each user. The lists are those that a
    /// session of the user gives.
    ///
    /// # Errors
    /// A model that was not fitted, or `stop`.
    pub fn all_viewers(
        self,
        (kind, by): (ModelKind, RankBy),
        most: usize,
        threads: usize,
        stop: &AtomicBool,
        ended: impl Fn() + Sync,
    ) -> Result<Vec<ViewerList>, RecommendError> {
        self.check(kind, by)?;
        let Self { dataset, network, ensembles, watch, .. } = self;
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let watch = watch.filter(|_| by == RankBy::Watch);
        let watch = watch.map(|model| (model, WatchModel::histories(&dataset, &all)));
        let mut raters = vec![0; dataset.movies.len()];
        dataset.ratings.iter().for_each(|rating| raters[rating.movie as usize] += 1);
        let network = network.filter(|_| kind == ModelKind::Network);
        let cold_starts = ensembles.iter().map(|stored| stored.cold_start()).collect();
        let mut restored = Vec::new();
        for stored in ensembles.into_iter().filter(|_| kind == ModelKind::Ensemble) {
            if stop.load(Ordering::Relaxed) {
                return Err(RecommendError::Stopped);
            }
            restored.push(stored.restore(&dataset)?);
        }
        let models = Models { dataset, ensembles: restored, cold_starts, watch, raters };
        if let Some(mut network) = network {
            // A network predicts with buffers of its own: one thread.
            let users = 0..models.dataset.users.len() as u32;
            let has: Vec<bool> = (0..models.dataset.movies.len() as u32).map(|movie| network.has(movie)).collect();
            let list = |user| {
                let predict = |movies: &[u32]| Ok(network.predict(&models.dataset, user, movies));
                let list = models.list(user, most, |movie| has[movie as usize], predict);
                ended();
                if stop.load(Ordering::Relaxed) { Err(RecommendError::Stopped) } else { list }
            };
            return users.map(list).collect();
        }
        let users: Vec<u32> = (0..models.dataset.users.len() as u32).collect();
        let share = users.len().div_ceil(threads.max(1)).max(1);
        let models = &models;
        let work = |part: &[u32]| -> Result<Vec<ViewerList>, RecommendError> {
            let mut lists = Vec::with_capacity(part.len());
            for &user in part {
                if stop.load(Ordering::Relaxed) {
                    return Err(RecommendError::Stopped);
                }
                lists.push(models.list(user, most, |_| true, |movies| models.predict(user, movies))?);
                ended();
            }
            Ok(lists)
        };
        let work = &work;
        std::thread::scope(|scope| {
            let started: Vec<_> = users.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
            let mut lists = Vec::with_capacity(users.len());
            for thread in started {
                match thread.join() {
                    Ok(part) => lists.extend(part?),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Ok(lists)
        })
    }
}

impl Models {
    fn list(
        &self,
        user: u32,
        most: usize,
        has: impl Fn(u32) -> bool,
        predict: impl FnOnce(&[u32]) -> Result<Vec<[f32; 3]>, RecommendError>,
    ) -> Result<ViewerList, RecommendError> {
        let mut rated = vec![false; self.dataset.movies.len()];
        self.own(user).for_each(|movie| rated[movie as usize] = true);
        let open: Vec<u32> = (0..rated.len() as u32).filter(|&m| !rated[m as usize] && has(m)).collect();
        let scores = self.watch.as_ref().map(|(model, histories)| model.scores(&histories[user as usize], rated.len()));
        Ok(ViewerList { user, movies: best(&open, scores.as_deref(), most, predict)? })
    }

    fn predict(&self, user: u32, movies: &[u32]) -> Result<Vec<[f32; 3]>, RecommendError> {
        let own = self.own(user).count();
        let mut probabilities = vec![[0.0; 3]; movies.len()];
        for (model, ensemble) in self.ensembles.iter().enumerate() {
            let regime = |movie: u32| regime_of(&self.cold_starts, self.raters[movie as usize] == 0, own);
            let places: Vec<usize> = (0..movies.len()).filter(|&i| regime(movies[i]) == model).collect();
            let pairs: Vec<(u32, u32)> = places.iter().map(|&i| (user, movies[i])).collect();
            for (place, p) in places.into_iter().zip(ensemble.predict(&pairs)?) {
                probabilities[place] = p;
            }
        }
        Ok(probabilities)
    }

    fn own(&self, user: u32) -> impl Iterator<Item = u32> {
        let start = self.dataset.ratings.partition_point(|rating| rating.user < user);
        self.dataset.ratings[start..].iter().take_while(move |rating| rating.user == user).map(|rating| rating.movie)
    }
}
