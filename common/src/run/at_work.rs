//! Which worker is at work on which job: `runs/RUN/at-work/WORKER.json`, written every few seconds
//! while a worker has deliveries of the run. It shows copies of a job, lost jobs and hung ones. It
//! is a hint: no end state depends on it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::records::{RUN_VERSION, get_json, run_key};
use crate::error::Result;
use crate::process::Identity;
use crate::store::ObjectStore;

/// Seconds between two writes of a record.
pub const AT_WORK_INTERVAL_S: u64 = 3;

/// The jobs of one run that one worker holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtWork {
    /// [`RUN_VERSION`] of the writer.
    pub version: u32,
    /// The worker's id, see [`Identity::id`].
    pub worker: String,
    /// The worker's process.
    pub process: Identity,
    /// The version of its program.
    pub program: String,
    /// How many jobs it runs at once.
    pub slots: usize,
    /// The deliveries that it holds, running or waiting for a slot, by job id.
    pub jobs: BTreeMap<String, JobAtWork>,
    /// Why the worker cannot do jobs of this run, if it met one that it cannot do: another store,
    /// another version, a missing model, no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
    /// Time of writing, by the worker's clock.
    pub updated: jiff::Timestamp,
}

/// One job of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobAtWork {
    /// The trailer or the fold, for people.
    pub about: String,
    /// When the worker took the delivery.
    pub since: jiff::Timestamp,
    /// The current step: `wait`, `fetch`, `decode`, the kind of an artifact, `train`, `commit`.
    pub step: String,
    /// When that step began.
    pub step_since: jiff::Timestamp,
}

/// Returns the folder of a run's records.
pub fn at_work_folder(run: &str) -> String {
    run_key(run, "at-work/")
}

/// Returns the key of a worker's record.
pub fn at_work_key(run: &str, worker: &str) -> String {
    format!("{}{worker}.json", at_work_folder(run))
}

impl AtWork {
    /// Describes a worker without jobs.
    pub fn new(process: Identity, slots: usize) -> AtWork {
        AtWork {
            version: RUN_VERSION,
            worker: process.id(),
            process,
            program: env!("CARGO_PKG_VERSION").into(),
            slots,
            jobs: BTreeMap::new(),
            unable: None,
            updated: jiff::Timestamp::now(),
        }
    }

    /// Returns the age of the record in seconds, by this machine's clock.
    pub fn age_s(&self) -> i64 {
        jiff::Timestamp::now().as_second() - self.updated.as_second()
    }

    /// Reads the records of a run, in the order of their workers' ids. A record that cannot be read
    /// (of a newer program, half removed) is left out.
    pub async fn of_run(store: &dyn ObjectStore, run: &str) -> Result<Vec<AtWork>> {
        const MAX_CONCURRENT: usize = 32;
        let folder = at_work_folder(run);
        let keys: Vec<String> = store.list(&folder).map_ok(|object| object.key).try_collect().await?;
        let records = futures::stream::iter(keys)
            .map(|key| async move { get_json::<AtWork>(store, &key).await.unwrap_or_default() })
            .buffered(MAX_CONCURRENT);
        Ok(records.filter_map(std::future::ready).collect().await)
    }
}
