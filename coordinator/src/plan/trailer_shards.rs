//! Stores the list of a run's trailers: in one record, or in shards above [`SHARD`] trailers.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jhalak_common::compact::Packed;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::job::Trailer;
use jhalak_common::run::{RUN_VERSION, RunSpec, TrailerList, run_key, trailer_shard_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result, run};

/// Trailers in one shard.
pub const SHARD: usize = 10_000;

/// The largest shard that is read, in bytes of JSON: 6 kB for each trailer.
const MAX_SHARD_BYTES: u64 = 64 << 20;

/// Stores the list of trailers. Returns the hashes of its shards, none for a short list. Without a
/// specification, a list that is there was left by a submit that was stopped: nobody refers to it.
pub async fn put(store: &dyn ObjectStore, run: &str, list: &TrailerList) -> Result<Vec<Hash>> {
    let trailers = &list.trailers;
    if trailers.len() <= SHARD {
        let json = json(trailers.scan(), list.version)?;
        store.put(&run_key(run, "trailers.json"), json.into()).await?;
        return Ok(Vec::new());
    }
    let mut shards = Vec::new();
    let mut rows = trailers.scan().peekable();
    while rows.peek().is_some() {
        let json = json(rows.by_ref().take(SHARD), list.version)?;
        let content = hash::of_bytes(json.as_bytes());
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(json.as_bytes())?;
        store.put(&trailer_shard_key(&content), encoder.finish()?.into()).await?;
        shards.push(content);
    }
    Ok(shards)
}

fn json<'a>(trailers: impl Iterator<Item = Cow<'a, Trailer>>, version: u32) -> Result<String> {
    Ok(format!("{{\"trailers\":{},\"version\":{version}}}", hash::canonical_rows(trailers)?))
}

/// Reads the list of a run's trailers; None if it or a shard of it does not exist.
///
/// # Errors
/// InvalidInput for a damaged shard.
pub async fn load(store: &dyn ObjectStore, spec: &RunSpec) -> Result<Option<TrailerList>> {
    if spec.trailer_shards.is_empty() {
        return run::get_json(store, &run_key(&spec.id, "trailers.json")).await;
    }
    let mut trailers: Packed<Trailer> = Packed::default();
    for content in &spec.trailer_shards {
        let key = trailer_shard_key(content);
        let damaged = || {
            Error::invalid(format!(
                "{key}, a shard of the list of trailers of the run {}, is damaged: the run cannot continue. Submit with \
                 another slot, or delete the objects below {} and submit again, which stores the list again",
                spec.id,
                run_key(&spec.id, "")
            ))
        };
        let bytes = match store.get(&key).await {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.context(key)),
        };
        let mut json = Vec::new();
        let read = GzDecoder::new(&bytes[..]).take(MAX_SHARD_BYTES).read_to_end(&mut json);
        if read.is_err() || hash::of_bytes(&json) != *content {
            return Err(damaged());
        }
        let shard: TrailerList = serde_json::from_slice(&json).map_err(|e| damaged().with_source(e))?;
        trailers.append(shard.trailers);
    }
    Ok(Some(TrailerList { version: RUN_VERSION, trailers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{empty_store, plan};

    #[tokio::test]
    async fn a_long_list_is_stored_in_shards_and_read_back() {
        let (_folder, store) = empty_store();
        for count in [0, 3, SHARD, SHARD + 1, 2 * SHARD + 5] {
            let mut plan = plan(count);
            plan.spec.id = format!("films-{count}");
            let shards = put(store.as_ref(), &plan.spec.id, &plan.trailers).await.expect("room on disk");
            assert_eq!(shards.len(), if count <= SHARD { 0 } else { count.div_ceil(SHARD) });
            plan.spec.trailer_shards = shards;
            assert_eq!(load(store.as_ref(), &plan.spec).await.expect("readable"), Some(plan.trailers), "{count}");
        }
    }

    #[tokio::test]
    async fn a_lost_or_changed_shard_is_an_error() {
        let (_folder, store) = empty_store();
        let mut plan = plan(SHARD + 1);
        plan.spec.trailer_shards = put(store.as_ref(), "films-1", &plan.trailers).await.expect("room on disk");
        let [first, last] = plan.spec.trailer_shards[..] else { panic!("two shards") };
        let other = store.get(&trailer_shard_key(&last)).await.expect("a shard");
        store.put(&trailer_shard_key(&first), other).await.expect("room on disk");
        let error = load(store.as_ref(), &plan.spec).await.expect_err("another shard").chain();
        assert!(error.contains("damaged"), "{error}");
        store.delete(&trailer_shard_key(&first)).await.expect("a folder that can be written");
        assert_eq!(load(store.as_ref(), &plan.spec).await.expect("a store"), None);
    }
}
