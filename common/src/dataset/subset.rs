//! A dataset restricted to some of its movies.

use std::collections::BTreeSet;
use std::io::Read;

use super::normal_form::Rating;
use super::readers::json_lines::{Line, Lines};
use super::readers::reject::{Rejects, excerpt};
use super::reading::Reading;
use crate::error::{Error, Result};

impl Reading {
    /// Restricts the dataset to the movies whose ids the list names, one a line; empty lines and lines that begin with `#` are passed
    /// over. Ratings of other movies go, and users left without any, counted in [`Reading::users_without_ratings`]. The genre
    /// vocabulary stays that of the whole, so that genre vectors of both have the same form. An id that is in the list and not in the
    /// dataset is a reject.
    ///
    /// # Errors
    /// Invalid input where none of the ids is known or no rating is left, and what reading the list fails with.
    pub fn subset(self, list_name: &str, list: impl Read) -> Result<Reading> {
        let mut rejects = Rejects { listed: self.rejects, count: self.rejected };
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
            match self.dataset.movie_index(&text) {
                Some(index) => drop(wanted.insert(index)),
                None => rejects.add(list_name, Some(number), excerpt(&text), "no movie of this id in the dataset"),
            }
        }
        if wanted.is_empty() {
            return Err(Error::invalid(format!("{list_name}: none of its lines is the id of a movie in the dataset")));
        }

        let mut dataset = self.dataset;
        let movies: Vec<bool> = (0..dataset.movies.len()).map(|movie| wanted.contains(&movie)).collect();
        dataset.ratings.retain(|rating| movies[rating.movie as usize]);
        if dataset.ratings.is_empty() {
            return Err(Error::invalid(format!("{list_name}: nobody rated any of its movies")));
        }
        let mut users = vec![false; dataset.users.len()];
        dataset.ratings.iter().for_each(|rating| users[rating.user as usize] = true);
        let (movie_places, user_places) = (places(&movies), places(&users));
        for rating in &mut dataset.ratings {
            *rating = Rating {
                user: user_places[rating.user as usize],
                movie: movie_places[rating.movie as usize],
                label: rating.label,
            };
        }
        let users_before = dataset.users.len();
        dataset.movies = kept(dataset.movies, &movies);
        dataset.users = kept(dataset.users, &users);
        let mut trailers = self.trailers;
        trailers.retain(|id, _| dataset.movie_index(id).is_some());
        Ok(Reading {
            users_without_ratings: self.users_without_ratings + (users_before - dataset.users.len()) as u64,
            dataset,
            trailers,
            rejects: rejects.listed,
            rejected: rejects.count,
            ..self
        })
    }
}

/// The place of each kept thing among the kept ones. Those of the others mean nothing.
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
