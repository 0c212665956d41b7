//! The stored form of a fitted ensemble.
//!
//! Features are learned again from the training pairs in about a second, to the same bytes. So only
//! the members, the stack, the indexes of those pairs, and the factorisation machine, which takes
//! longer, are stored.

use super::factorisation::FactorisationMachine;
use super::features::knowledge::{Catalogue, Knowledge};
use super::fitted::{FittedEnsemble, Learned};
use super::rows::sorted_pairs;
use super::settings::ColdStart;
use crate::RecommendError;
use crate::features::principal_components::{Components, Track};
use jhalak_common::dataset::Dataset;
use serde::{Deserialize, Serialize};

/// Version of [`StoredEnsemble`]: 3 holds how trailer embeddings are reduced. Others than this and
/// [`OLDEST`] are refused.
const VERSION: u32 = 3;
/// Ensembles of version 2 read no trailers.
const OLDEST: u32 = 2;

/// A fitted ensemble without its dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredEnsemble {
    version: u32,
    /// Hash of the dataset's content.
    dataset: String,
    /// Indexes of the training pairs.
    train: Vec<u32>,
    /// Reduced embeddings of the movies' trailers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trailers: Vec<Components>,
    /// The factorisation machine of the training pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<FactorisationMachine>,
    learned: Learned,
}

impl FittedEnsemble {
    /// Returns the ensemble to store; `dataset` and `train` are those of the fit.
    #[must_use]
    pub fn store(&self, dataset: &Dataset, train: &[u32]) -> StoredEnsemble {
        StoredEnsemble {
            version: VERSION,
            dataset: dataset.content_hash(),
            train: train.to_vec(),
            trailers: self.catalogue.content.trailers.clone(),
            machine: self.knowledge.machine.clone(),
            learned: self.learned.clone(),
        }
    }
}

impl StoredEnsemble {
    /// Returns the cold start that the ensemble was fitted for.
    #[must_use]
    pub fn cold_start(&self) -> ColdStart {
        self.learned.settings.cold_start
    }

    /// Returns what it reads of trailers.
    #[must_use]
    pub fn tracks(&self) -> Vec<Track> {
        self.trailers.iter().map(|trailer| trailer.track).collect()
    }

    /// Adds the trailer embeddings of movies that came after the `known` ones of the fit.
    ///
    /// # Errors
    /// [`RecommendError::Embedding`]: an embedding that is not like those of the fit.
    pub fn add_trailers(
        &mut self,
        known: usize,
        embeddings: impl Fn(Track) -> Vec<Option<Vec<f32>>>,
    ) -> Result<(), RecommendError> {
        self.trailers.iter_mut().try_for_each(|trailer| trailer.add(known, &embeddings(trailer.track)))
    }

    /// Restores the ensemble with the dataset of the fit. Its predictions are those of the fit.
    ///
    /// # Errors
    /// [`RecommendError::Dataset`]: an unknown version, another dataset, or a damaged model.
    pub fn restore(self, dataset: &Dataset) -> Result<FittedEnsemble, RecommendError> {
        let Restored { learned, train, catalogue, machine } = self.restored(dataset)?;
        let knowledge = Knowledge::learn_with(machine, dataset, &catalogue, &train, &learned.settings, learned.seed);
        Ok(FittedEnsemble { learned, catalogue, knowledge })
    }

    /// Does [`StoredEnsemble::restore`] and [`FittedEnsemble::refitted_on`] in one step, learning
    /// features once. `dataset` is that of the fit; `now` begins with its users and movies, and
    /// `known` are pairs of `now`.
    ///
    /// # Errors
    /// As those two.
    pub fn restore_refitted_on(
        self,
        dataset: &Dataset,
        now: &Dataset,
        known: &[u32],
    ) -> Result<FittedEnsemble, RecommendError> {
        let Restored { learned, train, catalogue, machine } = self.restored(dataset)?;
        let (catalogue, known) = catalogue.refitted_on(now, known)?;
        let unchanged = known == train
            && now.ratings == dataset.ratings
            && (now.users.len(), now.movies.len()) == (dataset.users.len(), dataset.movies.len());
        let machine = machine.filter(|_| unchanged);
        let knowledge = Knowledge::learn_with(machine, now, &catalogue, &known, &learned.settings, learned.seed);
        Ok(FittedEnsemble { learned, catalogue, knowledge })
    }

    fn restored(self, dataset: &Dataset) -> Result<Restored, RecommendError> {
        let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
        if !(OLDEST..=VERSION).contains(&self.version) {
            return fail(format!(
                "the stored model has version {}, and this program reads {OLDEST} to {VERSION}: fit again",
                self.version
            ));
        }
        if self.dataset != dataset.content_hash() {
            return fail("the stored model was fitted on other content: use that dataset, or fit again".to_owned());
        }
        let (users, movies) = (dataset.users.len(), dataset.movies.len());
        if self.machine.as_ref().is_some_and(|machine| !machine.is_of(users, movies)) {
            return fail("the stored model's factors are not of its users and movies: fit again".to_owned());
        }
        let (learned, train) = (self.learned, sorted_pairs(dataset, &self.train)?);
        let catalogue = Catalogue::new(dataset, &train, self.trailers, &learned.settings, learned.seed);
        Ok(Restored { learned, train, catalogue, machine: self.machine })
    }
}

/// A stored ensemble, checked against its dataset.
struct Restored {
    learned: Learned,
    train: Vec<u32>,
    catalogue: Catalogue,
    machine: Option<FactorisationMachine>,
}
