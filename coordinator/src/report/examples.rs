//! Example recommendations: what the final model recommends to a few viewers, and why.

use serde::{Deserialize, Serialize};

use super::number::{count, counted, percent};

/// What is recommended to one viewer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The viewer's id.
    pub user: String,
    /// The viewer's ratings: dislike, neutral, like.
    pub ratings: [u64; 3],
    /// What answers: `ensemble`, `classifier` or `ann`.
    pub model: String,
    /// The number of movies to choose from: those that the viewer has not rated.
    pub candidates: u64,
    /// The best of them by the probability of like, best first.
    pub movies: Vec<Recommended>,
}

/// A recommended movie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// Its id.
    pub movie: String,
    /// Its title.
    pub title: String,
    /// Its year.
    pub year: Option<i32>,
    /// The probabilities of dislike, neutral and like.
    pub probabilities: [f32; 3],
    /// What speaks for it.
    pub pro: Vec<String>,
    /// What speaks against it.
    pub contra: Vec<String>,
}

/// An example as the page shows it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    user: &'a str,
    about: String,
    movies: Vec<ShownMovie<'a>>,
}

#[derive(Serialize)]
struct ShownMovie<'a> {
    title: &'a str,
    year: Option<i32>,
    like: String,
    neutral: String,
    dislike: String,
    pro: &'a [String],
    contra: &'a [String],
}

/// Lays out the examples.
pub(super) fn shown(examples: &[Example]) -> Vec<Shown<'_>> {
    examples.iter().map(Shown::of).collect()
}

impl<'a> Shown<'a> {
    fn of(example: &'a Example) -> Self {
        let [dislike, neutral, like] = example.ratings;
        let rated = counted(dislike + neutral + like, "rating");
        let about = format!(
            "{rated}: {} like, {} neutral, {} dislike. By the {}, of {} not rated yet.",
            count(like),
            count(neutral),
            count(dislike),
            example.model,
            counted(example.candidates, "movie"),
        );
        let movie = |movie: &'a Recommended| {
            let [dislike, neutral, like] = movie.probabilities.map(|p| percent(p.into()));
            let (title, year) = (movie.title.as_str(), movie.year);
            ShownMovie { title, year, like, neutral, dislike, pro: &movie.pro, contra: &movie.contra }
        };
        Shown { user: &example.user, about, movies: example.movies.iter().map(movie).collect() }
    }
}
