//! Explains a prediction by genres and by the viewer's rated movies.

use super::network::FittedNetwork;
use crate::CLASSES;
use crate::ensemble::Reasons;
use crate::features::embedding::EmbeddingTable;
use crate::features::gl_score::gl_score;
use crate::ranking::WatchModel;
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::GlSettings;
use jhalak_common::evaluation::metrics::PerClass;
use serde::{Deserialize, Serialize};

/// The GL-score as a share; 0.5 where the viewer rated none of the genres.
const GL: GlSettings = GlSettings { undefined: 0.5, scale: 1.0 };

/// The explanation of a prediction. The viewer's own rating of the movie is not used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The GL-score: the liked share of the viewer's ratings in the movie's genres, neutral
    /// counting half; none where no genre of the movie was rated.
    pub gl_score: Option<f32>,
    /// Genres of the movie that the viewer has rated, strongest first.
    pub genres: Vec<GenreReason>,
    /// Rated movies most similar to the movie, most similar first.
    pub neighbours: Vec<Neighbour>,
    /// Rated movies whose viewers watch and like this one more (or less) than others, strongest
    /// first: see [`crate::ranking::ease`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared_viewers: Vec<SharedViewers>,
    /// Ratings of the movie by other viewers.
    pub others: PerClass<u64>,
    /// The viewer's ratings of other movies.
    pub viewer: PerClass<u64>,
}

/// A genre of the movie, and the viewer's ratings of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenreReason {
    /// The genre.
    pub genre: String,
    /// The viewer's ratings of its movies.
    pub rated: PerClass<u64>,
    /// How much more the viewer likes its movies than the bias model expects, from -1 to 1;
    /// ensemble only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaning: Option<f64>,
}

/// A rated movie that is similar to the predicted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its id.
    pub movie: String,
    /// Its title.
    pub name: String,
    /// The viewer's rating.
    pub rated: Label,
    /// Similarity to the predicted movie: of content, from 0 to 1 (ensemble), or the cosine of the
    /// embeddings (network).
    #[serde(rename = "likeness")]
    pub similarity: f64,
}

/// A rated movie that shares viewers with the predicted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedViewers {
    /// Its id.
    pub movie: String,
    /// Its title.
    pub name: String,
    /// The viewer's rating.
    pub rated: Label,
    /// Its share of the score of the predicted movie: above 0 speaks for it, below 0 against it.
    pub weight: f32,
}

impl Explanation {
    /// Puts in the `most` rated movies whose shared viewers say most, for and against.
    pub(super) fn set_shared_viewers(
        &mut self,
        dataset: &Dataset,
        user: u32,
        movie: u32,
        history: &[(u32, f32)],
        watch: &WatchModel,
        most: usize,
    ) {
        let mut all: Vec<(f32, u32)> = (history.iter())
            .filter(|(rated, _)| *rated != movie)
            .map(|(rated, weight)| (weight * watch.between(*rated, movie), *rated))
            .filter(|(weight, _)| *weight != 0.0)
            .collect();
        all.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(&b.1)));
        let label = |rated: u32| {
            let at = dataset.ratings.binary_search_by_key(&(user, rated), |rating| (rating.user, rating.movie));
            at.ok().map(|at| dataset.ratings[at].label)
        };
        self.shared_viewers = (all.into_iter().take(most))
            .filter_map(|(weight, rated)| {
                let of = &dataset.movies[rated as usize];
                Some(SharedViewers { movie: of.id.clone(), name: of.name.clone(), rated: label(rated)?, weight })
            })
            .collect();
    }
}

/// Explains one prediction. `reasons` are those of the ensemble, if it predicts.
pub fn explain(
    dataset: &Dataset,
    user: u32,
    movie: u32,
    most: usize,
    reasons: Option<&Reasons>,
    network: Option<&FittedNetwork>,
) -> Explanation {
    let own = || dataset.ratings.iter().filter(move |rating| rating.user == user && rating.movie != movie);
    let count = |counts: &mut [u64; CLASSES], label: Label| counts[label.index()] += 1;
    let (mut others, mut viewer) = ([0; CLASSES], [0; CLASSES]);
    for rating in dataset.ratings.iter().filter(|rating| rating.movie == movie && rating.user != user) {
        count(&mut others, rating.label);
    }
    own().for_each(|rating| count(&mut viewer, rating.label));

    let hot = EmbeddingTable::genres(dataset);
    let row = |movie: u32| hot.row(movie).unwrap_or(&[]);
    let mut sums = vec![vec![0.0_f32; hot.dim]; CLASSES];
    for rating in own() {
        for (sum, hot) in sums[rating.label.index()].iter_mut().zip(row(rating.movie)) {
            *sum += hot;
        }
    }
    let rated_any = row(movie).iter().enumerate().any(|(g, &hot)| hot > 0.0 && sums.iter().any(|sum| sum[g] > 0.0));
    let gl = gl_score(row(movie), [&sums[0], &sums[1], &sums[2]], false, &GL);

    let mut genres = Vec::new();
    for (g, genre) in dataset.genres.iter().enumerate().filter(|(g, _)| row(movie)[*g] > 0.0) {
        let rated: [u64; CLASSES] = std::array::from_fn(|c| sums[c][g] as u64);
        if rated.iter().sum::<u64>() == 0 {
            continue;
        }
        let leaning = reasons.and_then(|reasons| reasons.genres.iter().find(|leaning| leaning.genre == g));
        let leaning = leaning.map(|leaning| leaning.beyond_expected[2] - leaning.beyond_expected[0]);
        let [dislike, neutral, like] = rated.map(|n| n as f64);
        // Without the ensemble: likes minus dislikes as a share, shrunk towards 0 where few are
        // rated.
        let strength = leaning.unwrap_or((like - dislike) / (dislike + neutral + like + 2.0)).abs();
        genres.push((strength, GenreReason { genre: genre.clone(), rated: rated.into(), leaning }));
    }
    genres.sort_by(|a, b| b.0.total_cmp(&a.0));

    let named = |movie: u32, rated: Label, similarity: f64| {
        let of = &dataset.movies[movie as usize];
        Neighbour { movie: of.id.clone(), name: of.name.clone(), rated, similarity }
    };
    let neighbours = match (reasons, network) {
        (Some(reasons), _) => {
            reasons.similar.iter().map(|movie| named(movie.movie, movie.label, movie.similarity)).collect()
        }
        (None, Some(network)) => {
            let mut all: Vec<(f64, u32, Label)> = own()
                .filter_map(|rating| Some((cosine(network, movie, rating.movie)?, rating.movie, rating.label)))
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.into_iter().take(most).map(|(similarity, movie, label)| named(movie, label, similarity)).collect()
        }
        (None, None) => Vec::new(),
    };
    Explanation {
        gl_score: rated_any.then_some(gl),
        genres: genres.into_iter().map(|(_, reason)| reason).collect(),
        neighbours,
        shared_viewers: Vec::new(),
        others: others.into(),
        viewer: viewer.into(),
    }
}

/// Returns the cosine of two movies' embeddings, averaged over the modalities; none without an
/// embedding.
fn cosine(network: &FittedNetwork, a: u32, b: u32) -> Option<f64> {
    let mut sum = 0.0;
    for side in &network.sides {
        let (a, b) = (side.table.row(a)?, side.table.row(b)?);
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
        let norm = (dot(a, a) * dot(b, b)).sqrt();
        sum += if norm > 0.0 { dot(a, b) / norm } else { 0.0 };
    }
    Some(sum / network.sides.len().max(1) as f64)
}
