//! Why a movie is predicted as it is: the genres and the viewer's own rated movies that carry it.

use super::network::FittedNetwork;
use crate::CLASSES;
use crate::ensemble::Reasons;
use crate::features::embedding::EmbeddingTable;
use crate::features::genre_like::gl_score;
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::GlSettings;
use jhalak_common::evaluation::metrics::PerClass;
use serde::{Deserialize, Serialize};

/// GL-score as a share, undecided where nothing is known.
const GL: GlSettings = GlSettings { undefined: 0.5, scale: 1.0 };

/// What speaks for and against a movie. The viewer's own rating of it, if there is one, is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The GL-score: how much of the viewer's rated genres that the movie has is liked, neutral counting half; none where no genre of it was rated.
    pub gl_score: Option<f32>,
    /// The movie's genres that the viewer has rated, the strongest first.
    pub genres: Vec<GenreReason>,
    /// The viewer's rated movies that are most like it, the most alike first.
    pub neighbours: Vec<Neighbour>,
    /// How the other viewers rated the movie.
    pub others: PerClass<u64>,
    /// How the viewer rated other movies.
    pub viewer: PerClass<u64>,
}

/// What the viewer thinks of a genre.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenreReason {
    /// The genre.
    pub genre: String,
    /// The viewer's ratings of its movies.
    pub rated: PerClass<u64>,
    /// How much more the viewer likes its movies than the viewer and the movies let expect, from -1 to 1; negative for less. Of the honest model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaning: Option<f64>,
}

/// A movie that the viewer has rated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its id.
    pub movie: String,
    /// Its title.
    pub name: String,
    /// What the viewer said of it.
    pub rated: Label,
    /// How like the movie it is: from 0 to 1 in content (honest model), or the cosine of the embeddings (network).
    pub likeness: f64,
}

/// The reasons for one pair. `reasons` are the honest model's, where that is asked.
pub fn why(
    dataset: &Dataset,
    user: u32,
    movie: u32,
    most: usize,
    reasons: Option<&Reasons>,
    network: Option<&FittedNetwork>,
) -> Why {
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
        // Without the honest model: how far the liked share is from an even one, drawn towards it where few are rated.
        let strength = leaning.unwrap_or((like - dislike) / (dislike + neutral + like + 2.0)).abs();
        genres.push((strength, GenreReason { genre: genre.clone(), rated: rated.into(), leaning }));
    }
    genres.sort_by(|a, b| b.0.total_cmp(&a.0));

    let named = |movie: u32, rated: Label, likeness: f64| {
        let of = &dataset.movies[movie as usize];
        Neighbour { movie: of.id.clone(), name: of.name.clone(), rated, likeness }
    };
    let neighbours = match (reasons, network) {
        (Some(reasons), _) => {
            reasons.tokens.iter().map(|token| named(token.movie, token.label, token.likeness)).collect()
        }
        (None, Some(network)) => {
            let mut all: Vec<(f64, u32, Label)> = own()
                .filter_map(|rating| Some((cosine(network, movie, rating.movie)?, rating.movie, rating.label)))
                .collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            all.into_iter().take(most).map(|(likeness, movie, label)| named(movie, label, likeness)).collect()
        }
        (None, None) => Vec::new(),
    };
    Why {
        gl_score: rated_any.then_some(gl),
        genres: genres.into_iter().map(|(_, reason)| reason).collect(),
        neighbours,
        others: others.into(),
        viewer: viewer.into(),
    }
}

/// Mean over the modalities of the cosine of two movies' embeddings; none where one has no embedding.
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
