//! Collects the rows of every layout: checks ids, keeps the first of duplicates, and builds the
//! normal form.

use std::collections::{BTreeMap, HashMap};

use super::csv_table::Table;
use super::movie_ids::MovieIds;
use super::reject::{Kind, MOVIE_ID_RULE, Rejects, excerpt, is_movie_id, is_user_id};
use super::scale::Opinion;
use super::sorted_movies::SortedMovies;
use crate::compact::{Packed, Texts};
use crate::dataset::normal_form::{Movie, Rating, User};
use crate::dataset::stated_content::StatedContent;
use crate::dataset::whole_number::whole;
use crate::error::{Error, Result};

/// A dataset under construction. Movies are added first, then users, then ratings.
#[derive(Default)]
pub(super) struct Assembly {
    pub rejects: Rejects,
    movies: SortedMovies,
    ids: MovieIds,
    users: Vec<User>,
    user_index: HashMap<String, u32>,
    /// The line of each user's row in the users' table.
    user_rows: BTreeMap<u32, u64>,
    ratings: Vec<Given>,
    /// Ratings without a time that can be read, and whether any names one.
    without_time: (u64, bool),
    /// Columns of the catalogue that are not read.
    pub unread_columns: Vec<String>,
    /// The location of the trailer that a row of the catalogue names, with the movie's id and the
    /// row's line.
    pub locations: Locations,
    /// The content that the catalogue states for a movie's trailer.
    pub stated: BTreeMap<String, StatedContent>,
    /// The parts of the files that are not read, for people.
    pub notes: Vec<String>,
}

/// Locations of trailers in the order of the catalogue.
#[derive(Default)]
pub(super) struct Locations {
    pub ids: Texts,
    pub cells: Texts,
    pub lines: Vec<u64>,
}

impl Locations {
    /// Adds the location of a movie's trailer.
    pub fn push(&mut self, id: &str, cell: &str, line: u64) {
        self.ids.push(id);
        self.cells.push(cell);
        self.lines.push(line);
    }
}

/// A rating with the line and the time in the files.
#[derive(Clone, Copy)]
struct Given {
    rating: Rating,
    line: u32,
    time: Option<i64>,
}

/// The result of an assembly.
pub(super) struct Assembled {
    pub movies: Packed<Movie>,
    pub users: Vec<User>,
    pub ratings: Vec<Rating>,
    /// Of each rating; empty unless all have one.
    pub times: Vec<i64>,
    pub users_without_ratings: u64,
    pub rejects: Rejects,
    pub notes: Vec<String>,
}

impl Assembly {
    /// Notes the columns of a table other than `read`, and returns their names.
    pub fn note_unread(&mut self, file: &str, table: &Table<'_>, read: &[usize]) -> Vec<String> {
        let names = table.header().iter().enumerate().filter(|(column, _)| !read.contains(column));
        let names: Vec<String> = names.map(|(_, name)| name.clone()).collect();
        self.note("columns", file, &names);
        names
    }

    /// Notes names of one kind that are not read.
    pub fn note(&mut self, what: &str, of: &str, names: &[String]) {
        const SHOWN: usize = 20;
        if names.is_empty() {
            return;
        }
        let mut shown: Vec<String> = names.iter().take(SHOWN).map(|name| excerpt(name)).collect();
        if names.len() > SHOWN {
            shown.push(format!("and {} more", names.len() - SHOWN));
        }
        self.notes.push(format!("{of}: {what} not read: {}", shown.join(", ")));
    }

    /// Adds a movie, unless its id is not valid or already present. Returns whether it was added.
    pub fn movie(&mut self, file: &str, line: u64, movie: Movie) -> bool {
        if !is_movie_id(&movie.id) {
            let reason = MOVIE_ID_RULE;
            self.rejects.add(Kind::Id, file, Some(line), format!("movie {}", excerpt(&movie.id)), reason);
        } else if let Some(first) = self.ids.line(&movie.id) {
            let reason = format!("a second movie with this id: the one on line {first} is kept");
            self.rejects.add(Kind::Other, file, Some(line), format!("movie {}", movie.id), reason);
        } else {
            self.ids.add(&movie.id, line);
            self.movies.push(movie);
            return true;
        }
        false
    }

    /// Ends the movies and assigns their indexes.
    pub fn movies_complete(&mut self) {
        self.ids.complete();
    }

    /// Returns the movies, sorted by id.
    pub fn into_movies(self) -> Packed<Movie> {
        self.movies.finish()
    }

    /// Whether there is a movie with this id.
    pub fn has_movie(&self, id: &str) -> bool {
        self.ids.line(id).is_some()
    }

    /// Returns the ids of the movies.
    pub fn movie_ids(&self) -> &MovieIds {
        &self.ids
    }

    /// Returns the user with this id, added if missing; `None`, and a reject, if the id is not
    /// valid.
    pub fn user(&mut self, file: &str, line: u64, id: &str) -> Result<Option<u32>> {
        if let Some(&index) = self.user_index.get(id) {
            return Ok(Some(index));
        }
        if !is_user_id(id) {
            let reason = "the user id is not valid: use 1 to 256 bytes without control characters";
            self.rejects.add(Kind::Id, file, Some(line), format!("user {}", excerpt(id)), reason);
            return Ok(None);
        }
        let index = u32::try_from(self.users.len())
            .map_err(|_| Error::invalid(format!("{file} has more than 4 billion users: split the dataset")))?;
        self.users.push(User { id: id.to_owned(), attributes: BTreeMap::new() });
        self.user_index.insert(id.to_owned(), index);
        Ok(Some(index))
    }

    /// Adds a row of the users' table, unless the user already has one.
    pub fn user_row(&mut self, file: &str, line: u64, id: &str, attributes: BTreeMap<String, String>) -> Result<()> {
        let Some(index) = self.user(file, line, id)? else { return Ok(()) };
        if let Some(first) = self.user_rows.get(&index) {
            let reason = format!("a second row of this user: the one on line {first} is kept");
            self.rejects.add(Kind::Other, file, Some(line), format!("user {id}"), reason);
        } else {
            self.user_rows.insert(index, line);
            self.users[index as usize].attributes = attributes;
        }
        Ok(())
    }

    /// Adds a rating by a user from [`Assembly::user`], unless the movie is unknown or `opinion` is
    /// an error. `time` is empty where the files have none.
    pub fn rating(
        &mut self,
        (file, line): (&str, u64),
        user: u32,
        movie: &str,
        opinion: Result<Opinion, String>,
        time: &str,
    ) {
        let subject = |assembly: &Assembly, movie: &str| {
            let movie = if is_movie_id(movie) { movie.to_owned() } else { excerpt(movie) };
            format!("user {}, movie {movie}", assembly.users[user as usize].id)
        };
        match (self.ids.index_written(movie), opinion) {
            (_, Err(reason)) => self.rejects.add(Kind::Value, file, Some(line), subject(self, movie), reason),
            (None, _) => self.rejects.add(
                Kind::UnknownMovie,
                file,
                Some(line),
                subject(self, movie),
                "a rating of a movie that is not in the catalogue",
            ),
            (Some(movie), Ok(Opinion { label, half_stars })) => {
                // The line is only used in a message: it may saturate.
                let rating = Rating { user, movie, label, half_stars };
                let line = u32::try_from(line).unwrap_or(u32::MAX);
                self.without_time.1 |= !time.is_empty();
                let time = seconds(time);
                self.without_time.0 += u64::from(time.is_none());
                self.ratings.push(Given { rating, line, time });
            }
        }
    }

    /// Sorts everything, and drops duplicate ratings and users without ratings.
    ///
    /// # Errors
    /// Invalid input if no movie is left, no rating is left of a `ratings_file`, or more than
    /// `max_rejected_percent` of the rows of a file are rejects of one kind.
    pub fn finish(
        mut self,
        ratings_file: Option<&str>,
        movies_file: &str,
        max_rejected_percent: f64,
    ) -> Result<Assembled> {
        if self.ids.len() == 0 {
            return Err(self.nothing(movies_file, "movie"));
        }
        // A stable sort: the first of two ratings of a pair in file order stays first.
        self.ratings.sort_by_key(|given| (given.rating.user, given.rating.movie));
        let mut kept: Vec<Given> = Vec::with_capacity(self.ratings.len());
        for &given in &self.ratings {
            let Given { rating, line, .. } = given;
            match kept.last() {
                Some(Given { rating: first, line: first_line, .. })
                    if (first.user, first.movie) == (rating.user, rating.movie) =>
                {
                    let subject =
                        format!("user {}, movie {}", self.users[rating.user as usize].id, self.ids.id(rating.movie));
                    let (label, stays) = (rating.label.name(), first.label.name());
                    let reason = format!(
                        "rated a second time, {label}: the first rating, {stays} on line {first_line}, is kept"
                    );
                    let kind = if rating.label == first.label { Kind::Other } else { Kind::Contradiction };
                    self.rejects.add(kind, ratings_file.unwrap_or_default(), Some(line.into()), subject, reason);
                }
                _ => kept.push(given),
            }
        }
        if let (true, Some(file)) = (kept.is_empty(), ratings_file) {
            return Err(self.nothing(file, "rating"));
        }
        self.rejects.refuse_a_remainder(max_rejected_percent)?;
        self.ids = MovieIds::default();
        let movies = std::mem::take(&mut self.movies).finish();
        let mut rated = vec![false; self.users.len()];
        kept.iter().for_each(|given| rated[given.rating.user as usize] = true);
        let mut order: Vec<usize> = (0..self.users.len()).filter(|&user| rated[user]).collect();
        order.sort_unstable_by(|&a, &b| self.users[a].id.cmp(&self.users[b].id));
        let mut place = vec![0; self.users.len()];
        order.iter().zip(0u32..).for_each(|(&user, new)| place[user] = new);

        kept.iter_mut().for_each(|given| given.rating.user = place[given.rating.user as usize]);
        kept.sort_unstable_by_key(|given| given.rating);
        let times: Option<Vec<i64>> = kept.iter().map(|given| given.time).collect();
        if let (None, Some(file), (without, true)) = (&times, ratings_file, self.without_time) {
            let all = self.ratings.len();
            self.notes.push(format!(
                "{file}: times not read: {without} of {all} ratings have no time in seconds and no date"
            ));
        }
        let in_milliseconds = times.iter().flatten().filter(|time| **time > LATEST_SECOND).count();
        let is_mixed = in_milliseconds > 0 && times.iter().flatten().any(|time| (1..=LATEST_SECOND).contains(time));
        if let (true, Some(file)) = (is_mixed, ratings_file) {
            self.notes.push(format!(
                "{file}: times not read: {in_milliseconds} of {} ratings have them in milliseconds and others in seconds",
                kept.len()
            ));
        }
        let times = times.filter(|_| !is_mixed);
        let ratings = kept.into_iter().map(|given| given.rating).collect();
        Ok(Assembled {
            users_without_ratings: (self.users.len() - order.len()) as u64,
            users: order.into_iter().map(|user| std::mem::take(&mut self.users[user])).collect(),
            movies,
            ratings,
            times: times.unwrap_or_default(),
            rejects: self.rejects,
            notes: self.notes,
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

/// The last second that is taken for one, in the year 5138: larger numbers are milliseconds.
const LATEST_SECOND: i64 = 100_000_000_000;

/// Reads a time: seconds, or a date as in `2024-05-01`, `2024-05-01 12:00:00` (UTC) or
/// `2024-05-01T12:00:00Z`.
fn seconds(text: &str) -> Option<i64> {
    if let Ok(seconds) = whole(text).parse() {
        return Some(seconds);
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_second());
    }
    let date: jiff::civil::DateTime = text.parse().ok()?;
    // Days since 1970 by the civil calendar; a file without a zone is read as UTC.
    let days = date.date().since(jiff::civil::date(1970, 1, 1)).ok()?.get_days();
    let time = date.time();
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    Some(i64::from(days) * 86_400 + seconds)
}
