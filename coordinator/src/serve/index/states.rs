//! The state of each trailer of a run: which artifacts are committed, and why others are not.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, stream};
use jhalak_common::artifact;
use jhalak_common::run::job::{QuarantineRecord, Task};
use jhalak_common::run::{self, quarantine_folder};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

use super::search::StateFilter;
use crate::artifacts::MAX_CONCURRENT_REQUESTS;
use crate::plan::Plan;

/// Most recipes of one run that are distinguished. A run has a dozen.
const MAX_RECIPES: usize = 32;

/// The states of the trailers of a run.
pub struct States {
    /// One bit for each recipe of the plan, for each trailer.
    committed: Vec<u32>,
    /// The state of each trailer.
    states: Vec<StateFilter>,
    /// Trailers in each state: committed, open, quarantined.
    pub counts: [u64; 3],
    /// The quarantine records, in the order of their keys.
    pub quarantined: Vec<Quarantined>,
    /// The record of each quarantined trailer.
    of_trailer: BTreeMap<usize, usize>,
}

/// A quarantine record without its message.
pub struct Quarantined {
    /// The record; its `message` is null.
    pub record: QuarantineRecord,
    /// The position of the trailer, where the job is the extraction of one.
    pub trailer: Option<usize>,
}

impl States {
    /// Reads the states of a run's trailers from the store.
    pub async fn read(store: &dyn ObjectStore, plan: &Plan) -> Result<States> {
        let trailers = &plan.trailers.trailers;
        let recipes = &plan.spec.recipes[..plan.spec.recipes.len().min(MAX_RECIPES)];
        let position = |folder: &str| {
            let (id, content) = folder.rsplit_once('@')?;
            let at = trailers.binary_search_by(|trailer| trailer.subject.id.as_str().cmp(id)).ok()?;
            (trailers[at].subject.content.short() == content).then_some(at)
        };
        let mut committed = vec![0u32; trailers.len()];
        for (bit, recipe) in recipes.iter().enumerate() {
            let mark = |folder: &str| {
                if let Some(at) = position(folder) {
                    committed[at] |= 1 << bit;
                }
            };
            artifact::each_committed(store, recipe.kind, &recipe.hash(), mark).await?;
        }
        let all = u32::try_from((1u64 << recipes.len()) - 1).unwrap_or(u32::MAX);
        let quarantined = read_quarantined(store, plan).await?;
        let of_trailer = quarantined.iter().enumerate().filter_map(|(i, one)| Some((one.trailer?, i))).collect();
        let of_trailer: BTreeMap<usize, usize> = of_trailer;
        let mut counts = [0; 3];
        let state = |(trailer, bits): (usize, &u32)| {
            // A commit outranks a quarantine record.
            let (place, state) = match (bits & all == all, of_trailer.contains_key(&trailer)) {
                (true, _) => (0, StateFilter::Committed),
                (_, true) => (2, StateFilter::Quarantined),
                _ => (1, StateFilter::Open),
            };
            counts[place] += 1;
            state
        };
        let states = committed.iter().enumerate().map(state).collect();
        Ok(States { committed, states, counts, quarantined, of_trailer })
    }

    /// Returns the state of a trailer.
    pub fn of(&self, trailer: usize) -> StateFilter {
        self.states.get(trailer).copied().unwrap_or(StateFilter::Open)
    }

    /// Whether the artifact of the plan's recipe number `recipe` is committed.
    pub fn is_committed(&self, trailer: usize, recipe: usize) -> bool {
        recipe < MAX_RECIPES && self.committed.get(trailer).is_some_and(|bits| bits >> recipe & 1 == 1)
    }

    /// Returns the quarantine record of a trailer.
    pub fn record_of(&self, trailer: usize) -> Option<&QuarantineRecord> {
        Some(&self.quarantined.get(*self.of_trailer.get(&trailer)?)?.record)
    }
}

/// Reads the quarantine records of a run, in the order of their keys. Records that an earlier
/// version wrote otherwise are left out.
async fn read_quarantined(store: &dyn ObjectStore, plan: &Plan) -> Result<Vec<Quarantined>> {
    let folder = quarantine_folder(&plan.spec.id);
    let keys: Vec<String> = store.list(&folder).map_ok(|object| object.key).try_collect().await?;
    let records = stream::iter(keys).map(|key| async move {
        match run::get_json::<QuarantineRecord>(store, &key).await {
            Ok(record) => Ok(record),
            Err(e) if e.kind() == jhalak_common::ErrorKind::InvalidInput => {
                tracing::warn!(error = %e.chain(), "cannot read a quarantine record");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    });
    let records: Vec<Option<QuarantineRecord>> =
        records.buffered(MAX_CONCURRENT_REQUESTS).try_collect::<Vec<_>>().await.map_err(|e: Error| e)?;
    let found = records.into_iter().flatten().map(|mut record| {
        let trailer = match record.decode_job().map(|job| job.task) {
            Some(Task::Extract(task)) => {
                let id = task.trailer.subject.id.as_str();
                plan.trailers.trailers.binary_search_by(|trailer| trailer.subject.id.as_str().cmp(id)).ok()
            }
            _ => None,
        };
        record.message = serde_json::Value::Null;
        Quarantined { record, trailer }
    });
    Ok(found.collect())
}
