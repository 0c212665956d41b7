//! The file of an embedding: safetensors with `mean` of shape [dim] and, for several vectors,
//! `parts` of shape [n, dim].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use safetensors::{Dtype, SafeTensors, View};
use serde_json::{Value, json};

use super::{Recipe, Subject};
use crate::error::{Error, Result};
use crate::hash::canonical_json;

/// The name of the one file of an embedding artifact.
pub const FILE: &str = "embedding.safetensors";

struct F32<'a> {
    shape: Vec<usize>,
    data: &'a [f32],
}

impl View for F32<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.data.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
    fn data_len(&self) -> usize {
        self.data.len() * 4
    }
}

/// The one key of the metadata of our safetensors files. Its value is JSON: with several keys, the
/// order of the file's bytes would change from run to run.
const METADATA_KEY: &str = "jhalak";

/// Returns what the metadata of an embedding's file says, so that a file that was moved out of its
/// folder can still be identified.
pub fn about(recipe: &Recipe, subject: &Subject) -> Value {
    json!({
        "artifact": recipe.kind, "recipe": recipe.hash(), "models": recipe.models,
        "movie": subject.id, "trailer": subject.content,
        "unit": "activations of the model's last layer, without a unit; not normalised",
    })
}

/// Encodes `mean` of shape [dim] and, if given, `parts` of shape [n, dim], with the metadata
/// `about`.
pub fn encode(mean: &[f32], parts: Option<&[f32]>, about: &Value) -> Result<Bytes> {
    let mut tensors = BTreeMap::from([("mean", F32 { shape: vec![mean.len()], data: mean })]);
    if let Some(parts) = parts {
        tensors.insert("parts", F32 { shape: vec![parts.len() / mean.len().max(1), mean.len()], data: parts });
    }
    safetensors::serialize(tensors, metadata(about))
        .map(Bytes::from)
        .map_err(|e| Error::bug("an embedding does not serialise").with_source(e))
}

/// A tensor with its name.
pub struct Named<'a> {
    /// The name.
    pub name: String,
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the product of the shape.
    pub data: &'a [f32],
}

fn metadata(about: &Value) -> Option<HashMap<String, String>> {
    Some(HashMap::from([(METADATA_KEY.to_owned(), canonical_json(about))]))
}

/// Encodes tensors as a safetensors file with the metadata `about`.
pub fn encode_named(tensors: Vec<Named<'_>>, about: &Value) -> Result<Bytes> {
    let views: BTreeMap<String, F32<'_>> =
        tensors.into_iter().map(|t| (t.name, F32 { shape: t.shape, data: t.data })).collect();
    safetensors::serialize(views, metadata(about))
        .map(Bytes::from)
        .map_err(|e| Error::bug("embeddings do not serialise").with_source(e))
}

/// The vectors in the file of an embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    /// The embedding of the whole trailer.
    pub mean: Vec<f32>,
    /// One vector for each keyframe or window of sound, in order, as long as `mean`.
    pub parts: Option<Vec<Vec<f32>>>,
}

/// Reads the file of an embedding.
pub fn decode(bytes: &[u8]) -> Result<Vectors> {
    let damaged = |e| Error::invalid("an embedding's file is damaged").with_source(e);
    let mean = decode_mean(bytes)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let Ok(parts) = tensors.tensor("parts") else { return Ok(Vectors { mean, parts: None }) };
    if parts.dtype() != Dtype::F32 || parts.shape().get(1) != Some(&mean.len()) || mean.is_empty() {
        return Err(Error::invalid("an embedding's `parts` do not fit its `mean`"));
    }
    let row = |row: &[u8]| row.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let parts = parts.data().chunks_exact(4 * mean.len()).map(row).collect();
    Ok(Vectors { mean, parts: Some(parts) })
}

/// Reads `mean` from the file of an embedding.
pub fn decode_mean(bytes: &[u8]) -> Result<Vec<f32>> {
    let damaged = |e| Error::invalid("an embedding's file is damaged").with_source(e);
    let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let mean = tensors.tensor("mean").map_err(damaged)?;
    if mean.dtype() != Dtype::F32 {
        return Err(Error::invalid("an embedding's `mean` is not of f32"));
    }
    Ok(mean.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}
