//! Sorts the movies of a catalogue by id in the memory of packed lists.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::compact::{PACK_FROM, Packed};
use crate::dataset::normal_form::Movie;

/// Movies in any order of different ids. Runs of [`PACK_FROM`] movies are sorted and packed, and
/// merged in the end.
#[derive(Default)]
pub(super) struct SortedMovies {
    runs: Vec<Packed<Movie>>,
    last: Vec<Movie>,
}

impl SortedMovies {
    /// Adds a movie.
    pub fn push(&mut self, movie: Movie) {
        if self.last.len() == PACK_FROM {
            self.end_run();
        }
        self.last.push(movie);
    }

    fn end_run(&mut self) {
        let mut movies = std::mem::take(&mut self.last);
        movies.sort_by(|a, b| a.id.cmp(&b.id));
        let mut run = Packed::from(movies);
        if run.len() == PACK_FROM {
            run.pack();
        }
        self.runs.push(run);
    }

    /// Returns the movies in ascending order of id.
    pub fn finish(mut self) -> Packed<Movie> {
        self.end_run();
        let is_before = |one: &Packed<Movie>, next: &Packed<Movie>| match (one.get(one.len() - 1), next.get(0)) {
            (Some(last), Some(first)) => last.id < first.id,
            _ => true,
        };
        if self.runs.windows(2).all(|pair| is_before(&pair[0], &pair[1])) {
            let mut runs = self.runs.into_iter();
            let mut sorted = runs.next().unwrap_or_default();
            runs.for_each(|run| sorted.append(run));
            return sorted;
        }
        let mut runs: Vec<_> = self.runs.iter().map(|run| run.scan().map(Cow::into_owned)).collect();
        let mut next: Vec<Option<Movie>> = runs.iter_mut().map(Iterator::next).collect();
        let id = |movie: &Option<Movie>| movie.as_ref().map(|movie| movie.id.clone());
        let mut first: BinaryHeap<_> =
            next.iter().enumerate().filter_map(|(run, movie)| Some(Reverse((id(movie)?, run)))).collect();
        let mut sorted = Packed::default();
        while let Some(Reverse((_, run))) = first.pop() {
            let movie = std::mem::replace(&mut next[run], runs[run].next());
            first.extend(id(&next[run]).map(|id| Reverse((id, run))));
            movie.into_iter().for_each(|movie| sorted.push(movie));
        }
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn movies_are_sorted_whatever_their_order_and_number() {
        for count in [0, 1, 7, PACK_FROM, PACK_FROM + 1, 2 * PACK_FROM + 300] {
            // 7 and no number of movies have a common factor.
            for step in [1, 7] {
                let movie = |i: usize| Movie { id: format!("m{:06}", i * step % count), ..Movie::default() };
                let mut movies = SortedMovies::default();
                if step == 1 || count % 7 != 0 {
                    (0..count).for_each(|i| movies.push(movie(i)));
                    let sorted = movies.finish();
                    assert_eq!(sorted.len(), count);
                    assert!(sorted.scan().enumerate().all(|(i, movie)| movie.id == format!("m{i:06}")), "{count}");
                }
            }
        }
    }
}
