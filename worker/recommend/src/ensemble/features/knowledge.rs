//! What one view has learned from the pairs it knows.

use super::people::People;
use super::user_attributes::{Attributes, UserScheme};
use crate::CLASSES;
use crate::ensemble::linear::mixed_logit::{Effects, Labelled, Sides};
use crate::ensemble::settings::{Part, Settings};
use crate::features::movie_content::{Content, LIKENESSES, Scheme};
use jhalak_common::dataset::Dataset;
use jhalak_nn::seeded;

/// Pairs by which a user's leaning towards one genre is drawn towards none.
const LEANING: f64 = 2.0;
/// Streams of the seed.
const FACTORS: u64 = 11;

/// What all views share: who and what there is, with vocabularies, scales and reductions learned from the movies and users of the
/// training pairs. No label is in it.
#[derive(Debug)]
pub struct Catalogue {
    /// Number of users.
    pub users: usize,
    /// Number of movies.
    pub movies: usize,
    /// Number of genres.
    pub genres: usize,
    /// Who is in which movie.
    pub people: People,
    /// The movies as numbers.
    pub content: Content,
    /// The users as numbers.
    pub attributes: Attributes,
    scheme: Scheme,
    user_scheme: UserScheme,
}

impl Catalogue {
    /// Of a dataset whose pairs `train` are known.
    pub fn new(dataset: &Dataset, train: &[u32], settings: &Settings, seed: u64) -> Self {
        let (mut movies, mut users) = (vec![false; dataset.movies.len()], vec![false; dataset.users.len()]);
        for &pair in train {
            movies[dataset.ratings[pair as usize].movie as usize] = true;
            users[dataset.ratings[pair as usize].user as usize] = true;
        }
        let scheme = Scheme::learn(dataset, &movies, settings.text_dims, seed);
        let user_scheme = UserScheme::learn(&dataset.users, &users);
        Self {
            users: users.len(),
            movies: movies.len(),
            genres: dataset.genres.len(),
            people: People::number(dataset),
            content: scheme.describe(&dataset.movies),
            attributes: user_scheme.describe(&dataset.users),
            scheme,
            user_scheme,
        }
    }

    /// The same scheme for another dataset, with new users and movies: columns stay what they are. `None` if its genres differ.
    pub fn applied_to(self, dataset: &Dataset) -> Option<Self> {
        (self.scheme.genres == dataset.genres).then(|| Self {
            users: dataset.users.len(),
            movies: dataset.movies.len(),
            people: People::number(dataset),
            content: self.scheme.describe(&dataset.movies),
            attributes: self.user_scheme.describe(&dataset.users),
            ..self
        })
    }

    /// What a model without content is given.
    pub fn plain(&self) -> Sides<'_> {
        let (users, movies) = (self.users, self.movies);
        Sides { users, movies, content: &[], content_dim: 0, attributes: &[], attribute_dim: 0 }
    }

    /// What the hierarchical model is given.
    pub fn sides(&self, settings: &Settings) -> Sides<'_> {
        let with = settings.has(Part::Attributes);
        Sides {
            content: &self.content.dense,
            content_dim: self.content.dims,
            attributes: if with { &self.attributes.dense } else { &[] },
            attribute_dim: if with { self.attributes.names.len() } else { 0 },
            ..self.plain()
        }
    }
}

/// Everything that features are made of.
#[derive(Debug)]
pub struct Knowledge {
    /// The known pairs, sorted by user.
    pub pairs: Vec<Labelled>,
    /// Those of a user: `first[user]..first[user + 1]`.
    pub first: Vec<usize>,
    /// What the bias model leaves unexplained of each known pair: label minus probability.
    pub residuals: Vec<[f64; CLASSES]>,
    /// Class counts of each user.
    pub user_counts: Vec<[f64; CLASSES]>,
    /// Class counts of each movie.
    pub movie_counts: Vec<[f64; CLASSES]>,
    /// Class shares of all known pairs.
    pub overall: [f64; CLASSES],
    /// users x classes x genres: sums of the genre vectors (paper, section 6).
    pub genre_sums: Vec<f32>,
    /// users x genres x (classes of residuals, pairs).
    pub genre_residuals: Vec<[f64; CLASSES + 1]>,
    /// The user + movie bias model.
    pub bias: Effects,
    /// With factors.
    pub factors: Option<Effects>,
    /// With content.
    pub hierarchical: Option<Effects>,
    /// Class counts of everybody in the movies.
    pub people_counts: Vec<[f64; CLASSES]>,
    /// How movies like this one fared: movies x likenesses.
    pub neighbours: Vec<[[f64; CLASSES]; LIKENESSES.len()]>,
}

impl Knowledge {
    /// Learns from the `known` pairs (indexes into the ratings, sorted) and from nothing else.
    pub fn learn(dataset: &Dataset, catalogue: &Catalogue, known: &[u32], settings: &Settings, seed: u64) -> Self {
        let pairs: Vec<Labelled> = known.iter().map(|&pair| labelled(dataset, pair)).collect();
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
        let fit = |sides: &Sides<'_>, factors, penalties, stream| {
            Effects::fit(&pairs, sides, factors, penalties, even, &mut seeded(seed, stream))
        };
        let bias = fit(&plain, 0, &settings.bias, FACTORS);
        let factors = settings.has(Part::Factors).then(|| fit(&plain, settings.factors, &settings.bias, FACTORS + 1));
        let full = catalogue.sides(settings);
        let wanted = settings.has(Part::Hierarchical) || settings.has(Part::HierarchicalAlone);
        let hierarchical = wanted.then(|| fit(&full, 0, &settings.hierarchical, FACTORS + 2));

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
        Self {
            pairs,
            first,
            residuals,
            user_counts,
            movie_counts,
            overall,
            genre_sums,
            genre_residuals,
            bias,
            factors,
            hierarchical,
            people_counts,
            neighbours,
        }
    }

    /// What the user thinks of a genre beyond what the bias model says, drawn towards nothing, and how many movies say so.
    pub fn leaning(&self, genres: usize, user: usize, genre: usize) -> ([f64; CLASSES], f64) {
        let sums = self.genre_residuals[user * genres + genre];
        (std::array::from_fn(|c| sums[c] / (sums[CLASSES] + LEANING)), sums[CLASSES])
    }

    /// The known pairs of a user, with what the bias model leaves unexplained of each.
    pub fn of_user(&self, user: usize) -> impl Iterator<Item = (&Labelled, &[f64; CLASSES])> {
        let own = self.first[user]..self.first[user + 1];
        self.pairs[own.clone()].iter().zip(&self.residuals[own])
    }
}

/// The pair at this place of the ratings.
pub fn labelled(dataset: &Dataset, pair: u32) -> Labelled {
    let rating = dataset.ratings[pair as usize];
    Labelled { user: rating.user, movie: rating.movie, label: rating.label as u8 }
}

/// Movie terms of the bias model, averaged over the other movies by likeness.
fn neighbours(content: &Content, bias: &Effects, counts: &[[f64; CLASSES]]) -> Vec<[[f64; CLASSES]; LIKENESSES.len()]> {
    /// Likeness that must come together for the neighbours to be believed half.
    const DOUBT: f64 = 0.3;
    let known: Vec<(usize, [f64; CLASSES], f64)> = (0..counts.len())
        .map(|movie| (movie, bias.movie_terms(movie), counts[movie].iter().sum::<f64>()))
        .filter(|(_, _, pairs)| *pairs > 0.0)
        .map(|(movie, terms, pairs)| (movie, terms, pairs / (pairs + 5.0)))
        .collect();
    (0..counts.len())
        .map(|movie| {
            let mut sums = [[0.0; CLASSES]; LIKENESSES.len()];
            let mut weights = [DOUBT; LIKENESSES.len()];
            for (other, terms, trust) in known.iter().filter(|(other, _, _)| *other != movie) {
                for (way, likeness) in content.likeness(movie, *other).into_iter().enumerate() {
                    let weight = likeness * likeness * trust;
                    weights[way] += weight;
                    (0..CLASSES).for_each(|c| sums[way][c] += weight * terms[c]);
                }
            }
            for (sums, weight) in sums.iter_mut().zip(weights) {
                sums.iter_mut().for_each(|sum| *sum /= weight);
            }
            sums
        })
        .collect()
}
