//! What a run leaves in the store beside its trailers' artifacts: tables of embeddings, the fitted model, and whether all of it is whole.

/// Maximum number of requests to the store at once.
pub(crate) const MAX_CONCURRENT_REQUESTS: usize = 32;

pub mod embedding_tables;
#[cfg(feature = "local")]
pub mod embeddings;
pub mod fitted_model;
pub mod integrity;
