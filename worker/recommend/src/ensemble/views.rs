//! Out-of-fold views, through which every training pair is described without its own label.
//!
//! A view learns from some training pairs and describes others. Everything summed or fitted for the
//! features (rates, GL sums, bias terms, TF-IDF...) is learned anew in each view from its known
//! pairs. So a training pair is described as a test pair will be: without its label, and without
//! anything that depends on its label.

use super::settings::ColdStart;
use jhalak_common::dataset::Dataset;
use jhalak_nn::{Random, shuffle};

/// Which pairs a view learns from, and which it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfFoldView {
    /// Indexes of ratings to learn from, sorted.
    pub known: Vec<u32>,
    /// Indexes of ratings to describe, sorted; none of them is known.
    pub held_out: Vec<u32>,
    /// Its fold. Views of different folds hold out different pairs (different movies, different
    /// users).
    pub fold: usize,
}

/// Deals `train` (sorted, unique) into `folds` folds in the way test pairs are held out, and
/// returns a view that holds out each.
///
/// For users with some ratings known, each fold has `rounds` views, which draw the known ratings
/// anew. Views that hold out or know nothing are dropped, so fewer than `folds` may be returned.
pub fn out_of_fold_views(
    dataset: &Dataset,
    train: &[u32],
    cold_start: ColdStart,
    folds: usize,
    rounds: usize,
    random: &mut Random,
) -> Vec<OutOfFoldView> {
    let rating = |pair: u32| dataset.ratings[pair as usize];
    let mut views = Vec::new();
    match cold_start {
        ColdStart::None => {
            let mut classes: [Vec<u32>; 3] = Default::default();
            train.iter().for_each(|&pair| classes[rating(pair).label.index()].push(pair));
            let mut fold_of = vec![0; dataset.ratings.len()];
            let mut next = 0;
            for class in &mut classes {
                shuffle(class, random);
                for &pair in &*class {
                    fold_of[pair as usize] = next % folds;
                    next += 1;
                }
            }
            for fold in 0..folds {
                let (held_out, known) = train.iter().partition(|&&pair| fold_of[pair as usize] == fold);
                views.push(OutOfFoldView { known, held_out, fold });
            }
        }
        ColdStart::Item => {
            let fold_of = deal(dataset.movies.len(), train.iter().map(|&pair| rating(pair).movie), folds, random);
            for fold in 0..folds {
                let (held_out, known) = train.iter().partition(|&&pair| fold_of[rating(pair).movie as usize] == fold);
                views.push(OutOfFoldView { known, held_out, fold });
            }
        }
        ColdStart::User { known: few } => {
            let fold_of = deal(dataset.users.len(), train.iter().map(|&pair| rating(pair).user), folds, random);
            for _ in 0..if few == 0 { 1 } else { rounds } {
                let mut drawn = vec![false; dataset.ratings.len()];
                for own in train.chunk_by(|&a, &b| rating(a).user == rating(b).user) {
                    let mut own = own.to_vec();
                    shuffle(&mut own, random);
                    own.iter().take(few).for_each(|&pair| drawn[pair as usize] = true);
                }
                for fold in 0..folds {
                    let is_held_out = |pair: u32| fold_of[rating(pair).user as usize] == fold && !drawn[pair as usize];
                    let (held_out, known) = train.iter().partition(|&&pair| is_held_out(pair));
                    views.push(OutOfFoldView { known, held_out, fold });
                }
            }
        }
    }
    views.retain(|view| !view.held_out.is_empty() && !view.known.is_empty());
    views
}

/// Returns the fold of each of `count` users or movies; those that do not occur in `ids` get fold
/// 0.
fn deal(count: usize, ids: impl Iterator<Item = u32>, folds: usize, random: &mut Random) -> Vec<usize> {
    let mut occurs = vec![false; count];
    ids.for_each(|id| occurs[id as usize] = true);
    let mut ids: Vec<usize> = (0..count).filter(|&id| occurs[id]).collect();
    shuffle(&mut ids, random);
    let mut fold_of = vec![0; count];
    ids.iter().enumerate().for_each(|(i, &id)| fold_of[id] = i % folds);
    fold_of
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use jhalak_nn::seeded;

    #[test]
    fn each_training_pair_is_held_out_by_one_view_as_test_pairs_are() {
        let dataset = example(30, 15, 9, Taste::Chance, 1);
        let train: Vec<u32> = (0..dataset.ratings.len() as u32).filter(|pair| pair % 5 != 0).collect();
        let rating = |pair: &u32| dataset.ratings[*pair as usize];
        for cold_start in [ColdStart::None, ColdStart::Item, ColdStart::User { known: 0 }, ColdStart::User { known: 3 }]
        {
            let views = out_of_fold_views(&dataset, &train, cold_start, 4, 1, &mut seeded(7, 0));
            let mut held_out: Vec<u32> = views.iter().flat_map(|view| view.held_out.clone()).collect();
            held_out.sort_unstable();
            assert!(held_out.windows(2).all(|two| two[0] < two[1]), "no pair is held out twice");
            if !matches!(cold_start, ColdStart::User { known: 3 }) {
                assert_eq!(held_out, train);
            }
            for view in &views {
                assert!(view.known.is_sorted() && view.held_out.is_sorted());
                assert!(view.known.iter().all(|pair| train.binary_search(pair).is_ok()), "test pairs are never known");
                for pair in &view.held_out {
                    let same_movie = view.known.iter().any(|known| rating(known).movie == rating(pair).movie);
                    let same_user = view.known.iter().filter(|known| rating(known).user == rating(pair).user).count();
                    assert!(!view.known.contains(pair));
                    match cold_start {
                        ColdStart::None => {}
                        ColdStart::Item => assert!(!same_movie, "its movie is unrated"),
                        ColdStart::User { known } => assert_eq!(same_user, known),
                    }
                }
            }
        }
    }
}
