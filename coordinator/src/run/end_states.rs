//! The end states of jobs as the store shows them, for results that were lost on the queue.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::job::{Outcome, QuarantineRecord};
use jhalak_common::run::{self, quarantine_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;
use crate::run::jobs::Jobs;
use crate::run::{missing, quarantined};

/// From this many pending jobs on, one listing per recipe costs less than a request per artifact.
const LISTING_THRESHOLD: usize = 500;

/// Returns the end states of the jobs in `pending` (index by id) that have one in the store. A commit outranks a quarantine
/// record.
pub async fn find(
    store: &dyn ObjectStore,
    plan: &Plan,
    jobs: &Jobs<'_>,
    pending: &BTreeMap<String, usize>,
) -> Result<Vec<(String, Outcome)>> {
    let quarantined = quarantined::keys(store, &plan.spec.id).await?;
    let extracts = pending.values().next().is_some_and(|&i| jobs.trailer(i).is_some());
    let listed = match extracts && pending.len() > LISTING_THRESHOLD {
        true => Some(missing::of_trailers(store, plan).await?),
        false => None,
    };
    let (quarantined, listed) = (&quarantined, &listed);
    let states = stream::iter(pending).map(|(id, &i)| async move {
        let committed = match (listed, jobs.trailer(i)) {
            (Some(missing), Some(trailer)) => missing[trailer] == 0,
            _ => missing::all_committed(store, &jobs.artifacts(i)).await?,
        };
        if committed {
            return Ok(Some((id.clone(), Outcome::Committed { made: 0, seconds: BTreeMap::new() })));
        }
        let key = quarantine_key(&plan.spec.id, id);
        if !quarantined.contains(&key) {
            return Ok(None);
        }
        let record: Option<QuarantineRecord> = run::get_json(store, &key).await?;
        Ok::<_, Error>(record.map(|r| (id.clone(), Outcome::Quarantined { error: r.error, reason: r.reason })))
    });
    states.buffered(MAX_CONCURRENT_REQUESTS).try_filter_map(|found| async move { Ok(found) }).try_collect().await
}
