//! User profiles: sums of genre vectors over the user's pairs that a prediction may use.
//!
//! Under the published protocol these are all pairs, the predicted one included (erratum 1). Under
//! `strict` a test pair uses training and validation pairs, a validation pair uses training pairs,
//! and a training pair uses the training pairs of the other profile folds: leaving out only the
//! pair itself would reveal its label by what is missing from the sums.

use super::embedding::EmbeddingTable;
use crate::draw_folds::FoldPairs;
use jhalak_common::dataset::Dataset;
use jhalak_nn::{seeded, shuffle};

/// Stream of the cell's seed that profile folds are drawn from.
const GROUPS: u64 = 4;

/// The role of a pair in the fold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A test pair, or none of the fold.
    None,
    /// A validation pair.
    Validation,
    /// A training pair of this profile fold.
    Train(usize),
}

/// The profiles of all users, `variants` for each user.
#[derive(Debug)]
pub struct Profiles {
    genres: EmbeddingTable,
    /// Profiles of a user: 1 where all pairs are used; otherwise training and validation, training,
    /// and training without each of the profile folds.
    variants: usize,
    roles: Vec<Role>,
    /// Weight of each pair.
    weight: Vec<f32>,
    /// Range of each user's pairs in the dataset: `first[user]..first[user + 1]`.
    first: Vec<usize>,
    /// users x variants x 3 x genres.
    sums: Vec<f32>,
}

impl Profiles {
    /// Builds profiles of all pairs of the dataset, test pairs included (erratum 1). With `copies`,
    /// a pair counts as often as it occurs in the fold.
    #[must_use]
    pub fn all_pairs(dataset: &Dataset, fold: &FoldPairs, copies: bool) -> Self {
        let mut weight = vec![1.0; dataset.ratings.len()];
        if copies {
            weight.fill(0.0);
            for &pair in fold.train.iter().chain(&fold.validation).chain(&fold.test) {
                weight[pair as usize] += 1.0;
            }
        }
        Self::build(dataset, 1, vec![Role::Train(0); dataset.ratings.len()], weight)
    }

    /// Builds profiles that never use the predicted label. Training pairs are dealt into `folds`
    /// profile folds.
    #[must_use]
    pub fn out_of_fold(dataset: &Dataset, fold: &FoldPairs, folds: usize, seed: u64, copies: bool) -> Self {
        let mut roles = vec![Role::None; dataset.ratings.len()];
        let mut weight = vec![1.0; dataset.ratings.len()];
        fold.validation.iter().for_each(|&pair| roles[pair as usize] = Role::Validation);
        let mut train = fold.train.clone();
        train.sort_unstable();
        if copies {
            train.chunk_by(|a, b| a == b).for_each(|same| weight[same[0] as usize] = same.len() as f32);
        }
        train.dedup();
        shuffle(&mut train, &mut seeded(seed, GROUPS));
        train.iter().enumerate().for_each(|(i, &pair)| roles[pair as usize] = Role::Train(i % folds));
        Self::build(dataset, folds + 2, roles, weight)
    }

    fn build(dataset: &Dataset, variants: usize, roles: Vec<Role>, weight: Vec<f32>) -> Self {
        let genres = EmbeddingTable::genres(dataset);
        let mut first = vec![0; dataset.users.len() + 1];
        dataset.ratings.iter().for_each(|rating| first[rating.user as usize + 1] += 1);
        for user in 0..dataset.users.len() {
            first[user + 1] += first[user];
        }
        let sums = vec![0.0; dataset.users.len() * variants * 3 * genres.dim];
        let mut profiles = Self { genres, variants, roles, weight, first, sums };
        for (pair, rating) in dataset.ratings.iter().enumerate() {
            for variant in 0..variants {
                if profiles.uses(variant, pair) {
                    let dim = profiles.genres.dim;
                    let start = ((rating.user as usize * variants + variant) * 3 + rating.label.index()) * dim;
                    let hot = profiles.genres.row(rating.movie).unwrap_or(&[]);
                    for (sum, hot) in profiles.sums[start..start + dim].iter_mut().zip(hot) {
                        *sum += hot * profiles.weight[pair];
                    }
                }
            }
        }
        profiles
    }

    /// Returns whether this variant uses the pair.
    fn uses(&self, variant: usize, pair: usize) -> bool {
        match (self.variants, variant, self.roles[pair]) {
            (1, _, _) | (_, 0, Role::Validation) | (_, 0 | 1, Role::Train(_)) => true,
            (_, _, Role::Train(fold)) => variant != fold + 2,
            _ => false,
        }
    }

    /// Returns the index of the profile that predicts `pair`, below users x variants.
    ///
    /// The role of a pair decides: a copy made before the split (erratum 2) can be both a test and
    /// a training pair.
    #[must_use]
    pub fn profile(&self, dataset: &Dataset, pair: u32) -> usize {
        let variant = match (self.variants, self.roles[pair as usize]) {
            (1, _) | (_, Role::None) => 0,
            (_, Role::Validation) => 1,
            (_, Role::Train(fold)) => fold + 2,
        };
        dataset.ratings[pair as usize].user as usize * self.variants + variant
    }

    /// Returns the number of profiles: users x variants.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.first.len() - 1) * self.variants
    }

    /// Returns whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the sums of the genre vectors of a profile's disliked, neutral and liked movies.
    #[must_use]
    pub fn sums(&self, profile: usize) -> [&[f32]; 3] {
        let dim = self.genres.dim;
        std::array::from_fn(|label| &self.sums[(profile * 3 + label) * dim..(profile * 3 + label + 1) * dim])
    }

    /// Returns the genre vector of a movie.
    #[must_use]
    pub fn genres(&self, movie: u32) -> &[f32] {
        self.genres.row(movie).unwrap_or(&[])
    }

    /// Returns the pairs of a profile with their weights.
    pub fn pairs(&self, profile: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let (user, variant) = (profile / self.variants, profile % self.variants);
        (self.first[user]..self.first[user + 1])
            .filter(move |&pair| self.uses(variant, pair) && self.weight[pair] > 0.0)
            .map(|pair| (pair, self.weight[pair]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw_folds::fold_pairs;
    use crate::example::{Taste, example};
    use jhalak_common::evaluation::{CellSpec, Modality, Model, Split, UserEmbedding};

    /// Checks the pairs of every profile against the definition for each role.
    #[test]
    fn profiles_exclude_the_own_label_and_pairs_that_the_role_forbids() {
        let dataset = example(30, 15, 9, Taste::Chance, 1);
        let spec = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Ann, UserEmbedding::All, true);
        let fold = fold_pairs(&dataset, &spec, 0, None).expect("it splits");
        let profiles = Profiles::out_of_fold(&dataset, &fold, 4, 7, false);
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
    fn sums_add_up_the_genres_of_the_profile_pairs() {
        let dataset = example(30, 15, 9, Taste::Chance, 2);
        let spec = CellSpec::strict(Split::Pairs, Modality::Genre, Model::Ann, UserEmbedding::All, true);
        let mut fold = fold_pairs(&dataset, &spec, 1, None).expect("it splits");
        fold.train.push(fold.train[0]);
        for (profiles, doubled) in [
            (Profiles::out_of_fold(&dataset, &fold, 3, 1, false), 1.0),
            (Profiles::out_of_fold(&dataset, &fold, 3, 1, true), 2.0),
            (Profiles::all_pairs(&dataset, &fold, true), 2.0),
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
        let leaky = Profiles::all_pairs(&dataset, &fold, false);
        assert_eq!(
            leaky.pairs(leaky.profile(&dataset, fold.test[0])).count(),
            9,
            "all of the user's pairs, its own too"
        );
    }
}
