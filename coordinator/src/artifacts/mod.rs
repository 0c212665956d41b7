//! Artifacts in the store that the coordinator itself reads, writes or checks: tables of
//! embeddings, the fitted model, and the integrity of all commit records.

/// Maximum number of requests to the store at once.
pub(crate) const MAX_CONCURRENT_REQUESTS: usize = 32;

pub mod embedding_tables;
#[cfg(feature = "local")]
pub mod embeddings;
pub mod fitted_model;
pub mod integrity;
