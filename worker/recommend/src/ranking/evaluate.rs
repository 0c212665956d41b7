//! Evaluates rankers over held-out pairs.

use super::measures::{RankingMetrics, UserList, combine, judge};
use super::rankers::{FittedRanker, Ranker};
use crate::RecommendError;
use jhalak_common::dataset::{Dataset, Label};
use jhalak_nn::{seeded, shuffle};
use std::sync::atomic::{AtomicBool, Ordering};

/// Stream of the seed for movies of equal score.
const TIES: u64 = 21;

/// The request of an evaluation.
pub struct RankingRequest<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// The test pairs of each fold, sorted. All other pairs of the dataset are known.
    pub folds: &'a [Vec<u32>],
    /// Length of the lists.
    pub k: usize,
    /// Seed of the models and of the order of movies with equal scores.
    pub seed: u64,
    /// Threads that rank.
    pub threads: usize,
}

/// One user to judge.
struct Judged {
    user: u32,
    relevant: Vec<u32>,
    disliked: Vec<u32>,
}

/// Evaluates a ranker on every fold: all movies are ranked that the user has not rated in training.
/// Returns the figures over the users of all folds, each counted once, and calls `ended` after each
/// fold.
///
/// # Errors
/// [`RecommendError`]: nobody to judge, a model that cannot be fitted, or `stop`.
pub fn evaluate(
    request: &RankingRequest<'_>,
    ranker: Ranker,
    stop: &AtomicBool,
    ended: impl Fn(usize),
) -> Result<RankingMetrics, RecommendError> {
    let RankingRequest { dataset, folds, k, seed, .. } = *request;
    let (mut lists, mut raters, mut likes) = (Vec::new(), vec![0_u32; dataset.movies.len()], false);
    for (fold, test) in folds.iter().enumerate() {
        let known: Vec<u32> =
            (0..dataset.ratings.len() as u32).filter(|pair| test.binary_search(pair).is_err()).collect();
        let judged = judged_users(dataset, &known, test);
        known.iter().for_each(|&pair| raters[dataset.ratings[pair as usize].movie as usize] += 1);
        likes |= judged.iter().any(|one| !one.relevant.is_empty());
        if judged.is_empty() {
            continue;
        }
        let fitted = FittedRanker::fit(ranker, dataset, &known, seed, stop)?;
        lists.extend(rank_all(request, &fitted, &known, &judged, stop)?);
        ended(fold);
    }
    if !likes {
        let reason = "no user has both a known rating and a held-out like: hold out other pairs".to_owned();
        return Err(RecommendError::Dataset { dataset: dataset.name.clone(), reason });
    }
    raters.iter_mut().for_each(|count| *count /= folds.len().max(1) as u32);
    Ok(combine(&lists, k, &raters, dataset.users.len()))
}

/// Returns the users with a known pair and a test pair.
fn judged_users(dataset: &Dataset, known: &[u32], test: &[u32]) -> Vec<Judged> {
    let user = |pair: &u32| dataset.ratings[*pair as usize].user;
    let mut is_known = vec![false; dataset.users.len()];
    known.iter().for_each(|pair| is_known[user(pair) as usize] = true);
    let of = |own: &[u32], label: Label| -> Vec<u32> {
        own.iter().map(|&pair| dataset.ratings[pair as usize]).filter(|r| r.label == label).map(|r| r.movie).collect()
    };
    test.chunk_by(|a, b| user(a) == user(b))
        .map(|own| Judged { user: user(&own[0]), relevant: of(own, Label::Like), disliked: of(own, Label::Dislike) })
        .filter(|judged| is_known[judged.user as usize])
        .collect()
}

fn rank_all(
    request: &RankingRequest<'_>,
    fitted: &FittedRanker,
    known: &[u32],
    judged: &[Judged],
    stop: &AtomicBool,
) -> Result<Vec<(u32, UserList)>, RecommendError> {
    let RankingRequest { dataset, k, seed, threads, .. } = *request;
    let movies = dataset.movies.len();
    let mut shuffled: Vec<u32> = (0..movies as u32).collect();
    shuffle(&mut shuffled, &mut seeded(seed, TIES));
    let mut tie = vec![0; movies];
    shuffled.iter().zip(0u32..).for_each(|(movie, place)| tie[*movie as usize] = place);
    let rank = |one: &Judged| -> Result<(u32, UserList), RecommendError> {
        if stop.load(Ordering::Relaxed) {
            return Err(RecommendError::Stopped);
        }
        let scores = fitted.scores(one.user, movies)?;
        let start = known.partition_point(|&pair| dataset.ratings[pair as usize].user < one.user);
        let own = known[start..].iter().map(|&pair| dataset.ratings[pair as usize]);
        let mut ranking: Vec<u32> = (0..movies as u32).collect();
        let mut rated = vec![false; movies];
        own.take_while(|rating| rating.user == one.user).for_each(|rating| rated[rating.movie as usize] = true);
        ranking.retain(|movie| !rated[*movie as usize]);
        let (score, tie) = (|movie: &u32| scores[*movie as usize], |movie: &u32| tie[*movie as usize]);
        ranking.sort_unstable_by(|a, b| score(b).total_cmp(&score(a)).then_with(|| tie(a).cmp(&tie(b))));
        Ok((one.user, judge(&ranking, &one.relevant, &one.disliked, k)))
    };
    let share = judged.len().div_ceil(threads.max(1)).max(1);
    let work = |part: &[Judged]| part.iter().map(&rank).collect::<Result<Vec<(u32, UserList)>, RecommendError>>();
    let work = &work;
    std::thread::scope(|scope| {
        let started: Vec<_> = judged.chunks(share).map(|part| scope.spawn(move || work(part))).collect();
        let mut lists = Vec::new();
        for thread in started {
            match thread.join() {
                Ok(part) => lists.extend(part?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(lists)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Taste, example};
    use crate::time_order::TimeOrder;

    /// Users of one taste like one genre: rankers that know the user find it, the most rated do
    /// not, and figures depend neither on threads nor on the order of ids.
    #[test]
    fn personal_rankers_beat_popularity_where_tastes_differ() {
        let mut dataset = example(120, 40, 16, Taste::Genre, 4);
        dataset.times = (0..dataset.ratings.len() as i64).map(|i| (i * 7919) % 1009).collect();
        let folds = vec![TimeOrder::of(&dataset).expect("times").last_of_each_user(0.3).expect("many moments")];
        let running = AtomicBool::new(false);
        let run = |ranker, threads| {
            let request = RankingRequest { dataset: &dataset, folds: &folds, k: 5, seed: 1, threads };
            evaluate(&request, ranker, &running, |_| {}).expect("it runs")
        };
        let popular = run(Ranker::MostRated, 1);
        for ranker in [Ranker::Ease, Ranker::Recent, Ranker::Watch] {
            let figures = run(ranker, 1);
            assert!(figures.ndcg > popular.ndcg + 0.05, "{ranker:?}: {figures:?}, {popular:?}");
            assert!(
                figures.overlap.unwrap_or(1.0) < popular.overlap.unwrap_or(0.0) && figures.coverage >= popular.coverage,
                "{figures:?}"
            );
            assert_eq!(run(ranker, 3), figures);
        }
        // Users whose pairs are in several folds are counted once.
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let halves: Vec<Vec<u32>> =
            (0..2).map(|half| all.iter().copied().filter(|pair| pair % 2 == half).collect()).collect();
        let request = RankingRequest { dataset: &dataset, folds: &halves, k: 5, seed: 1, threads: 2 };
        let figures = evaluate(&request, Ranker::MostRated, &running, |_| {}).expect("it runs");
        assert!((100..=dataset.users.len()).contains(&figures.users), "{figures:?}");

        let request = RankingRequest { dataset: &dataset, folds: &folds, k: 5, seed: 1, threads: 1 };
        let stopped = evaluate(&request, Ranker::Ease, &AtomicBool::new(true), |_| {});
        assert_eq!(stopped, Err(RecommendError::Stopped));
        let nobody = RankingRequest { folds: &[Vec::new()], ..request };
        assert!(
            evaluate(&nobody, Ranker::Ease, &running, |_| {}).expect_err("nobody").to_string().contains("hold out")
        );
    }
}
