//! A dataset restricted to some of its movies.

use std::collections::BTreeSet;
use std::io::Read;

use super::normal_form::Rating;
use super::readers::json_lines::{Line, Lines};
use super::readers::reading::Reading;
use super::readers::reject::{Kind, Rejects, excerpt};
use crate::error::{Error, Result};

impl Reading {
    /// Restricts the dataset to the movies in `list`, one id per line; empty lines and lines that
    /// start with `#` are skipped. Ratings of other movies are removed, and users without a
    /// remaining rating are counted in [`Reading::users_without_ratings`]. The genre vocabulary
    /// stays the same, so that genre vectors keep their form. An id in the list that is not in the
    /// dataset is a reject.
    ///
    /// # Errors
    /// Invalid input if no id is known or no rating is left, and any error from reading the list.
    pub fn subset(self, list_name: &str, list: impl Read) -> Result<Reading> {
        let mut rejects = Rejects::after(self.rejects, self.rejected);
        let mut wanted = BTreeSet::new();
        let mut lines = Lines::new(list_name, Box::new(list));
        while let Some((number, line)) = lines.next()? {
            let text = match line {
                Line::Text(text) => String::from_utf8_lossy(text).trim().to_owned(),
                Line::TooLong => "a line that is too long".to_owned(),
            };
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            match self.dataset.find_movie(&text) {
                Some(index) => drop(wanted.insert(index)),
                None => rejects.add(
                    Kind::Other,
                    list_name,
                    Some(number),
                    excerpt(&text),
                    "the dataset has no movie with this id",
                ),
            }
        }
        if wanted.is_empty() {
            return Err(Error::invalid(format!("{list_name}: no line is the id of a movie in the dataset")));
        }

        let mut dataset = self.dataset;
        let movies: Vec<bool> = (0..dataset.movies.len()).map(|movie| wanted.contains(&movie)).collect();
        if !dataset.times.is_empty() {
            let stays = dataset.ratings.iter().map(|rating| movies[rating.movie as usize]).collect::<Vec<_>>();
            dataset.times = kept(dataset.times, &stays);
        }
        dataset.ratings.retain(|rating| movies[rating.movie as usize]);
        if dataset.ratings.is_empty() {
            return Err(Error::invalid(format!("{list_name}: its movies have no ratings")));
        }
        let mut users = vec![false; dataset.users.len()];
        dataset.ratings.iter().for_each(|rating| users[rating.user as usize] = true);
        let (movie_places, user_places) = (places(&movies), places(&users));
        for rating in &mut dataset.ratings {
            *rating = Rating {
                user: user_places[rating.user as usize],
                movie: movie_places[rating.movie as usize],
                ..*rating
            };
        }
        let users_before = dataset.users.len();
        let kept_movies = dataset.movies.scan().zip(&movies).filter(|(_, keep)| **keep);
        dataset.movies = kept_movies.map(|(movie, _)| movie.into_owned()).collect();
        dataset.users = kept(dataset.users, &users);
        let mut trailers = self.trailers;
        trailers.retain(|id| dataset.movie_index(id).is_some());
        let mut other_trailers = self.other_trailers;
        other_trailers.retain(|id, _| dataset.movie_index(id).is_some());
        Ok(Reading {
            users_without_ratings: self.users_without_ratings + (users_before - dataset.users.len()) as u64,
            dataset,
            trailers,
            other_trailers,
            rejects: rejects.listed,
            rejected: rejects.count,
            ..self
        })
    }
}

/// Returns the new index of each kept item; the values of the others are meaningless.
fn places(keep: &[bool]) -> Vec<u32> {
    let mut next = 0;
    let mut place = |keep: bool| {
        let here = next;
        next += u32::from(keep);
        here
    };
    keep.iter().map(|&keep| place(keep)).collect()
}

fn kept<T>(all: Vec<T>, keep: &[bool]) -> Vec<T> {
    all.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(item, _)| item).collect()
}
