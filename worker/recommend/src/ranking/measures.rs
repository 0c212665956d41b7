//! Measures of ranked lists.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Figures of a ranker over all judged users: first the mean over the lists of a user, of which
/// each fold may have one, then the mean over the users.
///
/// Relevant are the movies of the test pairs that the user likes; all movies that the user has not
/// rated in training are ranked, and what is not a relevant movie counts as wrong, whether it was
/// seen or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RankingMetrics {
    /// Length of the lists.
    pub k: usize,
    /// Users judged: those with a known rating and a relevant movie.
    pub users: usize,
    /// Normalised discounted cumulative gain of the first k.
    pub ndcg: f64,
    /// Standard error of [`RankingMetrics::ndcg`] over the users; `None` for one user.
    pub ndcg_error: Option<f64>,
    /// Share of the relevant movies among the first k.
    pub recall: f64,
    /// Mean average precision of the first k.
    pub map: f64,
    /// Mean reciprocal rank of the first relevant movie, over the whole ranking.
    pub mrr: f64,
    /// Share of users with a relevant movie among the first k.
    pub hit_rate: f64,
    /// Probability that a relevant movie is before another one, over the whole ranking: mean over
    /// the users.
    pub auc: f64,
    /// Share of the catalogue that is among the first k of anybody.
    pub coverage: f64,
    /// How unequally movies are shown: 0 if all equally often, 1 if one alone.
    pub gini: f64,
    /// Mean of -log2 of the share of users who have rated the shown movie in training.
    pub novelty: f64,
    /// Mean number of training ratings of the shown movies.
    pub popularity: f64,
    /// Mean number of shown movies that the user dislikes in the test pairs, over all users with a
    /// known rating and a test pair, whether they like one or not.
    pub disliked: f64,
    /// The number of those users.
    #[serde(default)]
    pub disliked_users: usize,
    /// Share of movies that the first k of any two users have in common, on average; `None` for one
    /// user.
    pub overlap: Option<f64>,
    /// Share of lists that hold every movie left to rank, mean over the users. Recall and hit rate
    /// of such a list are 1, whatever the ranker.
    pub whole_lists: f64,
}

/// The list of one user, and its figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserList {
    /// The first k movies.
    pub shown: Vec<u32>,
    /// See [`RankingMetrics::ndcg`].
    pub ndcg: f64,
    pub(super) recall: f64,
    pub(super) map: f64,
    pub(super) mrr: f64,
    pub(super) hit: f64,
    pub(super) auc: f64,
    pub(super) disliked: f64,
    pub(super) is_whole: f64,
    /// Whether the user likes a movie of the test pairs, so that the list can be right.
    pub(super) judged: bool,
}

/// Judges one ranking, best first. `relevant` and `disliked` are sorted movies; all relevant ones
/// occur in the ranking.
#[must_use]
pub fn judge(ranking: &[u32], relevant: &[u32], disliked: &[u32], k: usize) -> UserList {
    let is = |set: &[u32], movie: &u32| set.binary_search(movie).is_ok();
    let shown = &ranking[..k.min(ranking.len())];
    let (mut gain, mut hits, mut precisions) = (0.0, 0.0, 0.0);
    for (place, movie) in shown.iter().enumerate() {
        if is(relevant, movie) {
            hits += 1.0;
            gain += 1.0 / (place as f64 + 2.0).log2();
            precisions += hits / (place as f64 + 1.0);
        }
    }
    let reachable = relevant.len().min(k);
    let ideal: f64 = (0..reachable).map(|place| 1.0 / (place as f64 + 2.0).log2()).sum();
    // Of the movies that are not relevant, how many come after each relevant one.
    let others = (ranking.len() - relevant.len()) as f64;
    let (mut before, mut after, mut first) = (0.0, 0.0, None);
    for (place, movie) in ranking.iter().enumerate() {
        if is(relevant, movie) {
            after += others - before;
            first = first.or(Some(place + 1));
        } else {
            before += 1.0;
        }
    }
    UserList {
        ndcg: if ideal > 0.0 { gain / ideal } else { 0.0 },
        recall: hits / relevant.len().max(1) as f64,
        map: precisions / reachable.max(1) as f64,
        mrr: first.map_or(0.0, |place| 1.0 / place as f64),
        hit: f64::from(u8::from(hits > 0.0)),
        auc: if others > 0.0 { after / (others * relevant.len().max(1) as f64) } else { 1.0 },
        disliked: shown.iter().filter(|movie| is(disliked, movie)).count() as f64,
        is_whole: f64::from(u8::from(ranking.len() <= k)),
        judged: !relevant.is_empty(),
        shown: shown.to_vec(),
    }
}

/// Combines lists, each with its user. A user with lists of several folds counts once, with the
/// mean over the lists. Lists of users without a relevant movie count in `disliked` alone. `raters`
/// are the training ratings of each movie, by `users` users.
#[must_use]
pub fn combine(lists: &[(u32, UserList)], k: usize, raters: &[u32], users: usize) -> RankingMetrics {
    let by_user = |wanted: &dyn Fn(&UserList) -> bool| {
        let mut by_user: BTreeMap<u32, Vec<&UserList>> = BTreeMap::new();
        let wanted = lists.iter().filter(|(_, list)| wanted(list));
        wanted.for_each(|(user, list)| by_user.entry(*user).or_default().push(list));
        by_user
    };
    let (everybody, by_user) = (by_user(&|_| true), by_user(&|list| list.judged));
    let lists: Vec<&UserList> = by_user.values().flatten().copied().collect();
    let n = by_user.len().max(1) as f64;
    let of_user = |own: &[&UserList], of: fn(&UserList) -> f64| {
        own.iter().map(|list| of(list)).sum::<f64>() / own.len().max(1) as f64
    };
    let mean = |of: fn(&UserList) -> f64| by_user.values().map(|own| of_user(own, of)).sum::<f64>() / n;
    let mut times_shown = vec![0.0_f64; raters.len()];
    lists.iter().flat_map(|list| &list.shown).for_each(|movie| times_shown[*movie as usize] += 1.0);
    let all: f64 = times_shown.iter().sum::<f64>().max(1.0);
    let rated = |movie: usize| f64::from(raters[movie]);
    let novelty = |movie: usize| -((rated(movie) + 1.0) / (users as f64 + 1.0)).log2();
    let over_shown = |of: &dyn Fn(usize) -> f64| {
        times_shown.iter().enumerate().filter(|(_, times)| **times > 0.0).map(|(m, times)| times * of(m)).sum::<f64>()
            / all
    };
    let ndcg = mean(|list| list.ndcg);
    let squares = by_user.values().map(|own| (of_user(own, |list| list.ndcg) - ndcg).powi(2));
    let variance = squares.sum::<f64>() / (n - 1.0).max(1.0);
    // Two lists of one user are no pair of users.
    let pairs = |count: f64| count * (count - 1.0).max(0.0);
    let own_pairs: f64 = by_user.values().map(|own| pairs(own.len() as f64)).sum();
    let length = all / lists.len().max(1) as f64;
    let pairs_of_lists = (pairs(lists.len() as f64) - own_pairs) * length;
    let own_common: f64 = by_user.values().filter(|own| own.len() > 1).map(|own| common_of(own)).sum();
    let common = times_shown.iter().map(|times| pairs(*times)).sum::<f64>() - own_common;
    RankingMetrics {
        k,
        users: by_user.len(),
        ndcg,
        ndcg_error: (by_user.len() > 1).then(|| (variance / n).sqrt()),
        recall: mean(|list| list.recall),
        map: mean(|list| list.map),
        mrr: mean(|list| list.mrr),
        hit_rate: mean(|list| list.hit),
        auc: mean(|list| list.auc),
        coverage: times_shown.iter().filter(|times| **times > 0.0).count() as f64 / raters.len().max(1) as f64,
        gini: gini(&mut times_shown.clone()),
        novelty: over_shown(&novelty),
        popularity: over_shown(&rated),
        disliked: everybody.values().map(|own| of_user(own, |list| list.disliked)).sum::<f64>()
            / everybody.len().max(1) as f64,
        disliked_users: everybody.len(),
        overlap: (by_user.len() > 1 && pairs_of_lists > 0.0).then(|| common / pairs_of_lists),
        whole_lists: mean(|list| list.is_whole),
    }
}

/// The movies that each two lists of one user have in common, summed over ordered pairs of lists.
fn common_of(own: &[&UserList]) -> f64 {
    let mut times: BTreeMap<u32, f64> = BTreeMap::new();
    own.iter().flat_map(|list| &list.shown).for_each(|movie| *times.entry(*movie).or_default() += 1.0);
    times.values().map(|times| times * (times - 1.0)).sum()
}

fn gini(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (n, all) = (values.len() as f64, values.iter().sum::<f64>());
    if all == 0.0 || values.len() < 2 {
        return 0.0;
    }
    let weighted: f64 = values.iter().zip(1..).map(|(value, place)| value * (2.0 * f64::from(place) - n - 1.0)).sum();
    weighted / ((n - 1.0) * all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Worked by hand: relevant movies at places 1, 4 and 6 of six, lists of 4.
    #[test]
    fn a_list_is_judged_as_by_hand() {
        let list = judge(&[10, 1, 2, 20, 3, 30], &[10, 20, 30], &[1, 3], 4);
        let ideal = 1.0 + 1.0 / 3_f64.log2() + 0.5;
        assert!((list.ndcg - (1.0 + 1.0 / 5_f64.log2()) / ideal).abs() < 1e-12);
        assert!((list.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((list.map - (1.0 + 0.5) / 3.0).abs() < 1e-12);
        assert_eq!((list.mrr, list.hit, list.disliked), (1.0, 1.0, 1.0));
        assert!((list.auc - (3.0 + 1.0 + 0.0) / 9.0).abs() < 1e-12);
        assert_eq!(judge(&[1, 2], &[2], &[], 1).ndcg, 0.0);
        let whole = judge(&[7], &[7], &[], 10);
        assert_eq!((whole.ndcg, whole.is_whole, list.is_whole), (1.0, 1.0, 0.0));
    }

    #[test]
    fn lists_of_all_users_are_combined() {
        let list = |user, shown: [u32; 2], ndcg| {
            (user, UserList { shown: shown.into(), ndcg, judged: true, ..UserList::default() })
        };
        let same = combine(&[list(0, [0, 1], 1.0), list(1, [0, 1], 0.5)], 2, &[3, 1, 0, 0], 3);
        assert_eq!((same.overlap, same.coverage, same.users), (Some(1.0), 0.5, 2));
        assert!((same.ndcg - 0.75).abs() < 1e-12 && same.ndcg_error.is_some_and(|e| (e - 0.25).abs() < 1e-12));
        assert!((same.popularity - 2.0).abs() < 1e-12 && (same.novelty - 0.5).abs() < 1e-12);
        let apart = combine(&[list(0, [0, 1], 1.0), list(1, [2, 3], 0.5)], 2, &[3, 1, 0, 0], 3);
        assert_eq!((apart.overlap, apart.coverage, apart.gini), (Some(0.0), 1.0, 0.0));
        // A user with lists of two folds counts once, also in the standard error and the overlap.
        let folds = [list(0, [0, 1], 1.0), list(1, [2, 3], 0.5), list(0, [0, 1], 0.0)];
        let twice = combine(&folds, 2, &[3, 1, 0, 0], 3);
        assert_eq!((twice.users, twice.ndcg, twice.ndcg_error, twice.overlap), (2, 0.5, Some(0.0), Some(0.0)));
        // One user alone has no error and shares nothing with others.
        let one = combine(&[list(0, [0, 1], 1.0)], 2, &[3, 1, 0, 0], 3);
        assert_eq!((one.users, one.ndcg_error, one.overlap), (1, None, None));
        // A user who likes nothing of the test part counts among the disliked movies alone.
        let angry = UserList { shown: vec![2, 3], disliked: 2.0, ..UserList::default() };
        let with = combine(&[list(0, [0, 1], 1.0), list(1, [0, 1], 0.5), (2, angry)], 2, &[3, 1, 0, 0], 3);
        assert_eq!((with.users, with.disliked_users, with.disliked), (2, 3, 2.0 / 3.0));
        assert_eq!((with.ndcg, with.coverage, with.overlap), (same.ndcg, same.coverage, same.overlap));
        assert!((combine(&[list(0, [0, 0], 0.0)], 2, &[1; 4], 3).gini - 1.0).abs() < 1e-12);
    }
}
