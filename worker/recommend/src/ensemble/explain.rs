//! Explains a prediction by genres and by the user's rated movies.

use super::FittedEnsemble;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Label;
use serde::{Deserialize, Serialize};

/// The reasons for a prediction that the user's known ratings give.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reasons {
    /// Genres of the movie that the user has rated, strongest leaning first.
    pub genres: Vec<GenreLeaning>,
    /// Rated movies most similar to this one, most similar first.
    #[serde(rename = "tokens")]
    pub similar: Vec<SimilarMovie>,
}

/// How a user's ratings of a genre differ from what the bias model expects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GenreLeaning {
    /// Index into the genre vocabulary.
    pub genre: usize,
    /// Rated movies of this genre.
    pub rated: usize,
    /// Mean of label minus expected probability of dislike, neutral, like; shrunk towards 0 where
    /// few movies are rated.
    pub beyond_expected: [f64; CLASSES],
}

/// A rated movie similar to the predicted one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimilarMovie {
    /// Index of the movie.
    pub movie: u32,
    /// The user's rating of it.
    pub label: Label,
    /// Similarity to the predicted movie, from 0 to 1: the mean over text, people, genres, years,
    /// all and the trailers, if they were read.
    #[serde(rename = "likeness")]
    pub similarity: f64,
}

impl FittedEnsemble {
    /// Returns the reasons for one prediction, with at most `most` movies.
    ///
    /// # Errors
    /// A user or movie that the dataset does not have.
    pub fn reasons(&self, user: u32, movie: u32, most: usize) -> Result<Reasons, RecommendError> {
        self.check_pair(user, movie)?;
        let (user, movie) = (user as usize, movie as usize);
        let mut genres: Vec<GenreLeaning> = (self.catalogue.content.genres(movie).iter().enumerate())
            .filter(|(_, hot)| **hot > 0.0)
            .map(|(genre, _)| {
                let (beyond_expected, rated) = self.knowledge.leaning(self.catalogue.genres, user, genre);
                GenreLeaning { genre, rated: rated as usize, beyond_expected }
            })
            .filter(|leaning| leaning.rated > 0)
            .collect();
        let strength = |leaning: &GenreLeaning| (leaning.beyond_expected[2] - leaning.beyond_expected[0]).abs();
        genres.sort_by(|a, b| strength(b).total_cmp(&strength(a)));
        let mut similar: Vec<SimilarMovie> = self
            .knowledge
            .known
            .of_user(user)
            .filter(|(pair, _)| pair.movie as usize != movie)
            .map(|(pair, _)| {
                let similarity: f64 = self.catalogue.content.similarity(movie, pair.movie as usize).iter().sum();
                let label = Label::ALL[usize::from(pair.label)];
                SimilarMovie {
                    movie: pair.movie,
                    label,
                    similarity: similarity / self.catalogue.content.kinds.len() as f64,
                }
            })
            .collect();
        similar.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        similar.truncate(most);
        Ok(Reasons { genres, similar })
    }
}
