//! The inputs of the models: embeddings, GL-scores, user profiles and catalogue metadata.

pub mod embedding;
pub mod gl_score;
pub mod inputs;
pub(crate) mod latent_semantic;
pub mod metadata;
pub(crate) mod movie_content;
pub mod principal_components;
pub mod profile;
pub(crate) mod standardise;
pub mod user_embedding;
