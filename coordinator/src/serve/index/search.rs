//! Finding trailers by title, genre, state and label.

use memchr::memmem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which trailers a list shows, and in which order.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A part of the title or id, in any case; empty for all.
    pub text: String,
    /// A genre of the movie.
    pub genre: Option<String>,
    /// The state.
    pub state: Option<StateFilter>,
    /// The most frequent rating.
    pub label: Option<LabelFilter>,
    /// The order.
    pub order: Order,
}

/// The state of a trailer in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StateFilter {
    /// All artifacts of the run are committed.
    Committed,
    /// Artifacts are missing.
    Open,
    /// Artifacts are missing, and the job is quarantined.
    Quarantined,
}

/// The ratings of a movie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelFilter {
    /// More viewers like it than dislike it or are neutral.
    Like,
    /// The most frequent answer is neutral, or two answers are as frequent.
    Neutral,
    /// More viewers dislike it than like it or are neutral.
    Dislike,
    /// Nobody rated it.
    Unrated,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By movie id.
    #[default]
    Id,
    /// By title.
    Title,
    /// By the number of ratings, most first.
    Ratings,
}

impl LabelFilter {
    /// Returns the class of these counts of dislike, neutral and like.
    pub fn of([dislike, neutral, like]: [u32; 3]) -> LabelFilter {
        match () {
            () if dislike + neutral + like == 0 => LabelFilter::Unrated,
            () if like > dislike.max(neutral) => LabelFilter::Like,
            () if dislike > like.max(neutral) => LabelFilter::Dislike,
            () => LabelFilter::Neutral,
        }
    }
}

/// The ids and titles of trailers in one text, in lower case, so that a search is one pass over it.
pub struct Titles {
    text: String,
    /// The start of each trailer's line.
    starts: Vec<u32>,
}

impl Titles {
    /// Builds the text from ids and titles.
    pub fn of<'a>(titles: impl Iterator<Item = (&'a str, &'a str)>) -> Titles {
        let (mut text, mut starts) = (String::new(), Vec::new());
        for (id, title) in titles {
            starts.push(text.len() as u32);
            for part in [id, "\t", title] {
                // A line end within a title would end its line.
                text.extend(part.chars().flat_map(char::to_lowercase).map(|c| if c == '\n' { ' ' } else { c }));
            }
            text.push('\n');
        }
        Titles { text, starts }
    }

    /// Returns the title of a trailer in lower case.
    pub fn title(&self, trailer: u32) -> &str {
        let start = self.starts.get(trailer as usize).map_or(0, |start| *start as usize);
        let line = self.text[start..].lines().next().unwrap_or_default();
        line.split_once('\t').map_or("", |(_, title)| title)
    }

    /// Returns the positions of the trailers whose id or title contains `part`, in any case.
    pub fn find(&self, part: &str) -> Vec<u32> {
        // A search does not cross titles.
        let part = part.trim().to_lowercase().replace(['\n', '\t'], " ");
        if part.is_empty() {
            return (0..self.starts.len() as u32).collect();
        }
        let mut found: Vec<u32> = Vec::new();
        for at in memmem::find_iter(self.text.as_bytes(), part.as_bytes()) {
            let line = self.starts.partition_point(|start| *start as usize <= at) as u32 - 1;
            if found.last() != Some(&line) {
                found.push(line);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_by_any_part_in_any_case_once_each() {
        let titles = Titles::of([("tt1", "Amélie"), ("tt2", "ANNA and\nAnna"), ("tt30", "Don")].into_iter());
        assert_eq!(titles.find(""), [0, 1, 2]);
        assert_eq!(titles.find(" AMÉ"), [0]);
        assert_eq!(titles.find("anna"), [1]);
        assert_eq!(titles.find("tt3"), [2]);
        assert_eq!(titles.find("\n"), [0, 1, 2], "blanks alone are no search");
        assert!(titles.find("amélie\ntt2").is_empty(), "a search does not cross titles");
    }

    #[test]
    fn a_movie_has_the_label_of_most_viewers() {
        assert_eq!(LabelFilter::of([0, 0, 0]), LabelFilter::Unrated);
        assert_eq!(LabelFilter::of([1, 1, 2]), LabelFilter::Like);
        assert_eq!(LabelFilter::of([3, 1, 2]), LabelFilter::Dislike);
        assert_eq!(LabelFilter::of([2, 0, 2]), LabelFilter::Neutral);
    }
}
