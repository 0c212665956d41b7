//! The file of an embedding: safetensors with `mean` of shape [dim] and, for several vectors,
//! `parts` of shape [n, dim].

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use safetensors::{Dtype, SafeTensors, View};

use crate::error::{Error, Result};

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

/// Encodes `mean` of shape [dim] and, if given, `parts` of shape [n, dim].
pub fn encode(mean: &[f32], parts: Option<&[f32]>) -> Result<Bytes> {
    let mut tensors = BTreeMap::from([("mean", F32 { shape: vec![mean.len()], data: mean })]);
    if let Some(parts) = parts {
        tensors.insert("parts", F32 { shape: vec![parts.len() / mean.len().max(1), mean.len()], data: parts });
    }
    safetensors::serialize(tensors, None)
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

/// Encodes tensors as a safetensors file.
pub fn encode_named(tensors: Vec<Named<'_>>) -> Result<Bytes> {
    let views: BTreeMap<String, F32<'_>> =
        tensors.into_iter().map(|t| (t.name, F32 { shape: t.shape, data: t.data })).collect();
    safetensors::serialize(views, None)
        .map(Bytes::from)
        .map_err(|e| Error::bug("embeddings do not serialise").with_source(e))
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
