//! The ordered levels of ratings: stars where the dataset has them, else classes.

use jhalak_common::dataset::{Label, Rating};
use std::collections::BTreeMap;

/// A label with its half stars.
type Opinion = (Label, Option<u8>);

/// The level of each rating, and the class of each level.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    /// Level of each rating, in their order.
    pub of: Vec<u8>,
    /// Class of each level, ascending.
    pub classes: Vec<usize>,
}

impl Levels {
    /// Numbers the levels that occur. A rating without stars among others of its class with stars,
    /// such as a new viewer's, counts as the most common of them.
    pub fn of(ratings: impl Iterator<Item = Rating> + Clone) -> Self {
        let mut counts: BTreeMap<Opinion, usize> = BTreeMap::new();
        ratings.clone().for_each(|rating| *counts.entry((rating.label, rating.half_stars)).or_default() += 1);
        let with_stars = |label: Label| counts.keys().any(|(of, stars)| *of == label && stars.is_some());
        let levels: Vec<Opinion> =
            counts.keys().copied().filter(|&(label, stars)| stars.is_some() || !with_stars(label)).collect();
        let most_common = |label: Label| {
            (0..levels.len()).filter(|&i| levels[i].0 == label).max_by_key(|&i| (counts[&levels[i]], i)).unwrap_or(0)
        };
        let of_class = Label::ALL.map(most_common);
        let level = |rating: Rating| {
            let found = levels.binary_search(&(rating.label, rating.half_stars));
            found.unwrap_or(of_class[rating.label.index()]) as u8
        };
        Self { of: ratings.map(level).collect(), classes: levels.iter().map(|(label, _)| label.index()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_levels_and_a_label_alone_is_the_most_common_of_its_class() {
        let rating = |label, half_stars| Rating { user: 0, movie: 0, label, half_stars };
        let ratings = [
            rating(Label::Like, Some(8)),
            rating(Label::Dislike, Some(2)),
            rating(Label::Like, Some(10)),
            rating(Label::Like, Some(8)),
            rating(Label::Like, None),
            rating(Label::Neutral, None),
        ];
        let levels = Levels::of(ratings.into_iter());
        assert_eq!(levels, Levels { of: vec![2, 0, 3, 2, 2, 1], classes: vec![0, 1, 2, 2] });
        assert_eq!(Levels::of([].into_iter()), Levels { of: vec![], classes: vec![] });
    }
}
