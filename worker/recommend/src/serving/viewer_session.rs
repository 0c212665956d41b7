//! Predictions and explanations for one viewer.

use super::files::MODEL;
use super::network::FittedNetwork;
use super::ranked::{RankBy, RankedMovie, best};
use super::reasons::{Explanation, explain};
use crate::ensemble::{ColdStart, FittedEnsemble, StoredEnsemble};
use crate::ranking::WatchModel;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::{Dataset, Label, Rating};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of groups of rated movies; each group is predicted without its own ratings.
const MAX_GROUPS: usize = 5;
/// A viewer with fewer other ratings than this counts as new.
const NEW_VIEWER_RATINGS: usize = 8;

/// Which model predicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// The paper's classifier or ANN.
    Network,
    /// The stacked ensemble.
    Ensemble,
}

/// A model in use by one viewer.
#[derive(Debug)]
pub struct ViewerSession {
    kind: ModelKind,
    /// The dataset of the fit.
    fitted: Dataset,
    /// The dataset of the fit with the session's movies and ratings.
    now: Dataset,
    user: u32,
    /// Number of ratings by the viewer.
    own: usize,
    /// Number of ratings of each movie by other users.
    others: Vec<u32>,
    network: Option<FittedNetwork>,
    ensembles: Vec<StoredEnsemble>,
    watch: Option<WatchModel>,
    /// The viewer's history, as the watch model reads it.
    history: Vec<(u32, f32)>,
    /// The ensembles refitted on all ratings, in the order of `ensembles`; refitted on first use.
    refitted: Vec<Option<FittedEnsemble>>,
}

impl ModelKind {
    /// Returns the name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ModelKind::Network => "network",
            ModelKind::Ensemble => "ensemble",
        }
    }
}

impl ViewerSession {
    /// Starts a session. `fitted` is the dataset of the fit; `now` begins with its users and
    /// movies, and `user` is the viewer in it.
    pub(super) fn new(
        kind: ModelKind,
        fitted: Dataset,
        (now, user): (Dataset, u32),
        network: Option<FittedNetwork>,
        ensembles: Vec<StoredEnsemble>,
        watch: Option<WatchModel>,
    ) -> Self {
        let refitted = ensembles.iter().map(|_| None).collect();
        let (own, others, history) = counted(&now, user);
        Self { kind, fitted, now, user, own, others, network, ensembles, watch, history, refitted }
    }

    /// Turns to another user of the session's dataset. What was refitted stays: it is learned from
    /// the ratings of all users, so that many users cost one refit.
    ///
    /// # Errors
    /// A user that does not exist.
    pub fn turn_to(&mut self, user: u32) -> Result<(), RecommendError> {
        if user as usize >= self.now.users.len() {
            let reason = format!("user {user} does not exist");
            return Err(RecommendError::Dataset { dataset: self.now.name.clone(), reason });
        }
        self.user = user;
        (self.own, self.others, self.history) = counted(&self.now, user);
        Ok(())
    }

    /// Returns the dataset of the fit with the session's movies and ratings.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.now
    }

    /// Returns the index of the viewer.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    /// Returns the viewer's rating of a movie.
    #[must_use]
    pub fn rated(&self, movie: u32) -> Option<Label> {
        let found = self.now.ratings.binary_search_by_key(&(self.user, movie), |rating| (rating.user, rating.movie));
        found.ok().map(|i| self.now.ratings[i].label)
    }

    /// Returns whether the model can predict a movie: a network needs its embedding.
    #[must_use]
    pub fn can_predict(&self, movie: u32) -> bool {
        match (&self.network, self.kind) {
            (Some(network), ModelKind::Network) => network.has(movie),
            _ => true,
        }
    }

    /// Returns the probabilities of dislike, neutral and like of these movies. Rated movies are
    /// predicted without their own rating: a few one by one, more in groups.
    ///
    /// # Errors
    /// [`RecommendError`]: a movie that does not exist or, for a network, has no embedding.
    pub fn predict(&mut self, movies: &[u32]) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        for &movie in movies {
            let is_known = (movie as usize) < self.now.movies.len();
            if !is_known || !self.can_predict(movie) {
                let id = if is_known { self.now.movies[movie as usize].id.clone() } else { movie.to_string() };
                let reason = format!("the movie {id} has none, and this model needs one");
                return Err(RecommendError::Embedding { table: "the network's", reason });
            }
        }
        let (rated, open): (Vec<u32>, Vec<u32>) = movies.iter().partition(|&&movie| self.rated(movie).is_some());
        let mut predictions: BTreeMap<u32, [f32; CLASSES]> = BTreeMap::new();
        if !open.is_empty() {
            let probabilities = self.predict_without(&open, &BTreeSet::new())?;
            predictions.extend(open.iter().copied().zip(probabilities));
        }
        let groups = rated.len().min(MAX_GROUPS);
        for group in 0..groups {
            let removed: BTreeSet<u32> = rated.iter().copied().skip(group).step_by(groups).collect();
            let own: Vec<u32> = removed.iter().copied().collect();
            let probabilities = self.predict_without(&own, &removed)?;
            predictions.extend(own.into_iter().zip(probabilities));
        }
        Ok(movies.iter().filter_map(|movie| predictions.get(movie).copied()).collect())
    }

    /// Returns the best `most` of these movies by one order. Rated ones are judged without their
    /// own rating.
    ///
    /// # Errors
    /// As [`ViewerSession::predict`]; a model of what is watched that was not fitted.
    pub fn best(&mut self, by: RankBy, candidates: &[u32], most: usize) -> Result<Vec<RankedMovie>, RecommendError> {
        let scores = match (by, &self.watch) {
            (RankBy::Like, _) => None,
            (RankBy::Watch, Some(watch)) => Some(watch.scores(&self.history, self.now.movies.len())),
            (RankBy::Watch, None) => {
                let reason = "has no watch model: fit again with it".to_owned();
                return Err(RecommendError::Stored { file: MODEL.to_owned(), reason });
            }
        };
        best(candidates, scores.as_deref(), most, |movies| self.predict(movies))
    }

    /// Returns the number of ratings of a movie by other viewers.
    #[must_use]
    pub fn raters(&self, movie: u32) -> u64 {
        u64::from(self.others.get(movie as usize).copied().unwrap_or(0))
    }

    /// Returns the probabilities of dislike, neutral and like of one movie for these users, in
    /// their order. None of them may have rated it: a label would help to predict itself.
    ///
    /// # Errors
    /// A movie that does not exist or, for a network, has no embedding; a user who rated it.
    pub fn audience(&mut self, movie: u32, users: &[u32]) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        let raters: BTreeSet<u32> =
            self.now.ratings.iter().filter(|rating| rating.movie == movie).map(|rating| rating.user).collect();
        let known = self.now.movies.get(movie as usize).filter(|_| self.can_predict(movie));
        let fail = |reason: String| Err(RecommendError::Dataset { dataset: self.now.name.clone(), reason });
        let Some(known) = known else {
            return fail(format!("the movie {movie} has no embedding, and this model needs one"));
        };
        if let Some(user) = users.iter().find(|user| raters.contains(user)) {
            return fail(format!("the user {user} has rated {}", known.id));
        }
        if let (ModelKind::Network, Some(network)) = (self.kind, &mut self.network) {
            let one = |&user: &u32| network.predict(&self.now, user, &[movie]).pop();
            return Ok(users.iter().filter_map(one).collect());
        }
        let is_unseen = raters.is_empty();
        let wanted = |cold: ColdStart| matches!((is_unseen, cold), (true, ColdStart::Item) | (false, ColdStart::None));
        let model = self.ensembles.iter().position(|stored| wanted(stored.cold_start())).unwrap_or(0);
        let pairs: Vec<(u32, u32)> = users.iter().map(|&user| (user, movie)).collect();
        self.refitted(model)?.predict(&pairs)
    }

    /// Explains a prediction by the ratings of the viewer and of other users, with at most `most`
    /// similar movies. The viewer's own rating of the movie is left out.
    ///
    /// # Errors
    /// A movie that does not exist.
    pub fn explain(&mut self, movie: u32, most: usize) -> Result<Explanation, RecommendError> {
        let (user, model) = (self.user, self.ensemble_for(movie));
        let reasons = match self.kind {
            ModelKind::Ensemble => Some(self.refitted(model)?.reasons(user, movie, most)),
            ModelKind::Network => None,
        };
        let reasons = reasons.transpose()?;
        let mut explanation = explain(&self.now, self.user, movie, most, reasons.as_ref(), self.network.as_ref());
        if let Some(watch) = &self.watch {
            explanation.set_shared_viewers(&self.now, self.user, movie, &self.history, watch, most);
        }
        Ok(explanation)
    }

    /// Predicts movies without the viewer's ratings of the movies `without`.
    fn predict_without(
        &mut self,
        movies: &[u32],
        without: &BTreeSet<u32>,
    ) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        if let (ModelKind::Network, Some(network)) = (self.kind, &mut self.network) {
            if without.is_empty() {
                return Ok(network.predict(&self.now, self.user, movies));
            }
            let mut less = self.now.clone();
            less.ratings.retain(|rating| rating.user != self.user || !without.contains(&rating.movie));
            return Ok(network.predict(&less, self.user, movies));
        }
        let mut predictions = BTreeMap::new();
        for model in 0..self.ensembles.len() {
            let own: Vec<u32> = movies.iter().copied().filter(|&movie| self.ensemble_for(movie) == model).collect();
            let pairs: Vec<(u32, u32)> = own.iter().map(|&movie| (self.user, movie)).collect();
            let probabilities = match (own.is_empty(), without.is_empty()) {
                (true, _) => continue,
                (_, true) => self.refitted(model)?.predict(&pairs)?,
                (_, false) => self.refit_without(model, without)?.predict(&pairs)?,
            };
            predictions.extend(own.into_iter().zip(probabilities));
        }
        Ok(movies.iter().filter_map(|movie| predictions.get(movie).copied()).collect())
    }

    /// Returns the index of the ensemble fitted for the cold start of a movie and the viewer, or 0
    /// if there is none.
    pub(super) fn ensemble_for(&self, movie: u32) -> usize {
        let cold_starts: Vec<ColdStart> = self.ensembles.iter().map(StoredEnsemble::cold_start).collect();
        let own = self.own - usize::from(self.rated(movie).is_some());
        regime_of(&cold_starts, self.others[movie as usize] == 0, own)
    }

    /// Returns the ensemble refitted on all ratings.
    fn refitted(&mut self, model: usize) -> Result<&FittedEnsemble, RecommendError> {
        if self.refitted[model].is_none() {
            self.refitted[model] = Some(self.refit_without(model, &BTreeSet::new())?);
        }
        self.refitted[model].as_ref().ok_or_else(no_ensemble)
    }

    fn refit_without(&self, model: usize, without: &BTreeSet<u32>) -> Result<FittedEnsemble, RecommendError> {
        let stored = self.ensembles.get(model).cloned().ok_or_else(no_ensemble)?;
        let keep = |rating: &Rating| rating.user != self.user || !without.contains(&rating.movie);
        let known: Vec<u32> =
            (0u32..).zip(&self.now.ratings).filter(|(_, rating)| keep(rating)).map(|(pair, _)| pair).collect();
        stored.restore_refitted_on(&self.fitted, &self.now, &known)
    }
}

/// Returns the number of ratings by a user, that of each movie's by others, and the user's history.
fn counted(dataset: &Dataset, user: u32) -> (usize, Vec<u32>, Vec<(u32, f32)>) {
    let (mut pairs, mut others) = (Vec::new(), vec![0; dataset.movies.len()]);
    for (pair, rating) in (0u32..).zip(&dataset.ratings) {
        if rating.user == user {
            pairs.push(pair);
        } else {
            others[rating.movie as usize] += 1;
        }
    }
    let history = std::mem::take(&mut WatchModel::histories(dataset, &pairs)[user as usize]);
    (pairs.len(), others, history)
}

/// Returns the place of the ensemble for a movie that nobody else rated (`unseen`) and a viewer
/// with
/// `own` other ratings, or 0 if it was not fitted.
pub(super) fn regime_of(cold_starts: &[ColdStart], unseen: bool, own: usize) -> usize {
    let position = |wanted: fn(&ColdStart) -> bool| cold_starts.iter().position(wanted);
    let found = match (unseen, own < NEW_VIEWER_RATINGS) {
        (true, _) => position(|cold_start| matches!(cold_start, ColdStart::Item)),
        (_, true) => position(|cold_start| matches!(cold_start, ColdStart::User { .. })),
        _ => position(|cold_start| matches!(cold_start, ColdStart::None)),
    };
    found.unwrap_or(0)
}

fn no_ensemble() -> RecommendError {
    RecommendError::Stored { file: MODEL.to_owned(), reason: "has no ensemble model: fit again with it".to_owned() }
}
