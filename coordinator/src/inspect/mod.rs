//! Reads the artifacts of single trailers, for people: small pictures of keyframes with their
//! objects, scenes, sound, and how embeddings lie to each other.

pub mod embeddings;
pub mod thumbnail;
pub mod trailer;
