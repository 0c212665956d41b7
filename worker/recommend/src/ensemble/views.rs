//! Who may know what: the views through which every training pair is described without its own label.
//!
//! A view knows some training pairs and is asked about others. Everything that is summed or fitted in the model (rates, GL sums, bias
//! terms, TF-IDF...) is learned anew in each view from what it knows, so a training pair is described exactly as a pair of the
//! test set will be: by somebody who never saw its label, nor what is missing because of it.

use super::settings::Regime;
use jhalak_common::dataset::Dataset;
use jhalak_nn::{Random, shuffle};

/// What is known, and what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Indexes into the dataset's ratings, sorted.
    pub known: Vec<u32>,
    /// Indexes into the dataset's ratings, sorted; none of them is known.
    pub asked: Vec<u32>,
    /// Its fold: views of different folds are asked about different pairs (different movies, different users).
    pub fold: usize,
}

/// Deals `train` (sorted, unique) into `folds` folds as the regime holds out test pairs, and lets one view ask about each.
///
/// For users of whom some ratings are known, `rounds` views of each fold differ in which ratings those are. Views that would be asked nothing
/// or know nothing are left out, so fewer than `folds` may come back.
pub fn views(
    dataset: &Dataset,
    train: &[u32],
    regime: Regime,
    folds: usize,
    rounds: usize,
    random: &mut Random,
) -> Vec<View> {
    let rating = |pair: u32| dataset.ratings[pair as usize];
    let mut views = Vec::new();
    match regime {
        Regime::Pairs => {
            let mut classes: [Vec<u32>; 3] = Default::default();
            train.iter().for_each(|&pair| classes[rating(pair).label.index()].push(pair));
            let mut of = vec![0; dataset.ratings.len()];
            let mut next = 0;
            for class in &mut classes {
                shuffle(class, random);
                for &pair in &*class {
                    of[pair as usize] = next % folds;
                    next += 1;
                }
            }
            for fold in 0..folds {
                let (asked, known) = train.iter().partition(|&&pair| of[pair as usize] == fold);
                views.push(View { known, asked, fold });
            }
        }
        Regime::Movies => {
            let of = deal(dataset.movies.len(), train.iter().map(|&pair| rating(pair).movie), folds, random);
            for fold in 0..folds {
                let (asked, known) = train.iter().partition(|&&pair| of[rating(pair).movie as usize] == fold);
                views.push(View { known, asked, fold });
            }
        }
        Regime::Users { known: few } => {
            let of = deal(dataset.users.len(), train.iter().map(|&pair| rating(pair).user), folds, random);
            for _ in 0..if few == 0 { 1 } else { rounds } {
                let mut drawn = vec![false; dataset.ratings.len()];
                for own in train.chunk_by(|&a, &b| rating(a).user == rating(b).user) {
                    let mut own = own.to_vec();
                    shuffle(&mut own, random);
                    own.iter().take(few).for_each(|&pair| drawn[pair as usize] = true);
                }
                for fold in 0..folds {
                    let asks = |pair: u32| of[rating(pair).user as usize] == fold && !drawn[pair as usize];
                    let (asked, known) = train.iter().partition(|&&pair| asks(pair));
                    views.push(View { known, asked, fold });
                }
            }
        }
    }
    views.retain(|view| !view.asked.is_empty() && !view.known.is_empty());
    views
}

/// The fold of each of the `count` users or movies that occur among `those`.
fn deal(count: usize, those: impl Iterator<Item = u32>, folds: usize, random: &mut Random) -> Vec<usize> {
    let mut occurs = vec![false; count];
    those.for_each(|id| occurs[id as usize] = true);
    let mut ids: Vec<usize> = (0..count).filter(|&id| occurs[id]).collect();
    shuffle(&mut ids, random);
    let mut of = vec![0; count];
    ids.iter().enumerate().for_each(|(place, &id)| of[id] = place % folds);
    of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use jhalak_nn::seeded;

    #[test]
    fn every_training_pair_is_asked_about_by_a_view_that_knows_as_little_as_the_test_will() {
        let dataset = example(30, 15, 9, Taste::Chance, 1);
        let train: Vec<u32> = (0..dataset.ratings.len() as u32).filter(|pair| pair % 5 != 0).collect();
        let rating = |pair: &u32| dataset.ratings[*pair as usize];
        for regime in [Regime::Pairs, Regime::Movies, Regime::Users { known: 0 }, Regime::Users { known: 3 }] {
            let views = views(&dataset, &train, regime, 4, 1, &mut seeded(7, 0));
            let mut asked: Vec<u32> = views.iter().flat_map(|view| view.asked.clone()).collect();
            asked.sort_unstable();
            assert!(asked.windows(2).all(|two| two[0] < two[1]), "no pair is asked about twice");
            if !matches!(regime, Regime::Users { known: 3 }) {
                assert_eq!(asked, train);
            }
            for view in &views {
                assert!(view.known.is_sorted() && view.asked.is_sorted());
                assert!(view.known.iter().all(|pair| train.binary_search(pair).is_ok()), "test pairs are never known");
                for pair in &view.asked {
                    let same_movie = view.known.iter().any(|known| rating(known).movie == rating(pair).movie);
                    let same_user = view.known.iter().filter(|known| rating(known).user == rating(pair).user).count();
                    assert!(!view.known.contains(pair));
                    match regime {
                        Regime::Pairs => {}
                        Regime::Movies => assert!(!same_movie, "its movie was never rated"),
                        Regime::Users { known } => assert_eq!(same_user, known),
                    }
                }
            }
        }
    }
}
