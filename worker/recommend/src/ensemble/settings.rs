//! What can be chosen about the honest model.

use jhalak_common::evaluation::{SettingError, Split};
use serde::{Deserialize, Serialize};

/// How many settings were tried before those of [`Settings::new`] were fixed. Each was judged by [`super::Inner`], on inner folds of the
/// training pairs of one fold of Flickscore (splits by pairs, movies and users); no test pair decided anything.
pub const TRIED: usize = 75;

/// What will be new about the pairs that are to be predicted. Training pairs are described as if the same were new about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Regime {
    /// Neither: both the user and the movie occur in training.
    Pairs,
    /// The movie was never rated.
    Movies,
    /// Of the user only `known` ratings are there.
    Users {
        /// How many.
        known: usize,
    },
}

impl From<Split> for Regime {
    fn from(split: Split) -> Self {
        match split {
            Split::Pairs => Self::Pairs,
            Split::Movies => Self::Movies,
            Split::Users { known } => Self::Users { known },
        }
    }
}

/// A part of the model that can be left out, so that a report can show what it adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Features: class counts and smoothed class rates of the user and of the movie.
    Rates,
    /// Features: probabilities and terms of the user + movie bias model.
    Bias,
    /// Features: the same with user and movie factors.
    Factors,
    /// Features: the same with content terms and each user's own slopes over the content.
    Hierarchical,
    /// Features: GL-score with its l, n, d.
    Gl,
    /// Features: the user's leaning towards the movie's genres.
    GenreLeaning,
    /// Features: year, rating, languages, counts, genres, and the reduced text of the movie itself.
    Content,
    /// Features: people whom the movie shares with what the user liked, was neutral to, disliked; how their other movies fared.
    People,
    /// Features: the user's own rated movies as tokens, attended to by likeness of content.
    Attention,
    /// Features: movies like this one, and how they fared with everybody.
    Neighbours,
    /// Features: what is known of the user besides ratings (age, job...).
    Attributes,
    /// Member of the stack: gradient boosting.
    Boosting,
    /// Member of the stack: extremely randomised trees.
    ExtraTrees,
    /// Member of the stack: logistic regression on all features.
    Logistic,
    /// Member of the stack: the hierarchical model by itself.
    HierarchicalAlone,
}

impl Part {
    /// Every part, in the order of reports.
    pub const ALL: [Part; 15] = [
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
        Part::Boosting,
        Part::ExtraTrees,
        Part::Logistic,
        Part::HierarchicalAlone,
    ];
}

/// Gradient boosting.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoostingSettings {
    /// Rounds at most; each grows one tree a class. How many are kept is decided on held-out folds.
    pub rounds: usize,
    /// Shrinkage of each tree, in (0, 1].
    pub rate: f64,
    /// Leaves of a tree, at least 2.
    pub leaves: usize,
    /// Sum of second derivatives that a leaf needs.
    pub min_hessian: f64,
    /// L2 penalty of leaf values.
    pub l2: f64,
    /// Share of the rows that each round sees, in (0, 1].
    pub rows: f64,
    /// Share of the features that each tree sees, in (0, 1].
    pub features: f64,
}

/// Extremely randomised trees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraTreesSettings {
    /// How many.
    pub trees: usize,
    /// Rows that a leaf needs.
    pub min_rows: usize,
    /// Share of the features that are tried at each split, in (0, 1].
    pub features: f64,
}

/// Penalties of the linear models with one term a user and a movie: each is the inverse variance of the terms expected beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectPenalties {
    /// Terms of users.
    pub user: f64,
    /// Terms of movies.
    pub movie: f64,
    /// Content terms shared by all users.
    pub content: f64,
    /// Each user's own slopes over the content.
    pub slope: f64,
    /// Slopes over the content shared by users with an attribute, and the attributes' own terms.
    pub attribute: f64,
    /// User and movie factors.
    pub factor: f64,
}

/// Settings of the honest model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What will be new about the pairs to predict.
    pub regime: Regime,
    /// Parts that are left out.
    pub without: Vec<Part>,
    /// Folds in which training pairs are described without their own label, at least 2.
    pub profile_folds: usize,
    /// For users of whom some ratings are known: how often those are drawn anew.
    pub known_rounds: usize,
    /// Folds on which rounds, stack and thresholds are decided, at least 2.
    pub stack_folds: usize,
    /// Pairs by which rates are drawn towards the mean.
    pub smoothing: f64,
    /// Penalties of the bias model and of the one with factors.
    pub bias: EffectPenalties,
    /// Penalties of the hierarchical model.
    pub hierarchical: EffectPenalties,
    /// Number of factors.
    pub factors: usize,
    /// Numbers that a movie's text, and its people, are reduced to.
    pub text_dims: usize,
    /// Gradient boosting.
    pub boosting: BoostingSettings,
    /// Extremely randomised trees.
    pub extra_trees: ExtraTreesSettings,
    /// L2 penalty of the logistic member.
    pub logistic_l2: f64,
}

impl Settings {
    /// The settings that were found best on inner folds.
    #[must_use]
    pub fn new(regime: Regime) -> Self {
        let bias = EffectPenalties { user: 0.8, movie: 0.8, content: 1.0, slope: 1.0, attribute: 5.0, factor: 6.0 };
        Self {
            regime,
            without: Vec::new(),
            profile_folds: 6,
            known_rounds: 2,
            stack_folds: 4,
            smoothing: 4.0,
            bias,
            hierarchical: EffectPenalties {
                user: 0.5,
                movie: 2.0,
                content: 100.0,
                slope: 100.0,
                attribute: 8000.0,
                factor: 6.0,
            },
            factors: 6,
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
            extra_trees: ExtraTreesSettings { trees: 120, min_rows: 6, features: 0.3 },
            logistic_l2: 400.0,
        }
    }

    /// Whether a part is there.
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
        let members = [Part::Boosting, Part::ExtraTrees, Part::Logistic, Part::HierarchicalAlone];
        if !members.iter().any(|&member| self.has(member)) {
            return fail("honest.without", "leaves out every member of the stack: keep one");
        }
        if !(2..=250).contains(&self.profile_folds) {
            return fail("honest.profile_folds", "must lie in 2..=250");
        }
        if !(2..=250).contains(&self.stack_folds) {
            return fail("honest.stack_folds", "must lie in 2..=250");
        }
        if !(1..=100).contains(&self.known_rounds) {
            return fail("honest.known_rounds", "must lie in 1..=100");
        }
        if !(self.smoothing >= 0.0 && self.smoothing.is_finite()) {
            return fail("honest.smoothing", "must be 0 or more and finite");
        }
        for p in [self.bias, self.hierarchical] {
            if ![p.user, p.movie, p.content, p.slope, p.attribute, p.factor].iter().all(|x| *x > 0.0 && x.is_finite()) {
                return fail("honest.bias, honest.hierarchical", "every penalty must be above 0 and finite");
            }
        }
        if self.factors > 256 || self.text_dims > 256 {
            return fail("honest.factors, honest.text_dims", "must be 256 at most");
        }
        let b = &self.boosting;
        if !(1..=10_000).contains(&b.rounds) || !(2..=1024).contains(&b.leaves) {
            return fail("honest.boosting", "rounds must lie in 1..=10000 and leaves in 2..=1024");
        }
        if !(share(b.rate) && share(b.rows) && share(b.features) && b.l2 >= 0.0 && b.min_hessian > 0.0) {
            return fail(
                "honest.boosting",
                "rate, rows and features must lie in (0, 1], l2 be 0 or more, min_hessian above 0",
            );
        }
        if !(1..=10_000).contains(&self.extra_trees.trees) || !share(self.extra_trees.features) {
            return fail("honest.extra_trees", "trees must lie in 1..=10000 and features in (0, 1]");
        }
        if !(self.logistic_l2 > 0.0 && self.logistic_l2.is_finite()) {
            return fail("honest.logistic_l2", "must be above 0 and finite");
        }
        Ok(())
    }
}
