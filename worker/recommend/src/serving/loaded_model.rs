//! A stored model in memory, with its dataset, before a viewer queries it.

use super::description::Description;
use super::files::{self, Files, MODEL};
use super::network::FittedNetwork;
use super::ranked::RankBy;
use super::viewer_session::{ModelKind, ViewerSession};
use crate::RecommendError;
use crate::ensemble::StoredEnsemble;
use crate::features::embedding::EmbeddingTable;
use crate::features::metadata;
use crate::features::principal_components::Track;
use crate::ranking::WatchModel;
use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_common::evaluation::LeftOutPart;
use std::collections::BTreeMap;

/// A stored model with its dataset.
#[derive(Debug)]
pub struct LoadedModel {
    /// The description of the model.
    pub description: Description,
    pub(super) dataset: Dataset,
    pub(super) network: Option<FittedNetwork>,
    pub(super) ensembles: Vec<StoredEnsemble>,
    pub(super) watch: Option<WatchModel>,
}

/// The viewer of a session, with movies and ratings that came after the fit.
#[derive(Clone, Debug, Default)]
pub struct SessionInput {
    /// Movies that the dataset does not have.
    pub movies: Vec<Movie>,
    /// Raw embeddings of the new movies: by movie id, then by modality (`video`, `audio`).
    pub embeddings: BTreeMap<String, BTreeMap<String, Vec<f32>>>,
    /// The viewer: an index of the dataset's users, or `None` for a new viewer.
    pub user: Option<u32>,
    /// Ratings of that viewer by movie index, with the new movies after those of the dataset. They
    /// replace ratings of the dataset.
    pub new_ratings: Vec<(u32, Label)>,
}

impl LoadedModel {
    /// Reads a model's files. `dataset` is that of the fit.
    ///
    /// # Errors
    /// Files that are missing, damaged or newer, or another dataset.
    pub fn read(files: &Files, dataset: Dataset) -> Result<Self, RecommendError> {
        let description = files::description(files)?;
        let network = description.network.as_ref().map(|network| files::network(files, network)).transpose()?;
        let ensembles = files::ensembles(files, &description)?;
        if let Some(fitted) = &network
            && fitted.sides.iter().any(|side| side.table.rows.len() != dataset.movies.len())
        {
            let reason = "the stored model was fitted on another catalogue: use that dataset, or fit again".to_owned();
            return Err(RecommendError::Dataset { dataset: dataset.name, reason });
        }
        let watch = files::watch(files, &description, dataset.movies.len())?;
        Ok(Self { description, dataset, network, ensembles, watch })
    }

    /// Returns the dataset of the fit.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Returns the model to use by default: the ensemble if it was fitted.
    #[must_use]
    pub fn default_kind(&self) -> ModelKind {
        if !self.ensembles.is_empty() { ModelKind::Ensemble } else { ModelKind::Network }
    }

    /// Returns whether a model of this kind reads trailers.
    #[must_use]
    pub fn reads_trailers(&self, kind: ModelKind) -> bool {
        match kind {
            ModelKind::Network => self.network.as_ref().is_some_and(|of| !of.spec.modality.tables().is_empty()),
            ModelKind::Ensemble => self.ensembles.iter().any(|stored| !stored.tracks().is_empty()),
        }
    }

    /// Checks that the models of a query were fitted.
    ///
    /// # Errors
    /// [`RecommendError::Stored`] with the way out.
    pub fn check(&self, kind: ModelKind, by: RankBy) -> Result<(), RecommendError> {
        let is_fitted = match kind {
            ModelKind::Network => self.network.is_some(),
            ModelKind::Ensemble => !self.ensembles.is_empty(),
        };
        let missing = match (is_fitted, by) {
            (false, _) => kind.name(),
            (true, RankBy::Watch) if self.watch.is_none() => "watch",
            _ => return Ok(()),
        };
        let is_it: fn(&LeftOutPart) -> bool = match kind {
            ModelKind::Network => LeftOutPart::is_network,
            ModelKind::Ensemble => LeftOutPart::is_ensemble,
        };
        let left_out = self.description.card.left_out.iter().find(|one| !is_fitted && is_it(one));
        if let Some(LeftOutPart { part, reason }) = left_out {
            let reason = format!(
                "has no {missing} model: {part} could not be fitted: {reason}; fit with another --modality, or leave --model out"
            );
            return Err(RecommendError::Stored { file: MODEL.to_owned(), reason });
        }
        let way = match missing {
            "network" => "fit without --no-network",
            "ensemble" => "fit without --ensemble none",
            _ => "fit again",
        };
        let reason =
            format!("has no {missing} model: {way}, or name another with --fitted (`jhalak models ls --fitted`)");
        Err(RecommendError::Stored { file: MODEL.to_owned(), reason })
    }

    /// Starts a session of one viewer.
    ///
    /// # Errors
    /// A model that was not fitted, an index that does not exist, or a new movie with a known id.
    pub fn session(mut self, input: SessionInput, kind: ModelKind) -> Result<ViewerSession, RecommendError> {
        self.check(kind, RankBy::Like)?;
        let (now, user) = extended(&self.dataset, &input)?;
        if let Some(network) = &mut self.network {
            extend_tables(network, &self.dataset, &now, &input)?;
        }
        let (known, new) = (self.dataset.movies.len(), &now.movies[self.dataset.movies.len()..]);
        for stored in self.ensembles.iter_mut().filter(|_| !new.is_empty()) {
            let of = |movie: &Movie, track: Track| input.embeddings.get(&movie.id)?.get(track.name()).cloned();
            stored.add_trailers(known, |track| new.iter().map(|movie| of(movie, track)).collect())?;
        }
        Ok(ViewerSession::new(kind, self.dataset, (now, user), self.network, self.ensembles, self.watch))
    }
}

/// Returns the dataset with the session's movies and ratings, and the index of the viewer.
fn extended(dataset: &Dataset, input: &SessionInput) -> Result<(Dataset, u32), RecommendError> {
    let fail = |reason: String| Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    let mut now = dataset.clone();
    for movie in &input.movies {
        if now.movies.iter().any(|known| known.id == movie.id) {
            return fail(format!("the dataset already has the movie {}: remove it from the new movies", movie.id));
        }
        now.movies.push(movie.clone());
    }
    let user = match input.user {
        Some(user) if (user as usize) < now.users.len() => user,
        Some(user) => return fail(format!("user {user} does not exist")),
        None => {
            now.users.push(User { id: "(new viewer)".to_owned(), ..User::default() });
            now.users.len() as u32 - 1
        }
    };
    for &(movie, label) in &input.new_ratings {
        if movie as usize >= now.movies.len() {
            return fail(format!("movie {movie} does not exist"));
        }
        let at = now.ratings.partition_point(|rating| (rating.user, rating.movie) < (user, movie));
        let replaced = usize::from(now.ratings.get(at).is_some_and(|r| (r.user, r.movie) == (user, movie)));
        now.ratings.splice(at..at + replaced, [Rating { user, movie, label, half_stars: None }]);
        // A rating that is given with the query is the viewer's newest.
        if let Some(newest) = dataset.times().and_then(|times| times.iter().max()) {
            now.times.splice(at..at + replaced, [newest.saturating_add(1)]);
        }
    }
    Ok((now, user))
}

/// Adds the rows of new movies to the tables, where their embedding is known.
fn extend_tables(
    network: &mut FittedNetwork,
    dataset: &Dataset,
    now: &Dataset,
    input: &SessionInput,
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
                // Learned from the movies of the fit alone, so that their rows do not change.
                let fitted: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
                let with_new = Dataset { movies: now.movies.clone(), ..dataset.clone() };
                metadata::table(&with_new, &fitted, network.spec.seed)?.rows.split_off(known)
            }
            name => {
                new.iter().map(|movie| input.embeddings.get(&movie.id).and_then(|of| of.get(name)).cloned()).collect()
            }
        };
        let rows = match &mut side.head {
            Some(head) => {
                let raw = EmbeddingTable { dim: head.inputs, rows: rows.into() };
                if raw.rows.iter().any(Option::is_some) {
                    raw.check("new movies'", new.len())?;
                }
                head.head.embed(&raw).rows
            }
            None => rows.into(),
        };
        if rows.iter().flatten().any(|row| row.len() != side.table.dim) {
            let reason = format!("a new movie's row does not have the {} numbers of the fit", side.table.dim);
            return Err(RecommendError::Embedding { table: side.name, reason });
        }
        side.table.rows.extend(rows.iter().cloned());
    }
    Ok(())
}
