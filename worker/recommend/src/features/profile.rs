//! What is known of a user when one of the user's pairs is predicted: sums of genre vectors, and the pairs behind them.
//!
//! Under the published protocol that is everything, the predicted label included (erratum 1). Otherwise a test pair sees the
//! training and validation pairs, a validation pair the training pairs, and a training pair those training pairs that lie in another
//! of a few random folds: leaving out only the pair itself would let the sums betray its label by what is missing.

use super::embedding::EmbeddingTable;
use crate::split::FoldPairs;
use jhalak_common::dataset::Dataset;
use jhalak_nn::{seeded, shuffle};

/// Stream of the cell's seed from which the folds of training pairs are drawn.
const GROUPS: u64 = 4;

/// How a pair entered the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Only as a test pair, or not at all.
    No,
    /// As a validation pair and not as a training pair.
    Validation,
    /// As a training pair of this profile fold.
    Train(usize),
}

/// Views of each user's past: `views` profiles a user.
#[derive(Debug)]
pub struct Profiles {
    genres: EmbeddingTable,
    /// Profiles a user: 1 where everything is seen; else known, training, and training without each of the profile folds.
    views: usize,
    known: Vec<Known>,
    /// How often each pair counts.
    weight: Vec<f32>,
    /// Pairs of each user: `first[user]..first[user + 1]` in the dataset's order.
    first: Vec<usize>,
    /// users x views x 3 x genres.
    sums: Vec<f32>,
}

impl Profiles {
    /// Everything is seen by everybody (erratum 1). `copies`: pairs count as often as they stand in the fold.
    #[must_use]
    pub fn leaky(dataset: &Dataset, fold: &FoldPairs, copies: bool) -> Self {
        let mut weight = vec![1.0; dataset.ratings.len()];
        if copies {
            weight.fill(0.0);
            for &pair in fold.train.iter().chain(&fold.validation).chain(&fold.test) {
                weight[pair as usize] += 1.0;
            }
        }
        Self::build(dataset, 1, vec![Known::Train(0); dataset.ratings.len()], weight)
    }

    /// Nobody sees the label that is predicted. Training pairs are dealt into `folds` profile folds.
    #[must_use]
    pub fn honest(dataset: &Dataset, fold: &FoldPairs, folds: usize, seed: u64, copies: bool) -> Self {
        let mut known = vec![Known::No; dataset.ratings.len()];
        let mut weight = vec![1.0; dataset.ratings.len()];
        fold.validation.iter().for_each(|&pair| known[pair as usize] = Known::Validation);
        let mut train = fold.train.clone();
        train.sort_unstable();
        if copies {
            train.chunk_by(|a, b| a == b).for_each(|same| weight[same[0] as usize] = same.len() as f32);
        }
        train.dedup();
        shuffle(&mut train, &mut seeded(seed, GROUPS));
        train.iter().enumerate().for_each(|(i, &pair)| known[pair as usize] = Known::Train(i % folds));
        Self::build(dataset, folds + 2, known, weight)
    }

    fn build(dataset: &Dataset, views: usize, known: Vec<Known>, weight: Vec<f32>) -> Self {
        let genres = EmbeddingTable::genres(dataset);
        let mut first = vec![0; dataset.users.len() + 1];
        dataset.ratings.iter().for_each(|rating| first[rating.user as usize + 1] += 1);
        for user in 0..dataset.users.len() {
            first[user + 1] += first[user];
        }
        let sums = vec![0.0; dataset.users.len() * views * 3 * genres.dim];
        let mut profiles = Self { genres, views, known, weight, first, sums };
        for (pair, rating) in dataset.ratings.iter().enumerate() {
            for view in 0..views {
                if profiles.sees(view, pair) {
                    let dim = profiles.genres.dim;
                    let start = ((rating.user as usize * views + view) * 3 + rating.label.index()) * dim;
                    let hot = profiles.genres.row(rating.movie).unwrap_or(&[]);
                    for (sum, hot) in profiles.sums[start..start + dim].iter_mut().zip(hot) {
                        *sum += hot * profiles.weight[pair];
                    }
                }
            }
        }
        profiles
    }

    /// Whether the pair counts in this view.
    fn sees(&self, view: usize, pair: usize) -> bool {
        match (self.views, view, self.known[pair]) {
            (1, _, _) | (_, 0, Known::Validation) | (_, 0 | 1, Known::Train(_)) => true,
            (_, _, Known::Train(fold)) => view != fold + 2,
            _ => false,
        }
    }

    /// The profile that predicts `pair`: a number below users x views.
    ///
    /// What a pair may see depends on how it is known: copies made before the split (erratum 2) can be tested and trained on too.
    #[must_use]
    pub fn profile(&self, dataset: &Dataset, pair: u32) -> usize {
        let view = match (self.views, self.known[pair as usize]) {
            (1, _) | (_, Known::No) => 0,
            (_, Known::Validation) => 1,
            (_, Known::Train(fold)) => fold + 2,
        };
        dataset.ratings[pair as usize].user as usize * self.views + view
    }

    /// Number of profiles: users x views.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.first.len() - 1) * self.views
    }

    /// Whether there is no user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sums of the genre vectors of the disliked, neutral and liked movies of a profile.
    #[must_use]
    pub fn sums(&self, profile: usize) -> [&[f32]; 3] {
        let dim = self.genres.dim;
        std::array::from_fn(|label| &self.sums[(profile * 3 + label) * dim..(profile * 3 + label + 1) * dim])
    }

    /// Genre vector of a movie.
    #[must_use]
    pub fn genres(&self, movie: u32) -> &[f32] {
        self.genres.row(movie).unwrap_or(&[])
    }

    /// The pairs that a profile is made of, with how often each counts.
    pub fn pairs(&self, profile: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let (user, view) = (profile / self.views, profile % self.views);
        (self.first[user]..self.first[user + 1])
            .filter(move |&pair| self.sees(view, pair) && self.weight[pair] > 0.0)
            .map(|pair| (pair, self.weight[pair]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use crate::split::fold_pairs;
    use jhalak_common::evaluation::{CellSpec, Modality, Model, Split, UserEmbedding};

    /// Every profile against the definition: for each role, which pairs of the user it is made of.
    #[test]
    fn no_pair_sees_its_own_label_nor_any_that_its_role_forbids() {
        let dataset = example(30, 15, 9, Taste::Chance, 1);
        let spec = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Ann, UserEmbedding::All, true);
        let fold = fold_pairs(&dataset, &spec, 0, None).expect("it splits");
        let profiles = Profiles::honest(&dataset, &fold, 4, 7, false);
        let of = |pair: u32| {
            let seen: Vec<u32> = profiles.pairs(profiles.profile(&dataset, pair)).map(|(p, _)| p as u32).collect();
            assert!(!seen.contains(&pair), "pair {pair} sees itself");
            assert!(seen.iter().all(|&p| dataset.ratings[p as usize].user == dataset.ratings[pair as usize].user));
            seen
        };
        let own = |pair: u32, from: &[u32]| {
            let user = dataset.ratings[pair as usize].user;
            from.iter().copied().filter(|&p| dataset.ratings[p as usize].user == user).collect::<Vec<_>>()
        };
        let mut known = [fold.train.as_slice(), &fold.validation].concat();
        known.sort_unstable();
        fold.test.iter().for_each(|&pair| assert_eq!(of(pair), own(pair, &known)));
        fold.validation.iter().for_each(|&pair| assert_eq!(of(pair), own(pair, &fold.train)));
        let (mut most, mut seen) = (0, 0);
        for &pair in &fold.train {
            let others = own(pair, &fold.train);
            let of = of(pair);
            assert!(of.iter().all(|p| others.contains(p)), "training pairs see training pairs only");
            (most, seen) = (most + others.len(), seen + of.len());
        }
        let share = seen as f64 / most as f64;
        assert!((0.5..0.85).contains(&share), "about three of four folds are seen, less the pair: {share}");
    }

    #[test]
    fn sums_are_the_genres_of_the_pairs_behind_them() {
        let dataset = example(30, 15, 9, Taste::Chance, 2);
        let spec = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Ann, UserEmbedding::All, true);
        let mut fold = fold_pairs(&dataset, &spec, 1, None).expect("it splits");
        fold.train.push(fold.train[0]);
        for (profiles, doubled) in [
            (Profiles::honest(&dataset, &fold, 3, 1, false), 1.0),
            (Profiles::honest(&dataset, &fold, 3, 1, true), 2.0),
            (Profiles::leaky(&dataset, &fold, true), 2.0),
        ] {
            for profile in 0..profiles.len() {
                let mut want = [[0.0_f32; 4]; 3];
                for (pair, weight) in profiles.pairs(profile) {
                    let rating = dataset.ratings[pair];
                    assert_eq!(weight, if pair == fold.train[0] as usize { doubled } else { 1.0 });
                    for (sum, hot) in want[rating.label.index()].iter_mut().zip(profiles.genres(rating.movie)) {
                        *sum += weight * hot;
                    }
                }
                assert_eq!(profiles.sums(profile), [&want[0][..], &want[1], &want[2]]);
            }
        }
        let leaky = Profiles::leaky(&dataset, &fold, false);
        assert_eq!(
            leaky.pairs(leaky.profile(&dataset, fold.test[0])).count(),
            9,
            "all of the user's pairs, its own too"
        );
    }
}
