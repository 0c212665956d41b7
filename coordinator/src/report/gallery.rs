//! The pictures of a report: a sample of the trailers with their pictures, and maps of the
//! embeddings.

use serde::{Deserialize, Serialize};

use crate::inspect::trailer::TrailerView;

/// Pictures and maps. The pictures themselves are on the page alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// The sampled trailers.
    pub trailers: Vec<Shown>,
    /// Trailers of the run that are not shown.
    pub not_shown: u64,
    /// Trailers whose artifacts could not be read: movie id and reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreadable: Vec<(String, String)>,
    /// One map for each modality with embeddings.
    pub maps: Vec<Map>,
}

/// A trailer that is shown.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// The movie's title.
    pub title: String,
    /// Its genres.
    pub genres: Vec<String>,
    /// The artifacts of the trailer.
    pub view: TrailerView,
    /// Its nearest trailers of the map.
    pub nearest: Vec<Near>,
}

/// The nearest trailers by one modality.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// `video` or `audio`.
    pub modality: String,
    /// The nearest first: title, and cosine similarity from -1 to 1.
    pub trailers: Vec<(String, f64)>,
}

/// A map of embeddings: two principal components.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// `video` or `audio`.
    pub modality: String,
    /// The points.
    pub points: Vec<MapPoint>,
    /// Trailers with an embedding that are not on the map.
    pub not_shown: u64,
    /// The share of the variance that each component holds.
    pub variance: [f64; 2],
}

/// A trailer on a map.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MapPoint {
    /// The movie's title.
    pub title: String,
    /// Its first genre; empty when it has none.
    pub genre: String,
    /// Its place.
    pub at: [f64; 2],
}
