//! The final model: fitted on every rating of a dataset, stored, and asked what one viewer thinks of one movie and why.
//!
//! Two models answer. The network ([`network`]) is the paper's classifier or ANN over one modality, stored as safetensors and ONNX. The honest
//! model ([`crate::ensemble`]) knows everything that helps and is what answers where nobody says otherwise. Whichever it is, a label never helps to
//! predict itself: a pair that the viewer has rated is taken out before it is asked about.

mod description;
mod export;
mod files;
mod fit;
mod network;
mod reasons;
#[cfg(test)]
mod tests;

pub use description::{Card, Description, NetworkDescription};
pub use files::{Check, Files, MODEL, encode};
pub use fit::{FitRequest, fit_all};
pub use network::{FittedNetwork, fit_network};
pub use reasons::{GenreReason, Neighbour, Why};

use crate::ensemble::{self, Regime};
use crate::features::embedding::EmbeddingTable;
use crate::features::metadata;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use std::collections::{BTreeMap, BTreeSet};

/// Groups in which the movies that a viewer has rated are asked about: each by what the others say.
const GROUPS: usize = 5;
/// A viewer with fewer other ratings than this counts as new.
const FEW: usize = 8;

/// Which model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The network.
    Network,
    /// The honest model.
    Honest,
}

/// A stored model with its dataset, before anybody asks.
#[derive(Debug)]
pub struct Served {
    /// What it is.
    pub description: Description,
    dataset: Dataset,
    network: Option<FittedNetwork>,
    honest: Vec<ensemble::Stored>,
}

/// What came after the fit.
#[derive(Clone, Debug, Default)]
pub struct Newcomers {
    /// Movies that the dataset does not have.
    pub movies: Vec<Movie>,
    /// Their raw embeddings: by movie id, then by modality (`video`, `audio`).
    pub embeddings: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
    /// The viewer who asks: a place in the dataset's users, or a new one.
    pub user: Option<u32>,
    /// What that viewer says of movies, by their places once the new ones stand at the end; it outranks what the dataset has.
    pub said: Vec<(u32, Label)>,
}

/// A model that is being asked by one viewer.
#[derive(Debug)]
pub struct Asking {
    which: Which,
    /// The dataset of the fit.
    fitted: Dataset,
    /// The same with the newcomers.
    now: Dataset,
    user: u32,
    /// How many ratings the viewer has given.
    own: usize,
    /// How many others have rated each movie.
    others: Vec<u32>,
    network: Option<FittedNetwork>,
    honest: Vec<ensemble::Stored>,
    /// The honest models that know everything, made when first asked, in the order of `honest`.
    know: Vec<Option<ensemble::Fitted>>,
}

impl Served {
    /// Reads a model's files. `dataset` is that of the fit.
    ///
    /// # Errors
    /// Files that are missing, damaged or newer, or another dataset.
    pub fn read(files: &Files, dataset: Dataset) -> Result<Self, RecommendError> {
        let description = files::description(files)?;
        let network = description.network.as_ref().map(|network| files::network(files, network)).transpose()?;
        let honest = files::honest(files, &description)?;
        if let Some(fitted) = &network
            && fitted.sides.iter().any(|side| side.table.rows.len() != dataset.movies.len())
        {
            let reason = "the stored model was fitted on another catalogue: give that, or fit again".to_owned();
            return Err(RecommendError::Dataset { dataset: dataset.name, reason });
        }
        Ok(Self { description, dataset, network, honest })
    }

    /// The dataset of the fit.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The model that answers where nobody chooses: the honest one if it is there.
    #[must_use]
    pub fn default_model(&self) -> Which {
        if !self.honest.is_empty() { Which::Honest } else { Which::Network }
    }

    /// Prepares to answer one viewer.
    ///
    /// # Errors
    /// A model that was not fitted, a place or a movie id that cannot be.
    pub fn asked_by(mut self, newcomers: Newcomers, which: Which) -> Result<Asking, RecommendError> {
        let there = match which {
            Which::Network => self.network.is_some(),
            Which::Honest => !self.honest.is_empty(),
        };
        if !there {
            let reason = format!("holds no {} model: fit again with it", name(which));
            return Err(RecommendError::Stored { file: MODEL.to_owned(), reason });
        }
        let (now, user) = extended(&self.dataset, &newcomers)?;
        if let Some(network) = &mut self.network {
            extend_tables(network, &self.dataset, &now, &newcomers)?;
        }
        let know = self.honest.iter().map(|_| None).collect();
        let (mut own, mut others) = (0, vec![0; now.movies.len()]);
        for rating in &now.ratings {
            if rating.user == user {
                own += 1;
            } else {
                others[rating.movie as usize] += 1;
            }
        }
        let (network, honest) = (self.network, self.honest);
        Ok(Asking { which, fitted: self.dataset, now, user, own, others, network, honest, know })
    }
}

fn name(which: Which) -> &'static str {
    match which {
        Which::Network => "network",
        Which::Honest => "honest",
    }
}

/// The dataset with the newcomers, and the place of the viewer.
fn extended(dataset: &Dataset, newcomers: &Newcomers) -> Result<(Dataset, u32), RecommendError> {
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    let mut now = dataset.clone();
    for movie in &newcomers.movies {
        if now.movies.iter().any(|known| known.id == movie.id) {
            return fail(format!("the movie {} is known already: leave it out of the new ones", movie.id));
        }
        now.movies.push(movie.clone());
    }
    let user = match newcomers.user {
        Some(user) if (user as usize) < now.users.len() => user,
        Some(user) => return fail(format!("there is no user {user}")),
        None => {
            now.users.push(User { id: "(new viewer)".to_owned(), ..User::default() });
            now.users.len() as u32 - 1
        }
    };
    for &(movie, label) in &newcomers.said {
        if movie as usize >= now.movies.len() {
            return fail(format!("there is no movie {movie}"));
        }
        now.ratings.retain(|rating| (rating.user, rating.movie) != (user, movie));
        now.ratings.push(Rating { user, movie, label });
    }
    now.ratings.sort_unstable();
    Ok((now, user))
}

/// Gives new movies their rows, as far as there is something to make them of.
fn extend_tables(
    network: &mut FittedNetwork,
    dataset: &Dataset,
    now: &Dataset,
    newcomers: &Newcomers,
) -> Result<(), RecommendError> {
    let known = dataset.movies.len();
    let new = &now.movies[known..];
    if new.is_empty() {
        return Ok(());
    }
    for side in &mut network.sides {
        let rows: Vec<Option<Vec<f32>>> = match side.name {
            "genre" => EmbeddingTable::genres(now).rows.split_off(known),
            "metadata" => {
                // Learned from the movies of the fit alone, so that their own rows come out as they were.
                let fitted: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
                let with_new = Dataset { movies: now.movies.clone(), ..dataset.clone() };
                metadata::table(&with_new, &fitted, network.spec.seed)?.rows.split_off(known)
            }
            name => new
                .iter()
                .map(|movie| newcomers.embeddings.get(&movie.id).and_then(|of| of.get(name)).cloned())
                .collect(),
        };
        let rows = match &mut side.head {
            Some(head) => {
                let raw = EmbeddingTable { dim: head.inputs, rows };
                if raw.rows.iter().any(Option::is_some) {
                    raw.check("new movies'", new.len())?;
                }
                head.head.embed(&raw).rows
            }
            None => rows,
        };
        if rows.iter().flatten().any(|row| row.len() != side.table.dim) {
            let reason = format!("a new movie's row has not the {} numbers of the fit", side.table.dim);
            return Err(RecommendError::Embedding { table: side.name, reason });
        }
        side.table.rows.extend(rows);
    }
    Ok(())
}

impl Asking {
    /// The dataset with what came after the fit.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.now
    }

    /// The place of the viewer.
    #[must_use]
    pub fn user(&self) -> u32 {
        self.user
    }

    /// What the viewer said of a movie.
    #[must_use]
    pub fn rated(&self, movie: u32) -> Option<Label> {
        let place = self.now.ratings.binary_search_by_key(&(self.user, movie), |rating| (rating.user, rating.movie));
        place.ok().map(|place| self.now.ratings[place].label)
    }

    /// Whether the model can say anything of a movie: a network needs its embedding.
    #[must_use]
    pub fn can_answer(&self, movie: u32) -> bool {
        match (&self.network, self.which) {
            (Some(network), Which::Network) => network.has(movie),
            _ => true,
        }
    }

    /// Probabilities of dislike, neutral and like of these movies. Those that the viewer has rated are predicted from the other ratings: each
    /// alone if it is one, in groups if they are many.
    ///
    /// # Errors
    /// [`RecommendError`]: a movie that is not there or, for a network, has no embedding.
    pub fn predict(&mut self, movies: &[u32]) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        for &movie in movies {
            let known = self.now.movies.get(movie as usize);
            let Some(known) = known.filter(|_| self.can_answer(movie)) else {
                let id = known.map_or_else(|| movie.to_string(), |movie| movie.id.clone());
                let reason = format!("the movie {id} has none, and this model predicts from nothing else");
                return Err(RecommendError::Embedding { table: "the network's", reason });
            };
            debug_assert!(!known.id.is_empty());
        }
        let (rated, open): (Vec<u32>, Vec<u32>) = movies.iter().partition(|&&movie| self.rated(movie).is_some());
        let mut answers: BTreeMap<u32, [f32; CLASSES]> = BTreeMap::new();
        if !open.is_empty() {
            let probabilities = self.answer(&open, &BTreeSet::new())?;
            answers.extend(open.iter().copied().zip(probabilities));
        }
        let groups = rated.len().min(GROUPS);
        for group in 0..groups {
            let own: BTreeSet<u32> = rated.iter().copied().skip(group).step_by(groups).collect();
            let asked: Vec<u32> = own.iter().copied().collect();
            let probabilities = self.answer(&asked, &own)?;
            answers.extend(asked.into_iter().zip(probabilities));
        }
        Ok(movies.iter().filter_map(|movie| answers.get(movie).copied()).collect())
    }

    /// Why: what the viewer's and the others' ratings say of a movie, its own rating by the viewer left out.
    ///
    /// # Errors
    /// A movie that is not there.
    pub fn why(&mut self, movie: u32, most: usize) -> Result<Why, RecommendError> {
        let (user, model) = (self.user, self.regime(movie));
        let reasons = match self.which {
            Which::Honest => Some(self.knowing(model)?.reasons(user, movie, most)),
            Which::Network => None,
        };
        let reasons = reasons.transpose()?;
        Ok(reasons::why(&self.now, self.user, movie, most, reasons.as_ref(), self.network.as_ref()))
    }

    /// The answers of a model that does not know what the viewer said of the movies `without`.
    fn answer(&mut self, movies: &[u32], without: &BTreeSet<u32>) -> Result<Vec<[f32; CLASSES]>, RecommendError> {
        if let (Which::Network, Some(network)) = (self.which, &mut self.network) {
            if without.is_empty() {
                return Ok(network.predict(&self.now, self.user, movies));
            }
            let mut less = self.now.clone();
            less.ratings.retain(|rating| rating.user != self.user || !without.contains(&rating.movie));
            return Ok(network.predict(&less, self.user, movies));
        }
        let mut answers = BTreeMap::new();
        for model in 0..self.honest.len() {
            let own: Vec<u32> = movies.iter().copied().filter(|&movie| self.regime(movie) == model).collect();
            let pairs: Vec<(u32, u32)> = own.iter().map(|&movie| (self.user, movie)).collect();
            let probabilities = match (own.is_empty(), without.is_empty()) {
                (true, _) => continue,
                (_, true) => self.knowing(model)?.predict(&pairs)?,
                (_, false) => self.honest_without(model, without)?.predict(&pairs)?,
            };
            answers.extend(own.into_iter().zip(probabilities));
        }
        Ok(movies.iter().filter_map(|movie| answers.get(movie).copied()).collect())
    }

    /// Which honest model answers for a movie: the one that was fitted for what is new about the pair, if it is there, else the first.
    fn regime(&self, movie: u32) -> usize {
        let place = |wanted: fn(&Regime) -> bool| self.honest.iter().position(|stored| wanted(&stored.regime()));
        let unseen = self.others[movie as usize] == 0;
        let new_viewer = self.own - usize::from(self.rated(movie).is_some()) < FEW;
        let found = match (unseen, new_viewer) {
            (true, _) => place(|regime| matches!(regime, Regime::Movies)),
            (_, true) => place(|regime| matches!(regime, Regime::Users { .. })),
            _ => place(|regime| matches!(regime, Regime::Pairs)),
        };
        found.unwrap_or(0)
    }

    /// The honest model that knows everything.
    fn knowing(&mut self, model: usize) -> Result<&ensemble::Fitted, RecommendError> {
        if self.know[model].is_none() {
            self.know[model] = Some(self.honest_without(model, &BTreeSet::new())?);
        }
        self.know[model].as_ref().ok_or_else(no_honest)
    }

    fn honest_without(&self, model: usize, without: &BTreeSet<u32>) -> Result<ensemble::Fitted, RecommendError> {
        let stored = self.honest.get(model).cloned().ok_or_else(no_honest)?;
        let keep = |rating: &Rating| rating.user != self.user || !without.contains(&rating.movie);
        let known: Vec<u32> =
            (0u32..).zip(&self.now.ratings).filter(|(_, rating)| keep(rating)).map(|(place, _)| place).collect();
        stored.restore_knowing(&self.fitted, &self.now, &known)
    }
}

fn no_honest() -> RecommendError {
    RecommendError::Stored { file: MODEL.to_owned(), reason: "holds no honest model: fit again with it".to_owned() }
}
