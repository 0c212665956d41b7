//! Rankers side by side, on the same users and held-out pairs.

use jhalak_common::{Error, Result};
use jhalak_worker::nn::seeded;
use jhalak_worker::recommend::draw_folds::stratified_folds;
use jhalak_worker::recommend::ranking::{Ranker, RankingRequest, evaluate};

use super::frame::Frame;
use crate::report::{Ranked, Ranking};

/// The length of the lists.
const K: usize = 10;
/// The rankers: all that are fitted in seconds.
const RANKERS: [Ranker; 5] = [Ranker::MostRated, Ranker::Bias, Ranker::Ease, Ranker::Recent, Ranker::Watch];

/// Evaluates the rankers over random pairs, the folds of `jhalak evaluate --task ranking --split
/// pairs`.
///
/// # Errors
/// InvalidInput when no user has a held-out like; cancelled.
pub(super) fn rank(frame: &Frame<'_>) -> Result<Ranking> {
    let all: Vec<u32> = (0..frame.dataset.ratings.len() as u32).collect();
    let folds = stratified_folds(frame.dataset, &all, frame.folds, &mut seeded(frame.seed, 2));
    let Frame { dataset, seed, threads, stop, .. } = *frame;
    let request = RankingRequest { dataset, folds: &folds, k: K, seed, threads };
    let (mut users, mut whole_lists) = (0, 0.0);
    let mut rankers = Vec::new();
    for ranker in RANKERS {
        let found = evaluate(&request, ranker, stop, |_| ()).map_err(Error::from)?;
        (users, whole_lists) = (found.users, found.whole_lists);
        rankers.push(Ranked {
            ranker: ranker.name().to_owned(),
            ndcg: found.ndcg,
            ndcg_error: found.ndcg_error.unwrap_or_default(),
            recall: found.recall,
            map: found.map,
            hit_rate: found.hit_rate,
            auc: found.auc,
            coverage: found.coverage,
        });
    }
    if users == 0 {
        return Err(Error::invalid("no viewer has a held-out like"));
    }
    rankers.sort_by(|a, b| b.ndcg.total_cmp(&a.ndcg));
    Ok(Ranking { k: K, users, test_pairs: all.len(), folds: frame.folds, whole_lists, rankers })
}
