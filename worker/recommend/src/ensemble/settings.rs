//! Settings of the stacked ensemble.

use jhalak_common::evaluation::{ContentColumn, SettingError, Split};
use serde::{Deserialize, Serialize};

/// How many settings were tried before those of [`Settings::new`] were fixed. Each was scored on
/// inner folds of the training pairs of one fold: 75 on Flickscore (splits by pairs, movies and
/// users), 35 on MovieLens-100K (pairs and movies; 27 of the factorisation machine alone). No test
/// pair was used.
pub const TRIED: usize = 110;

/// Whether users or movies of the pairs to predict are new. Training pairs are described as if the
/// same were new about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields)]
pub enum ColdStart {
    /// Nothing: both the user and the movie occur in training.
    #[serde(rename = "pairs")]
    None,
    /// The movie is unrated.
    #[serde(rename = "movies")]
    Item,
    /// The user has only `known` ratings.
    #[serde(rename = "users")]
    User {
        /// Number of known ratings.
        known: usize,
    },
}

impl From<Split> for ColdStart {
    fn from(split: Split) -> Self {
        match split {
            Split::Pairs => Self::None,
            Split::Movies => Self::Item,
            Split::Users { known } => Self::User { known },
        }
    }
}

/// A part of the ensemble that can be left out, so that a report can show what it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Features: class counts and smoothed class rates of the user and of the movie.
    Rates,
    /// Features: probabilities and terms of the user + movie bias model.
    Bias,
    /// Features: probabilities of the bias model with user and movie factors.
    Factors,
    /// Features: probabilities and terms of the bias model with content terms and each user's
    /// slopes.
    Hierarchical,
    /// Features: GL-score with its l, n, d.
    Gl,
    /// Features: the user's leaning towards the movie's genres, beyond what the bias model expects.
    GenreLeaning,
    /// Features: year, rating, languages, counts, genres and reduced text of the movie.
    Content,
    /// Features: people shared with movies that the user liked, was neutral to, disliked; ratings
    /// of their other movies.
    People,
    /// Features: attention over the user's rated movies by similarity of content.
    Attention,
    /// Features: ratings of similar movies by all users.
    Neighbours,
    /// Features: attributes of the user (age, job...).
    Attributes,
    /// Features: probabilities, mean and spread of the score of the Bayesian factorisation machine.
    FactorisationMachine,
    /// Features: attention over the user's rated movies by similarity of their viewers.
    SharedViewers,
    /// Features: principal components of the trailer's pictures, and attention and neighbours by
    /// them.
    Video,
    /// Features: the same of the trailer's sound.
    Audio,
    /// Member of the stack: gradient boosting.
    Boosting,
    /// Member of the stack: extremely randomised trees.
    ExtraTrees,
    /// Member of the stack: logistic regression on all features.
    Logistic,
    /// Member of the stack: the hierarchical model alone.
    HierarchicalAlone,
    /// Member of the stack: the Bayesian factorisation machine alone.
    FactorisationAlone,
}

impl Part {
    /// Every part, in the order of reports.
    pub const ALL: [Part; 20] = [
        Part::Rates,
        Part::Bias,
        Part::Factors,
        Part::Hierarchical,
        Part::Gl,
        Part::GenreLeaning,
        Part::Content,
        Part::People,
        Part::Attention,
        Part::Neighbours,
        Part::Attributes,
        Part::FactorisationMachine,
        Part::SharedViewers,
        Part::Video,
        Part::Audio,
        Part::Boosting,
        Part::ExtraTrees,
        Part::Logistic,
        Part::HierarchicalAlone,
        Part::FactorisationAlone,
    ];
}

/// Settings of gradient boosting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostingSettings {
    /// Maximum number of rounds; each grows one tree for each class. Held-out folds choose how many
    /// are kept.
    pub rounds: usize,
    /// Shrinkage of each tree, in (0, 1].
    pub rate: f64,
    /// Maximum number of leaves of a tree, at least 2.
    pub leaves: usize,
    /// Minimum sum of second derivatives in a leaf.
    pub min_hessian: f64,
    /// L2 penalty of leaf values.
    pub l2: f64,
    /// Share of the rows that each round sees, in (0, 1].
    pub rows: f64,
    /// Share of the features that each tree sees, in (0, 1].
    pub features: f64,
}

/// Settings of extremely randomised trees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraTreesSettings {
    /// Number of trees.
    pub trees: usize,
    /// Minimum number of rows in a leaf.
    pub min_rows: usize,
    /// Share of the features tried at each split, in (0, 1].
    pub features: f64,
}

/// Settings of the Bayesian factorisation machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorisationSettings {
    /// Number of factors of users and movies.
    pub factors: usize,
    /// Number of Gibbs sweeps; the first part is dropped.
    pub sweeps: usize,
}

/// Penalties of the mixed logit model's terms: the inverse of each term's prior variance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermPenalties {
    /// Terms of users.
    pub user: f64,
    /// Terms of movies.
    pub movie: f64,
    /// Content terms shared by all users.
    pub content: f64,
    /// Slopes of each user over the content.
    pub slope: f64,
    /// Terms of the users' attributes, and slopes over the content for each attribute.
    pub attribute: f64,
    /// User and movie factors.
    pub factor: f64,
}

/// Settings of the stacked ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether users or movies of the pairs to predict are new.
    #[serde(rename = "regime")]
    pub cold_start: ColdStart,
    /// Shortcuts of the catalogue that are read as content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub content_columns: Vec<ContentColumn>,
    /// Parts to leave out.
    pub without: Vec<Part>,
    /// Number of folds of the out-of-fold views, at least 2.
    pub profile_folds: usize,
    /// Cold-start users: how many times their known ratings are drawn.
    pub known_rounds: usize,
    /// Number of folds that boosting rounds, stack and class weights are fitted on, at least 2.
    pub stack_folds: usize,
    /// Held-out pairs that are enough to fit them: further folds are left out. One fold is always
    /// used.
    pub stack_pairs: usize,
    /// Strength, in pairs, with which rates are shrunk towards the mean.
    pub smoothing: f64,
    /// Penalties of the bias model and of the factor model.
    pub bias: TermPenalties,
    /// Penalties of the hierarchical model.
    pub hierarchical: TermPenalties,
    /// Number of user and movie factors of the factor model.
    pub factors: usize,
    /// Settings of the Bayesian factorisation machine.
    pub factorisation: FactorisationSettings,
    /// Dimensions that a movie's text, and its people, are reduced to.
    pub text_dims: usize,
    /// Settings of gradient boosting.
    pub boosting: BoostingSettings,
    /// Settings of extremely randomised trees.
    pub extra_trees: ExtraTreesSettings,
    /// L2 penalty of the logistic member.
    pub logistic_l2: f64,
}

impl Settings {
    /// Returns the settings with the best figures on inner folds.
    #[must_use]
    pub fn new(cold_start: ColdStart) -> Self {
        // A movie that nobody rated has no shared viewers and no factors of its own.
        let without = match cold_start {
            ColdStart::Item => vec![Part::FactorisationMachine, Part::FactorisationAlone, Part::SharedViewers],
            ColdStart::None | ColdStart::User { .. } => Vec::new(),
        };
        // Held-out pairs of one movie or one user say less than as many others.
        let stack_pairs = if cold_start == ColdStart::None { 15_000 } else { 30_000 };
        let bias = TermPenalties { user: 0.8, movie: 0.8, content: 1.0, slope: 1.0, attribute: 5.0, factor: 6.0 };
        Self {
            cold_start,
            content_columns: Vec::new(),
            without,
            profile_folds: 6,
            known_rounds: 2,
            stack_folds: 4,
            stack_pairs,
            smoothing: 4.0,
            bias,
            hierarchical: TermPenalties {
                user: 0.5,
                movie: 2.0,
                content: 100.0,
                slope: 100.0,
                attribute: 8000.0,
                factor: 6.0,
            },
            factors: 6,
            factorisation: FactorisationSettings { factors: 8, sweeps: 200 },
            text_dims: 8,
            boosting: BoostingSettings {
                rounds: 300,
                rate: 0.04,
                leaves: 12,
                min_hessian: 8.0,
                l2: 5.0,
                rows: 0.7,
                features: 0.3,
            },
            extra_trees: ExtraTreesSettings { trees: 120, min_rows: 6, features: 0.15 },
            logistic_l2: 400.0,
        }
    }

    /// Returns whether a part is in use.
    #[must_use]
    pub fn has(&self, part: Part) -> bool {
        !self.without.contains(&part)
    }

    /// Refuses settings that cannot be used.
    ///
    /// # Errors
    /// [`SettingError`] that names the setting.
    pub fn check(&self) -> Result<(), SettingError> {
        let fail = |setting, reason: &str| Err(SettingError { setting, reason: reason.to_owned() });
        let share = |x: f64| x > 0.0 && x <= 1.0;
        let members =
            [Part::Boosting, Part::ExtraTrees, Part::Logistic, Part::HierarchicalAlone, Part::FactorisationAlone];
        if !members.iter().any(|&member| self.has(member)) {
            return fail("ensemble.without", "leaves out every member of the stack: keep at least one");
        }
        if !(2..=250).contains(&self.profile_folds) {
            return fail("ensemble.profile_folds", "must lie in 2..=250");
        }
        if !(2..=250).contains(&self.stack_folds) {
            return fail("ensemble.stack_folds", "must lie in 2..=250");
        }
        if !(1..=100).contains(&self.known_rounds) {
            return fail("ensemble.known_rounds", "must lie in 1..=100");
        }
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return fail("ensemble.smoothing", "must be 0 or more and finite");
        }
        for p in [self.bias, self.hierarchical] {
            if ![p.user, p.movie, p.content, p.slope, p.attribute, p.factor].iter().all(|x| *x > 0.0 && x.is_finite()) {
                return fail("ensemble.bias, ensemble.hierarchical", "every penalty must be above 0 and finite");
            }
        }
        if self.factors > 256 || self.text_dims > 256 {
            return fail("ensemble.factors, ensemble.text_dims", "must be at most 256");
        }
        if self.factorisation.factors > 256 || !(2..=10_000).contains(&self.factorisation.sweeps) {
            return fail("ensemble.factorisation", "factors must be at most 256 and sweeps lie in 2..=10000");
        }
        let b = &self.boosting;
        if !(1..=10_000).contains(&b.rounds) || !(2..=1024).contains(&b.leaves) {
            return fail("ensemble.boosting", "rounds must lie in 1..=10000 and leaves in 2..=1024");
        }
        if !(share(b.rate) && share(b.rows) && share(b.features) && b.l2 >= 0.0 && b.min_hessian > 0.0) {
            return fail(
                "ensemble.boosting",
                "rate, rows and features must lie in (0, 1], l2 must be 0 or more, min_hessian must be above 0",
            );
        }
        if !(1..=10_000).contains(&self.extra_trees.trees) || !share(self.extra_trees.features) {
            return fail("ensemble.extra_trees", "trees must lie in 1..=10000 and features in (0, 1]");
        }
        if !(self.logistic_l2 > 0.0 && self.logistic_l2.is_finite()) {
            return fail("ensemble.logistic_l2", "must be above 0 and finite");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cold_starts_are_stored_under_the_names_of_their_splits() {
        let word = |split: Split| serde_json::to_value(ColdStart::from(split)).expect("plain data");
        assert_eq!(word(Split::Pairs), serde_json::json!({ "kind": "pairs" }));
        assert_eq!(word(Split::Movies), serde_json::json!({ "kind": "movies" }));
        assert_eq!(word(Split::Users { known: 5 }), serde_json::json!({ "kind": "users", "known": 5 }));
        let settings = serde_json::to_value(Settings::new(ColdStart::None)).expect("plain data");
        assert_eq!(settings["regime"]["kind"], "pairs");
    }
}
