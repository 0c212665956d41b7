//! A fitted model as it is stored.
//!
//! What a view knows is learned again from the dataset's training pairs in about a second, to the same bytes, so only the second level and
//! the names of those pairs are stored.

use super::features::knowledge::{Catalogue, Knowledge};
use super::{Fitted, Learned, Regime, sorted};
use crate::RecommendError;
use jhalak_common::dataset::Dataset;
use serde::{Deserialize, Serialize};

/// The form of [`Stored`]. Others are refused.
const VERSION: u32 = 1;

/// A fitted model without the dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    version: u32,
    /// Hash of the dataset's content.
    dataset: String,
    /// Indexes of the training pairs.
    train: Vec<u32>,
    learned: Learned,
}

impl Fitted {
    /// The model to store; `dataset` and `train` are those of the fit.
    #[must_use]
    pub fn store(&self, dataset: &Dataset, train: &[u32]) -> Stored {
        Stored {
            version: VERSION,
            dataset: dataset.content_hash(),
            train: train.to_vec(),
            learned: self.learned.clone(),
        }
    }
}

impl Stored {
    /// What was taken to be new about the pairs to predict.
    #[must_use]
    pub fn regime(&self) -> Regime {
        self.learned.settings.regime
    }

    /// The model, with the dataset that it was fitted on. Predicts the same as before.
    ///
    /// # Errors
    /// [`RecommendError::Dataset`]: a version that is not known, or another dataset.
    pub fn restore(self, dataset: &Dataset) -> Result<Fitted, RecommendError> {
        let (learned, train, catalogue) = self.catalogue(dataset)?;
        let knowledge = Knowledge::learn(dataset, &catalogue, &train, &learned.settings, learned.seed);
        Ok(Fitted { learned, catalogue, knowledge })
    }

    /// The model, with other knowledge than that of the fit: what [`Stored::restore`] and then [`Fitted::know`] give, learned once. `dataset` is that
    /// of the fit; `now` begins with its users and movies, and `known` are pairs of `now`.
    ///
    /// # Errors
    /// As of those two.
    pub fn restore_knowing(self, dataset: &Dataset, now: &Dataset, known: &[u32]) -> Result<Fitted, RecommendError> {
        let (learned, _, catalogue) = self.catalogue(dataset)?;
        let (catalogue, known) = catalogue.knowing(now, known)?;
        let knowledge = Knowledge::learn(now, &catalogue, &known, &learned.settings, learned.seed);
        Ok(Fitted { learned, catalogue, knowledge })
    }

    fn catalogue(self, dataset: &Dataset) -> Result<(Learned, Vec<u32>, Catalogue), RecommendError> {
        let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
        if self.version != VERSION {
            return fail(format!(
                "the stored model has version {}, and only {VERSION} is known: fit again",
                self.version
            ));
        }
        if self.dataset != dataset.content_hash() {
            return fail("the stored model was fitted on other content: give that, or fit again".to_owned());
        }
        let (learned, train) = (self.learned, sorted(dataset, &self.train)?);
        let catalogue = Catalogue::new(dataset, &train, &learned.settings, learned.seed);
        Ok((learned, train, catalogue))
    }
}
