//! Statistics that one out-of-fold view learns from its known pairs.

use super::known_pairs::KnownPairs;
use super::people::People;
use super::shared_viewers::SharedViewers;
use super::user_attributes::{UserAttributes, UserEncoder};
use crate::CLASSES;
use crate::ensemble::factorisation::{FactorisationMachine, Levels};
use crate::ensemble::linear::mixed_logit::{LabelledPair, MixedLogit, SideInfo};
use crate::ensemble::settings::{Part, Settings};
use crate::features::movie_content::{Extras, MovieContent, MovieEncoder, SIMILARITIES};
use crate::features::principal_components::Components;
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;

/// Strength, in pairs, with which a user's leaning towards a genre is shrunk towards 0.
const LEANING: f64 = 2.0;
/// Streams of the seed.
const FACTORS: u64 = 11;

/// The inputs that all views share: users and movies as numbers, with vocabularies, scales and
/// reductions learned from the users and movies of the training pairs. Reads no label.
#[derive(Debug)]
pub struct Catalogue {
    /// Number of users.
    pub users: usize,
    /// Number of movies.
    pub movies: usize,
    /// Number of genres.
    pub genres: usize,
    /// Cast, directors and writers of each movie.
    pub people: People,
    /// Encoded movies.
    pub content: MovieContent,
    /// Encoded users.
    pub attributes: UserAttributes,
    movie_encoder: MovieEncoder,
    user_encoder: UserEncoder,
}

impl Catalogue {
    /// Learns the encoders from the users and movies of the pairs `train`.
    pub fn new(dataset: &Dataset, train: &[u32], trailers: Vec<Components>, settings: &Settings, seed: u64) -> Self {
        let (mut movies, mut users) = (vec![false; dataset.movies.len()], vec![false; dataset.users.len()]);
        for &pair in train {
            movies[dataset.ratings[pair as usize].movie as usize] = true;
            users[dataset.ratings[pair as usize].user as usize] = true;
        }
        let extras = Extras { columns: settings.content_columns.clone(), trailers };
        let movie_encoder = MovieEncoder::learn(dataset, &movies, &extras, settings.text_dims, seed);
        let user_encoder = UserEncoder::learn(&dataset.users, &users);
        Self {
            users: users.len(),
            movies: movies.len(),
            genres: dataset.genres.len(),
            people: People::of(dataset),
            content: movie_encoder.encode(&dataset.movies),
            attributes: user_encoder.encode(&dataset.users),
            movie_encoder,
            user_encoder,
        }
    }

    /// Encodes another dataset, which may have new users and movies, into the same columns. Returns
    /// `None` if its genres differ.
    pub fn applied_to(self, dataset: &Dataset) -> Option<Self> {
        (self.movie_encoder.genres == dataset.genres).then(|| Self {
            users: dataset.users.len(),
            movies: dataset.movies.len(),
            people: People::of(dataset),
            content: self.movie_encoder.encode(&dataset.movies),
            attributes: self.user_encoder.encode(&dataset.users),
            ..self
        })
    }

    /// Returns the side information of a model without content.
    pub fn plain(&self) -> SideInfo<'_> {
        let (users, movies) = (self.users, self.movies);
        SideInfo { users, movies, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 }
    }

    /// Returns the side information of the hierarchical model.
    pub fn side_info(&self, settings: &Settings) -> SideInfo<'_> {
        let with = settings.has(Part::Attributes);
        SideInfo {
            content: &self.content.dense,
            content_dim: self.content.dims,
            attributes: if with { &self.attributes.dense } else { &[] },
            attribute_dim: if with { self.attributes.names.len() } else { 0 },
            ..self.plain()
        }
    }
}

/// Statistics and models that features are computed from.
#[derive(Debug)]
pub struct Knowledge {
    /// The known pairs.
    pub known: KnownPairs,
    /// Class counts of each user.
    pub user_counts: Vec<[f64; CLASSES]>,
    /// Class counts of each movie.
    pub movie_counts: Vec<[f64; CLASSES]>,
    /// Class shares of all known pairs.
    pub overall: [f64; CLASSES],
    /// users x classes x genres: sums of the genre vectors (the paper's GL-score).
    pub genre_sums: Vec<f32>,
    /// users x genres x (classes of residuals, pairs).
    pub genre_residuals: Vec<[f64; CLASSES + 1]>,
    /// The user + movie bias model.
    pub bias: MixedLogit,
    /// The bias model with factors.
    pub factors: Option<MixedLogit>,
    /// The bias model with content.
    pub hierarchical: Option<MixedLogit>,
    /// The Bayesian factorisation machine.
    pub machine: Option<FactorisationMachine>,
    /// The viewers of each movie.
    pub shared_viewers: SharedViewers,
    /// Class counts of each person over the movies.
    pub people_counts: Vec<[f64; CLASSES]>,
    /// Movie terms averaged over similar movies: movies x similarities.
    pub neighbours: Vec<[[f64; CLASSES]; SIMILARITIES.len()]>,
}

impl Knowledge {
    /// Learns from the `known` pairs (indexes of ratings, sorted) and no other rating.
    pub fn learn(dataset: &Dataset, catalogue: &Catalogue, known: &[u32], settings: &Settings, seed: u64) -> Self {
        Self::learn_with(None, dataset, catalogue, known, settings, seed)
    }

    /// Does the same with the factorisation machine of an earlier, equal call.
    pub fn learn_with(
        machine: Option<FactorisationMachine>,
        dataset: &Dataset,
        catalogue: &Catalogue,
        known: &[u32],
        settings: &Settings,
        seed: u64,
    ) -> Self {
        let pairs: Vec<LabelledPair> = known.iter().map(|&pair| labelled_pair(dataset, pair)).collect();
        let (users, movies, genres) = (catalogue.users, catalogue.movies, catalogue.genres);
        let mut first = vec![0; users + 1];
        let mut user_counts = vec![[0.0; CLASSES]; users];
        let mut movie_counts = vec![[0.0; CLASSES]; movies];
        let mut overall = [0.0; CLASSES];
        for pair in &pairs {
            let (user, movie, label) = (pair.user as usize, pair.movie as usize, usize::from(pair.label));
            first[user + 1] += 1;
            user_counts[user][label] += 1.0;
            movie_counts[movie][label] += 1.0;
            overall[label] += 1.0 / pairs.len() as f64;
        }
        (0..users).for_each(|user| first[user + 1] += first[user]);

        let (content, plain) = (&catalogue.content, catalogue.plain());
        let even = [1.0; CLASSES];
        let fit = |side_info: &SideInfo<'_>, factors, penalties, stream| {
            MixedLogit::fit(&pairs, side_info, factors, penalties, even, &mut seeded(seed, stream))
        };
        let bias = fit(&plain, 0, &settings.bias, FACTORS);
        let factors = settings.has(Part::Factors).then(|| fit(&plain, settings.factors, &settings.bias, FACTORS + 1));
        let full = catalogue.side_info(settings);
        let wanted = settings.has(Part::Hierarchical) || settings.has(Part::HierarchicalAlone);
        let hierarchical = wanted.then(|| fit(&full, 0, &settings.hierarchical, FACTORS + 2));

        let wanted = settings.has(Part::FactorisationMachine) || settings.has(Part::FactorisationAlone);
        let machine = machine.or_else(|| {
            if !wanted {
                return None;
            }
            let random = &mut seeded(seed, FACTORS + 3);
            let levels = Levels::of(known.iter().map(|&pair| dataset.ratings[pair as usize]));
            Some(FactorisationMachine::fit(&pairs, &levels, &full, &settings.factorisation, random))
        });

        let mut genre_sums = vec![0.0; users * CLASSES * genres];
        let mut genre_residuals = vec![[0.0; CLASSES + 1]; users * genres];
        let mut residuals = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            let (user, label) = (pair.user as usize, usize::from(pair.label));
            let p = bias.probabilities(&plain, user, pair.movie as usize);
            let residual: [f64; CLASSES] = std::array::from_fn(|c| f64::from(u8::from(c == label)) - p[c]);
            residuals.push(residual);
            for (genre, &hot) in content.genres(pair.movie as usize).iter().enumerate() {
                genre_sums[(user * CLASSES + label) * genres + genre] += hot;
                let sums = &mut genre_residuals[user * genres + genre];
                (0..CLASSES).for_each(|c| sums[c] += f64::from(hot) * residual[c]);
                sums[CLASSES] += f64::from(hot);
            }
        }
        let neighbours =
            if settings.has(Part::Neighbours) { neighbours(content, &bias, &movie_counts) } else { Vec::new() };
        let people_counts = catalogue.people.counts(&pairs);
        let known = KnownPairs { pairs, first, residuals };
        let shared_viewers = SharedViewers::learn(movies, &known);
        Self {
            known,
            user_counts,
            movie_counts,
            overall,
            genre_sums,
            genre_residuals,
            bias,
            factors,
            hierarchical,
            machine,
            shared_viewers,
            people_counts,
            neighbours,
        }
    }

    /// Returns the user's leaning towards a genre (mean residual of the bias model, shrunk towards
    /// 0) and the number of rated movies of the genre.
    pub fn leaning(&self, genres: usize, user: usize, genre: usize) -> ([f64; CLASSES], f64) {
        let sums = self.genre_residuals[user * genres + genre];
        (std::array::from_fn(|c| sums[c] / (sums[CLASSES] + LEANING)), sums[CLASSES])
    }
}

/// Returns the pair at this index of the ratings.
pub fn labelled_pair(dataset: &Dataset, pair: u32) -> LabelledPair {
    let rating = dataset.ratings[pair as usize];
    LabelledPair { user: rating.user, movie: rating.movie, label: rating.label as u8 }
}

/// Averages the bias model's movie terms over the other movies, weighted by squared similarity.
fn neighbours(
    content: &MovieContent,
    bias: &MixedLogit,
    counts: &[[f64; CLASSES]],
) -> Vec<[[f64; CLASSES]; SIMILARITIES.len()]> {
    /// Total weight of neighbours at which the average counts half.
    const HALF_WEIGHT: f64 = 0.3;
    let known: Vec<(usize, [f64; CLASSES], f64)> = (0..counts.len())
        .map(|movie| (movie, bias.movie_terms(movie), counts[movie].iter().sum::<f64>()))
        .filter(|(_, _, pairs)| *pairs > 0.0)
        .map(|(movie, terms, pairs)| (movie, terms, pairs / (pairs + 5.0)))
        .collect();
    (0..counts.len())
        .map(|movie| {
            let mut sums = [[0.0; CLASSES]; SIMILARITIES.len()];
            let mut weights = [HALF_WEIGHT; SIMILARITIES.len()];
            for (other, terms, trust) in known.iter().filter(|(other, _, _)| *other != movie) {
                for (kind, similarity) in content.similarity(movie, *other).into_iter().enumerate() {
                    let weight = similarity * similarity * trust;
                    weights[kind] += weight;
                    (0..CLASSES).for_each(|c| sums[kind][c] += weight * terms[c]);
                }
            }
            for (sums, weight) in sums.iter_mut().zip(weights) {
                sums.iter_mut().for_each(|sum| *sum /= weight);
            }
            sums
        })
        .collect()
}
