//! The audio embedding: sound through the model that the registry describes, and the mean over its vectors. Sound is read in chunks, so memory
//! does not grow with its length.

use std::io::{Read, Seek};

use jhalak_common::artifact::recipes::AudioEmbeddingParams;
use jhalak_common::models::Model;
use jhalak_common::{Error, Result};

pub use super::sound::AudioEmbedding;
use super::sound::Loaded;
use super::{feature_windows, waveform};
use crate::inference::Models;

/// Embeds sound, read as 16-bit little-endian samples of one channel at the rate that `model` asks for. Sound too short for one vector is
/// followed by silence. None for no sample at all.
pub fn embed(sound: impl Read + Seek, model: &Model, models: &Models) -> Result<Option<AudioEmbedding>> {
    let (_, used) = AudioEmbeddingParams::of(model, models.registry(), models.inference())?;
    let sessions = used.iter().map(|m| models.session(m)).collect::<Result<Vec<_>>>()?;
    let loaded = |n: usize| Loaded { model: used[n], session: &sessions[n] };
    match (used.len(), &model.waveform) {
        (1, Some(_)) => waveform::embed(sound, loaded(0), None),
        (2, Some(_)) => waveform::embed(sound, loaded(0), Some(loaded(1))),
        (2, None) => feature_windows::embed(sound, loaded(0), loaded(1)),
        _ => Err(Error::bug(format!("the model {} hears with {} models", model.name, used.len()))),
    }
}
