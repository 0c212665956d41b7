//! Collects the rows of every layout: checks ids, keeps the first of duplicates, and builds the
//! normal form.

use std::collections::{BTreeMap, HashMap};

use super::reject::{Rejects, excerpt, is_movie_id, is_user_id};
use crate::dataset::normal_form::{Label, Movie, Rating, User};
use crate::error::{Error, Result};

/// A dataset under construction. Movies are added first, then users, then ratings.
#[derive(Default)]
pub(super) struct Assembly {
    pub rejects: Rejects,
    /// With the line of each.
    movies: BTreeMap<String, (Movie, u64)>,
    movie_index: HashMap<String, u32>,
    users: Vec<User>,
    user_index: HashMap<String, u32>,
    /// The line of each user's row in the users' table.
    user_rows: BTreeMap<u32, u64>,
    ratings: Vec<(Rating, u32)>,
    /// Columns of the catalogue that are not read.
    pub unread_columns: Vec<String>,
}

/// The result of an assembly.
pub(super) struct Assembled {
    pub movies: Vec<Movie>,
    pub users: Vec<User>,
    pub ratings: Vec<Rating>,
    pub users_without_ratings: u64,
    pub rejects: Rejects,
}

impl Assembly {
    /// Adds a movie, unless its id is not valid or already present.
    pub fn movie(&mut self, file: &str, line: u64, movie: Movie) {
        if !is_movie_id(&movie.id) {
            let reason = "the movie id is not valid as a file name: use 1 to 128 of A-Z a-z 0-9 . _ -, not beginning with . or -";
            self.rejects.add(file, Some(line), format!("movie {}", excerpt(&movie.id)), reason);
        } else if let Some((_, first)) = self.movies.get(&movie.id) {
            let reason = format!("a second movie with this id: the one on line {first} is kept");
            self.rejects.add(file, Some(line), format!("movie {}", movie.id), reason);
        } else {
            self.movies.insert(movie.id.clone(), (movie, line));
        }
    }

    /// Ends the movies and assigns their indexes.
    pub fn movies_complete(&mut self) {
        self.movie_index = self.movies.keys().zip(0..).map(|(id, index)| (id.clone(), index)).collect();
    }

    /// Returns the movies, sorted by id.
    pub fn into_movies(self) -> Vec<Movie> {
        self.movies.into_values().map(|(movie, _)| movie).collect()
    }

    /// Whether there is a movie with this id.
    pub fn has_movie(&self, id: &str) -> bool {
        self.movies.contains_key(id)
    }

    /// Returns the user with this id, added if missing; `None`, and a reject, if the id is not
    /// valid.
    pub fn user(&mut self, file: &str, line: u64, id: &str) -> Result<Option<u32>> {
        if let Some(&index) = self.user_index.get(id) {
            return Ok(Some(index));
        }
        if !is_user_id(id) {
            let reason = "the user id is not valid: use 1 to 256 bytes without control characters";
            self.rejects.add(file, Some(line), format!("user {}", excerpt(id)), reason);
            return Ok(None);
        }
        let index =
            u32::try_from(self.users.len()).map_err(|_| Error::invalid(format!("{file}: above 4 billion users")))?;
        self.users.push(User { id: id.to_owned(), attributes: BTreeMap::new() });
        self.user_index.insert(id.to_owned(), index);
        Ok(Some(index))
    }

    /// Adds a row of the users' table, unless the user already has one.
    pub fn user_row(&mut self, file: &str, line: u64, id: &str, attributes: BTreeMap<String, String>) -> Result<()> {
        let Some(index) = self.user(file, line, id)? else { return Ok(()) };
        if let Some(first) = self.user_rows.get(&index) {
            let reason = format!("a second row of this user: the one on line {first} is kept");
            self.rejects.add(file, Some(line), format!("user {id}"), reason);
        } else {
            self.user_rows.insert(index, line);
            self.users[index as usize].attributes = attributes;
        }
        Ok(())
    }

    /// Adds a rating by a user from [`Assembly::user`], unless the movie is unknown or `label` is
    /// an error.
    pub fn rating(&mut self, file: &str, line: u64, user: u32, movie: &str, label: Result<Label, String>) {
        let subject = |assembly: &Assembly, movie: &str| {
            let movie = if is_movie_id(movie) { movie.to_owned() } else { excerpt(movie) };
            format!("user {}, movie {movie}", assembly.users[user as usize].id)
        };
        match (self.movie_index.get(movie), label) {
            (_, Err(reason)) => self.rejects.add(file, Some(line), subject(self, movie), reason),
            (None, _) => self.rejects.add(
                file,
                Some(line),
                subject(self, movie),
                "a rating of a movie that is not in the catalogue",
            ),
            (Some(&movie), Ok(label)) => {
                // The line is only used in a message: it may saturate.
                self.ratings.push((Rating { user, movie, label }, u32::try_from(line).unwrap_or(u32::MAX)));
            }
        }
    }

    /// Sorts everything, and drops duplicate ratings and users without ratings.
    ///
    /// # Errors
    /// Invalid input if no movie or no rating is left.
    pub fn finish(mut self, ratings_file: &str, movies_file: &str) -> Result<Assembled> {
        if self.movies.is_empty() {
            return Err(self.nothing(movies_file, "movie"));
        }
        // A stable sort: the first of two ratings of a pair in file order stays first.
        self.ratings.sort_by_key(|(rating, _)| (rating.user, rating.movie));
        let movie_ids: Vec<&String> = self.movies.keys().collect();
        let mut kept: Vec<(Rating, u32)> = Vec::with_capacity(self.ratings.len());
        for &(rating, line) in &self.ratings {
            match kept.last() {
                Some((first, first_line)) if (first.user, first.movie) == (rating.user, rating.movie) => {
                    let subject = format!(
                        "user {}, movie {}",
                        self.users[rating.user as usize].id, movie_ids[rating.movie as usize]
                    );
                    let (label, stays) = (rating.label.name(), first.label.name());
                    let reason = format!(
                        "rated a second time, {label}: the first rating, {stays} on line {first_line}, is kept"
                    );
                    self.rejects.add(ratings_file, Some(line.into()), subject, reason);
                }
                _ => kept.push((rating, line)),
            }
        }
        if kept.is_empty() {
            return Err(self.nothing(ratings_file, "rating"));
        }
        let mut rated = vec![false; self.users.len()];
        kept.iter().for_each(|(rating, _)| rated[rating.user as usize] = true);
        let mut order: Vec<usize> = (0..self.users.len()).filter(|&user| rated[user]).collect();
        order.sort_unstable_by(|&a, &b| self.users[a].id.cmp(&self.users[b].id));
        let mut place = vec![0; self.users.len()];
        order.iter().zip(0u32..).for_each(|(&user, new)| place[user] = new);

        let mut ratings: Vec<Rating> =
            kept.into_iter().map(|(rating, _)| Rating { user: place[rating.user as usize], ..rating }).collect();
        ratings.sort_unstable();
        Ok(Assembled {
            users_without_ratings: (self.users.len() - order.len()) as u64,
            users: order.into_iter().map(|user| std::mem::take(&mut self.users[user])).collect(),
            movies: self.movies.into_values().map(|(movie, _)| movie).collect(),
            ratings,
            rejects: self.rejects,
        })
    }

    fn nothing(&self, file: &str, what: &str) -> Error {
        let mut message = format!("{file}: the dataset has no valid {what}");
        if let Some(first) = self.rejects.listed.first() {
            message.push_str(&format!("; {} rejected, the first: {first}", self.rejects.count));
        }
        Error::invalid(message)
    }
}
