//! Draws the training, validation and test pairs of each fold.

use crate::RecommendError;
use jhalak_common::dataset::{Dataset, Label};
use jhalak_common::evaluation::{Balance, CellSpec, Protocol, Split};
use jhalak_nn::{Random, seeded, shuffle};

/// Share of the pairs that the published protocol tests on.
const PUBLISHED_TEST: f64 = 0.2;

/// Streams of the cell's seed, so that no two draws share their random numbers.
const COPIES: u64 = 1;
const TEST: u64 = 2;
const KNOWN: u64 = 3;
const VALIDATION: u64 = 1 << 16;

/// The pairs of one fold, as indexes into the dataset's ratings; up-sampling repeats an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoldPairs {
    /// Pairs that train the weights.
    pub train: Vec<u32>,
    /// Pairs that decide when to stop.
    pub validation: Vec<u32>,
    /// Pairs to predict.
    pub test: Vec<u32>,
}

/// Returns the seed of a fold of the cell.
pub(crate) fn fold_seed(spec: &CellSpec, fold: usize) -> u64 {
    spec.seed.wrapping_mul(1009).wrapping_add(fold as u64)
}

/// Draws fold `fold` (from 0) of the cell's protocol. Under `strict` without copies: see
/// [`upsample`].
///
/// `given` are the test pairs of the fold, sorted, for cells with given folds, and must be `None`
/// for others. Under the published protocol copies of a pair stay on its side of the split.
///
/// # Errors
/// A class with too few pairs, a fold that does not exist, or a fold without training or test
/// pairs.
pub fn fold_pairs(
    dataset: &Dataset,
    spec: &CellSpec,
    fold: usize,
    given: Option<&[u32]>,
) -> Result<FoldPairs, RecommendError> {
    if spec.given_folds.is_some() != given.is_some() {
        return Err(setting(
            "given_folds",
            "a cell with given folds needs them, and a cell that draws its folds takes none".to_owned(),
        ));
    }
    if fold >= spec.folds {
        return Err(setting("folds", format!("fold {fold} of {} does not exist", spec.folds)));
    }
    check_classes(dataset, spec)?;
    let all: Vec<u32> = (0..dataset.ratings.len()).map(index).collect();
    let validation_random = &mut seeded(spec.seed, VALIDATION + fold as u64);
    let pairs = match spec.protocol {
        Protocol::Paper { errata } => {
            let before = if errata.upsample_before_split { spec.training.balance } else { Balance::None };
            let all = upsample(dataset, &all, before, spec.seed);
            let (rest, test) = match given {
                None => stratified(dataset, &all, PUBLISHED_TEST, &mut seeded(spec.seed, TEST)),
                Some(given) => {
                    let (mut test, rest): (Vec<u32>, _) =
                        all.iter().partition(|pair| given.binary_search(pair).is_ok());
                    test.sort_unstable();
                    (rest, test)
                }
            };
            let (mut train, validation) = stratified(dataset, &rest, spec.training.validation, validation_random);
            if !errata.upsample_before_split {
                train = upsample(dataset, &train, spec.training.balance, spec.seed);
            }
            FoldPairs { train, validation, test }
        }
        Protocol::Strict { split } => {
            let random = &mut seeded(spec.seed, TEST);
            let test = match (split, given) {
                (_, Some(given)) => given.to_vec(),
                (Split::Pairs, None) => stratified_folds(dataset, &all, spec.folds, random).swap_remove(fold),
                (Split::Movies, None) => {
                    let held = group_folds(dataset.movies.len(), spec.folds, random);
                    all.iter().copied().filter(|&p| held[dataset.ratings[p as usize].movie as usize] == fold).collect()
                }
                (Split::Users { known }, None) => {
                    let held = group_folds(dataset.users.len(), spec.folds, random);
                    all_but_known(dataset, &all, known, &mut seeded(spec.seed, KNOWN), |user| {
                        held[user as usize] == fold
                    })
                }
            };
            let rest = without(&all, &test);
            let (train, validation) = stratified(dataset, &rest, spec.training.validation, validation_random);
            FoldPairs { train, validation, test }
        }
    };
    if let (true, Protocol::Strict { split: Split::Users { known } }, None) =
        (pairs.test.is_empty(), spec.protocol, given)
    {
        let reason =
            format!("no user of fold {fold} has more than {known} ratings: use a smaller number, or fewer folds");
        return Err(setting("known", reason));
    }
    if pairs.train.is_empty() || pairs.validation.is_empty() || pairs.test.is_empty() {
        let sizes =
            format!("{} train, {} validation, {} test", pairs.train.len(), pairs.validation.len(), pairs.test.len());
        return Err(setting(
            "folds",
            format!("fold {fold} of {} has {sizes} pairs: use fewer folds or more data", spec.folds),
        ));
    }
    Ok(pairs)
}

/// Removes `known` randomly drawn ratings of each user from the fold `test` (all pairs of the
/// fold's users, sorted). Users with no more ratings than that are removed.
#[must_use]
pub fn leave_known(dataset: &Dataset, test: &[u32], known: usize, seed: u64) -> Vec<u32> {
    all_but_known(dataset, test, known, &mut seeded(seed, KNOWN), |_| true)
}

/// Draws the folds of [`Split::Movies`], and leaves `known` randomly drawn ratings of each movie in
/// training. Movies with no more ratings than that are not tested.
#[must_use]
pub fn movie_folds(dataset: &Dataset, folds: usize, known: usize, seed: u64) -> Vec<Vec<u32>> {
    let held = group_folds(dataset.movies.len(), folds, &mut seeded(seed, TEST));
    let mut of_movie = vec![Vec::new(); dataset.movies.len()];
    (0u32..).zip(&dataset.ratings).for_each(|(pair, rating)| of_movie[rating.movie as usize].push(pair));
    let draw = &mut seeded(seed, KNOWN);
    let mut tests = vec![Vec::new(); folds];
    for (mut own, fold) in of_movie.into_iter().zip(held) {
        shuffle(&mut own, draw);
        tests[fold].extend(own.into_iter().skip(known));
    }
    tests.iter_mut().for_each(|test| test.sort_unstable());
    tests
}

/// Up-samples the dislikes in `pairs` as `balance` says. Under any other balance `pairs` stay as
/// they are.
///
/// All dislikes are repeated equally often, to one copy; those with one more copy are drawn at
/// random. Dislikes never outnumber the rarer of the other classes: the paper's factor is for a
/// dataset with rare dislikes, and would make them the most common class of another.
#[must_use]
pub fn upsample(dataset: &Dataset, pairs: &[u32], balance: Balance, seed: u64) -> Vec<u32> {
    let mut out = pairs.to_vec();
    let Balance::Upsample { dislike: factor } = balance else { return out };
    let mut dislikes: Vec<u32> =
        pairs.iter().copied().filter(|&p| dataset.ratings[p as usize].label == Label::Dislike).collect();
    shuffle(&mut dislikes, &mut seeded(seed, COPIES));
    let [_, neutrals, likes] = by_class(dataset, pairs).map(|class| class.len());
    let wanted = ((dislikes.len() as f64 * factor).round() as usize).min(neutrals.min(likes));
    out.extend(dislikes.iter().cycle().take(wanted.saturating_sub(dislikes.len())));
    out
}

/// Splits `pairs` in two so that the second part has ceil(share * n) pairs and the same share, to
/// one pair, of each class.
#[must_use]
pub fn stratified(dataset: &Dataset, pairs: &[u32], share: f64, random: &mut Random) -> (Vec<u32>, Vec<u32>) {
    let mut classes = by_class(dataset, pairs);
    let wanted = (share * pairs.len() as f64).ceil();
    let exact = classes.each_ref().map(|class| wanted * class.len() as f64 / pairs.len().max(1) as f64);
    let mut take = exact.map(|x| x.floor() as usize);
    let mut order = [0, 1, 2];
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()).then(a.cmp(&b)));
    let missing = (wanted as usize).saturating_sub(take.iter().sum());
    for &class in order.iter().take(missing) {
        take[class] += 1;
    }
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (class, take) in classes.iter_mut().zip(take) {
        shuffle(class, random);
        let (held, rest) = class.split_at(take.min(class.len()));
        first.extend_from_slice(rest);
        second.extend_from_slice(held);
    }
    first.sort_unstable();
    second.sort_unstable();
    (first, second)
}

/// Splits `pairs` into `folds` parts. Sizes, and the counts of each class, differ by at most one.
#[must_use]
pub fn stratified_folds(dataset: &Dataset, pairs: &[u32], folds: usize, random: &mut Random) -> Vec<Vec<u32>> {
    let mut parts = vec![Vec::new(); folds];
    let mut next = 0;
    for mut class in by_class(dataset, pairs) {
        shuffle(&mut class, random);
        for pair in class {
            parts[next % folds].push(pair);
            next += 1;
        }
    }
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

/// Returns the fold of each of `count` users or movies. Sizes differ by at most one.
fn group_folds(count: usize, folds: usize, random: &mut Random) -> Vec<usize> {
    let mut fold_of: Vec<usize> = (0..count).map(|i| i % folds).collect();
    shuffle(&mut fold_of, random);
    fold_of
}

/// Returns the pairs of the tested users without `known` of each, drawn at random.
fn all_but_known(
    dataset: &Dataset,
    pairs: &[u32],
    known: usize,
    draw: &mut Random,
    is_tested: impl Fn(u32) -> bool,
) -> Vec<u32> {
    let mut test = Vec::new();
    for own in pairs.chunk_by(|&a, &b| dataset.ratings[a as usize].user == dataset.ratings[b as usize].user) {
        let mut own = own.to_vec();
        shuffle(&mut own, draw); // for users of other folds too, so that the draw does not depend on the fold
        let user = dataset.ratings[own[0] as usize].user;
        if is_tested(user) && own.len() > known {
            test.extend_from_slice(&own[known..]);
        }
    }
    test.sort_unstable();
    test
}

fn by_class(dataset: &Dataset, pairs: &[u32]) -> [Vec<u32>; 3] {
    let mut classes = [Vec::new(), Vec::new(), Vec::new()];
    for &pair in pairs {
        classes[dataset.ratings[pair as usize].label.index()].push(pair);
    }
    classes
}

/// Returns `all` without `removed`, both sorted.
fn without(all: &[u32], removed: &[u32]) -> Vec<u32> {
    all.iter().copied().filter(|pair| removed.binary_search(pair).is_err()).collect()
}

fn check_classes(dataset: &Dataset, spec: &CellSpec) -> Result<(), RecommendError> {
    let all: Vec<u32> = (0..dataset.ratings.len()).map(index).collect();
    let needed = match spec.protocol {
        Protocol::Strict { split: Split::Pairs } if spec.given_folds.is_none() => spec.folds,
        _ => 1,
    };
    let classes = by_class(dataset, &all);
    // Two classes are a task; one is not.
    let may_lack = classes.iter().filter(|class| !class.is_empty()).count() >= 2;
    for (class, label) in classes.iter().zip(Label::ALL) {
        if class.len() < needed && !(class.is_empty() && may_lack) {
            return Err(RecommendError::ClassTooSmall { label, count: class.len(), needed });
        }
    }
    Ok(())
}

fn setting(setting: &'static str, reason: String) -> RecommendError {
    RecommendError::Setting { setting, reason }
}

fn index(i: usize) -> u32 {
    u32::try_from(i).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use jhalak_common::evaluation::{Errata, Modality, Model, PUBLISHED_UPSAMPLING, UserEmbedding};
    use proptest::prelude::*;

    fn spec(protocol: Protocol, folds: usize, seed: u64) -> CellSpec {
        let base = CellSpec::published(Modality::Genre, Model::Majority, UserEmbedding::Liked, true);
        CellSpec { protocol, folds, seed, ..base }
    }

    fn counts(dataset: &Dataset, pairs: &[u32]) -> [usize; 3] {
        by_class(dataset, pairs).map(|class| class.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn strict_folds_test_every_pair_once(users in 20_usize..60, folds in 2_usize..6, seed in 0_u64..1000, which in 0_usize..3) {
            let dataset = example(users, 15, 8, Taste::Chance, seed);
            let split = [Split::Pairs, Split::Movies, Split::Users { known: 3 }][which];
            let spec = spec(Protocol::Strict { split }, folds, seed);
            let all: Vec<FoldPairs> = (0..folds).map(|fold| fold_pairs(&dataset, &spec, fold, None).expect("it splits")).collect();
            let mut tested: Vec<u32> = all.iter().flat_map(|fold| fold.test.clone()).collect();
            tested.sort_unstable();
            prop_assert!(tested.windows(2).all(|w| w[0] < w[1]), "no pair is tested twice");
            let expected = if which == 2 { users * 5 } else { users * 8 };
            prop_assert_eq!(tested.len(), expected);
            for fold in &all {
                let mut everything = [fold.train.as_slice(), &fold.validation, &fold.test].concat();
                everything.sort_unstable();
                prop_assert_eq!(&everything, &(0..dataset.ratings.len()).map(index).collect::<Vec<_>>(), "each pair has one role");
                match split {
                    Split::Pairs => for class in 0..3 {
                        let per_fold: Vec<usize> = all.iter().map(|f| counts(&dataset, &f.test)[class]).collect();
                        let (low, high) = (per_fold.iter().min(), per_fold.iter().max());
                        prop_assert!(high.zip(low).is_some_and(|(h, l)| h - l <= 1), "stratified: {:?}", per_fold);
                    },
                    Split::Movies => {
                        let movie = |&p: &u32| dataset.ratings[p as usize].movie;
                        let tested: Vec<u32> = fold.test.iter().map(movie).collect();
                        prop_assert!(fold.train.iter().chain(&fold.validation).all(|p| !tested.contains(&movie(p))));
                    }
                    Split::Users { known } => {
                        let user = |&p: &u32| dataset.ratings[p as usize].user;
                        for tested in fold.test.iter().map(user) {
                            let left = fold.train.iter().chain(&fold.validation).filter(|p| user(p) == tested).count();
                            prop_assert_eq!(left, known);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_published_split_has_the_published_sizes_and_errata() {
        let dataset = example(200, 60, 40, Taste::Chance, 1);
        let errata = Errata::published();
        let published = spec(Protocol::Paper { errata }, 5, 0);
        let fold = |spec: &CellSpec, n| fold_pairs(&dataset, spec, n, None).expect("it splits");
        let (first, second) = (fold(&published, 0), fold(&published, 1));
        assert_eq!(first.test, second.test, "one test set for all folds");
        assert_ne!(first.validation, second.validation);
        let total = first.train.len() + first.validation.len() + first.test.len();
        assert_eq!(first.test.len(), (0.2 * total as f64).ceil() as usize);
        assert_eq!(first.validation.len(), (0.1 * (total - first.test.len()) as f64).ceil() as usize);
        assert!(first.test.iter().any(|p| first.train.binary_search(p).is_ok()), "erratum 2: copies on both sides");

        let mended = spec(Protocol::Paper { errata: Errata { upsample_before_split: false, ..errata } }, 5, 0);
        let fold = fold(&mended, 0);
        let mut train = fold.train.clone();
        train.sort_unstable();
        assert!(
            fold.test.iter().chain(&fold.validation).all(|p| train.binary_search(p).is_err()),
            "no pair on both sides"
        );
        assert!(train.windows(2).any(|w| w[0] == w[1]), "training pairs are up-sampled");
    }

    #[test]
    fn up_sampling_repeats_dislikes_evenly_up_to_the_rarer_class() {
        let dataset = example(50, 20, 10, Taste::Chance, 2);
        let all: Vec<u32> = (0..dataset.ratings.len()).map(index).collect();
        let [dislikes, neutrals, likes] = counts(&dataset, &all);
        let mut more = upsample(&dataset, &all, PUBLISHED_UPSAMPLING, 0);
        // Dislikes are as common as the other classes: none is repeated.
        assert_eq!(counts(&dataset, &more), [dislikes.max(neutrals.min(likes)), neutrals, likes]);
        // A few dislikes occur three or four times each.
        let rare: Vec<u32> = {
            let is_dislike = |&pair: &u32| dataset.ratings[pair as usize].label == Label::Dislike;
            let (few, rest): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(is_dislike);
            few.into_iter().take(dislikes / 8).chain(rest).collect()
        };
        more = upsample(&dataset, &rare, PUBLISHED_UPSAMPLING, 0);
        let wanted = ((dislikes / 8) as f64 * 6625.0 / 1887.0).round() as usize;
        assert_eq!(counts(&dataset, &more), [wanted, neutrals, likes]);
        more.sort_unstable();
        for same in more.chunk_by(|a, b| a == b) {
            let dislike = dataset.ratings[same[0] as usize].label == Label::Dislike;
            assert!(if dislike { (3..=4).contains(&same.len()) } else { same.len() == 1 });
        }
        assert_eq!(upsample(&dataset, &all, Balance::ClassWeights, 0), all);
    }

    #[test]
    fn given_folds_are_tested_unchanged_and_copies_stay_with_their_pair() {
        let dataset = example(30, 20, 10, Taste::Chance, 3);
        let user = |&pair: &u32| dataset.ratings[pair as usize].user;
        let given: Vec<u32> = (0..300).filter(|pair| user(pair) < 6).collect();
        let named =
            |protocol| CellSpec { given_folds: Some(jhalak_common::hash::of_bytes(b"f")), ..spec(protocol, 2, 1) };
        let draw = |protocol| fold_pairs(&dataset, &named(protocol), 1, Some(&given)).expect("it splits");
        for split in [Split::Pairs, Split::Movies, Split::Users { known: 0 }, Split::Users { known: 3 }] {
            let fold = draw(Protocol::Strict { split });
            assert_eq!(fold.test, given, "{split:?}");
            assert_eq!(fold.train.len() + fold.validation.len() + fold.test.len(), 300);
        }
        let left = leave_known(&dataset, &given, 3, 1);
        assert_eq!(left.len(), 6 * 7);
        assert!(left.is_sorted() && left.iter().all(|pair| given.contains(pair)));
        assert!((0..6).all(|of| left.iter().filter(|pair| user(pair) == of).count() == 7));

        let fold = draw(Protocol::Paper { errata: Errata::published() });
        assert!(fold.test.len() > given.len(), "with copies");
        assert!(fold.test.iter().all(|pair| given.contains(pair)));
        assert!(fold.train.iter().chain(&fold.validation).all(|pair| !given.contains(pair)));

        let strict = Protocol::Strict { split: Split::Pairs };
        assert!(fold_pairs(&dataset, &spec(strict, 2, 1), 0, Some(&given)).is_err(), "a cell that draws its folds");
        assert!(fold_pairs(&dataset, &named(strict), 0, None).is_err(), "a cell without its given folds");
    }

    /// The curve of cold-start figures relies on it: with more known ratings fewer pairs are
    /// tested, and none that was not tested before.
    #[test]
    fn movies_keep_their_known_ratings_and_folds_shrink_within_themselves() {
        let dataset = example(40, 12, 6, Taste::Chance, 5);
        let draw = |known| movie_folds(&dataset, 3, known, 9);
        let (none, two) = (draw(0), draw(2));
        let strict = spec(Protocol::Strict { split: Split::Movies }, 3, 9);
        for fold in 0..3 {
            assert_eq!(none[fold], fold_pairs(&dataset, &strict, fold, None).expect("it splits").test);
            assert!(two[fold].iter().all(|pair| none[fold].binary_search(pair).is_ok()));
            for movie in none[fold].iter().map(|&pair| dataset.ratings[pair as usize].movie) {
                let of = |test: &[u32]| test.iter().filter(|p| dataset.ratings[**p as usize].movie == movie).count();
                assert_eq!(of(&none[fold]).saturating_sub(2), of(&two[fold]));
            }
        }
    }
}
