//! The split that given folds amount to.

use jhalak_common::dataset::{Dataset, FoldsBy, GivenFold, GivenFolds};
use jhalak_common::evaluation::Split;

/// The folds of a run.
#[derive(Debug)]
pub struct RunFolds {
    /// The test pairs of each fold, sorted.
    pub tests: Vec<Vec<u32>>,
    /// The unit that they hold out.
    pub split: Split,
}

impl RunFolds {
    /// Returns the folds of every cell of a run.
    pub fn of(given: GivenFolds, dataset: &Dataset) -> Self {
        let split = match given.by {
            FoldsBy::Users => Split::Users { known: 0 },
            FoldsBy::Movies => Split::Movies,
            FoldsBy::Pairs if are_whole_users(&given, dataset) => Split::Users { known: 0 },
            FoldsBy::Pairs => given_split(&given, dataset),
        };
        Self { tests: given.folds.into_iter().map(|fold| fold.test).collect(), split }
    }
}

/// Whether the folds test all pairs of every user that they test.
pub fn are_whole_users(given: &GivenFolds, dataset: &Dataset) -> bool {
    let mut left = vec![0usize; dataset.users.len()];
    dataset.ratings.iter().for_each(|rating| left[rating.user as usize] += 1);
    let user = |pair: &u32| dataset.ratings[*pair as usize].user as usize;
    given
        .folds
        .iter()
        .all(|fold| fold.test.chunk_by(|a, b| user(a) == user(b)).all(|own| left[user(&own[0])] == own.len()))
}

/// Returns the split that folds of single pairs amount to: users if most of the test users have
/// fewer ratings in training than in the test, movies if no tested movie is rated in training, else
/// pairs.
pub fn given_split(given: &GivenFolds, dataset: &Dataset) -> Split {
    let unseen = |fold: &GivenFold| {
        let (mut tested, mut all) = (vec![0; dataset.movies.len()], vec![0; dataset.movies.len()]);
        dataset.ratings.iter().for_each(|rating| all[rating.movie as usize] += 1);
        fold.test.iter().for_each(|&pair| tested[dataset.ratings[pair as usize].movie as usize] += 1);
        tested.iter().zip(&all).all(|(tested, all)| *tested == 0 || tested == all)
    };
    match middle_known(given, dataset) {
        (known, true) => Split::Users { known },
        _ if given.folds.iter().all(unseen) => Split::Movies,
        _ => Split::Pairs,
    }
}

/// Returns the median number of training ratings of the test users, and whether most of these users
/// have fewer ratings in training than in the test.
fn middle_known(given: &GivenFolds, dataset: &Dataset) -> (usize, bool) {
    let mut all = vec![0usize; dataset.users.len()];
    dataset.ratings.iter().for_each(|rating| all[rating.user as usize] += 1);
    let (mut known, mut fewer) = (Vec::new(), 0);
    for fold in &given.folds {
        for own in fold.test.chunk_by(|&a, &b| dataset.ratings[a as usize].user == dataset.ratings[b as usize].user) {
            let left = all[dataset.ratings[own[0] as usize].user as usize] - own.len();
            known.push(left);
            fewer += usize::from(left < own.len());
        }
    }
    known.sort_unstable();
    (known.get(known.len() / 2).copied().unwrap_or(0), 2 * fewer > known.len())
}
