//! Why a pair is predicted as it is: the genres and the user's own rated movies that carry it.

use super::Fitted;
use crate::features::movie_content::LIKENESSES;
use crate::{CLASSES, RecommendError};
use jhalak_common::dataset::Label;
use serde::{Deserialize, Serialize};

/// What speaks for and against a movie, as far as the user's known ratings tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reasons {
    /// The movie's genres that the user rated, the strongest leaning first.
    pub genres: Vec<Leaning>,
    /// The user's rated movies that are most like this one, the most alike first.
    pub tokens: Vec<Token>,
}

/// What a user thinks of a genre beyond what is to be expected of the user and of the movies.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leaning {
    /// Index into the genre vocabulary.
    pub genre: usize,
    /// Rated movies of this genre.
    pub rated: usize,
    /// Mean of label minus expected probability of dislike, neutral, like; drawn towards 0 where few are rated.
    pub beyond_expected: [f64; CLASSES],
}

/// A rated movie that the prediction attends to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Index of the movie.
    pub movie: u32,
    /// What the user gave it.
    pub label: Label,
    /// How like the predicted movie it is, from 0 to 1: the mean over text, people, genres, years and all together.
    pub likeness: f64,
}

impl Fitted {
    /// The reasons for one pair, at most `most` movies.
    ///
    /// # Errors
    /// A user or movie that the dataset does not have.
    pub fn reasons(&self, user: u32, movie: u32, most: usize) -> Result<Reasons, RecommendError> {
        self.check_pair(user, movie)?;
        let (user, movie) = (user as usize, movie as usize);
        let mut genres: Vec<Leaning> = (self.catalogue.content.genres(movie).iter().enumerate())
            .filter(|(_, hot)| **hot > 0.0)
            .map(|(genre, _)| {
                let (beyond_expected, rated) = self.knowledge.leaning(self.catalogue.genres, user, genre);
                Leaning { genre, rated: rated as usize, beyond_expected }
            })
            .filter(|leaning| leaning.rated > 0)
            .collect();
        let strength = |leaning: &Leaning| (leaning.beyond_expected[2] - leaning.beyond_expected[0]).abs();
        genres.sort_by(|a, b| strength(b).total_cmp(&strength(a)));
        let mut tokens: Vec<Token> = self
            .knowledge
            .of_user(user)
            .filter(|(pair, _)| pair.movie as usize != movie)
            .map(|(pair, _)| {
                let likeness: f64 = self.catalogue.content.likeness(movie, pair.movie as usize).iter().sum();
                let label = Label::ALL[usize::from(pair.label)];
                Token { movie: pair.movie, label, likeness: likeness / LIKENESSES.len() as f64 }
            })
            .collect();
        tokens.sort_by(|a, b| b.likeness.total_cmp(&a.likeness));
        tokens.truncate(most);
        Ok(Reasons { genres, tokens })
    }
}
