//! The audio embedding: the mean over the vectors of an audio model. Sound is read in chunks, so
//! memory does not grow with its length.

use std::io::{Read, Seek};

use jhalak_common::artifact::recipes::AudioEmbeddingParams;
use jhalak_common::models::Model;
use jhalak_common::{Error, Result};

pub use super::sound::AudioEmbedding;
use super::sound::ModelSession;
use super::{feature_windows, waveform};
use crate::inference::Models;

/// Embeds sound: 16-bit little-endian mono samples at the sample rate of `model`. Sound too short
/// for one vector is padded with silence. Returns None for empty sound.
pub fn embed(sound: impl Read + Seek, model: &Model, models: &Models) -> Result<Option<AudioEmbedding>> {
    let (_, used) = AudioEmbeddingParams::of(model, models.registry(), models.inference())?;
    let sessions = used.iter().map(|m| models.session(m)).collect::<Result<Vec<_>>>()?;
    let loaded = |n: usize| ModelSession { model: used[n], session: &sessions[n] };
    match (used.len(), &model.waveform) {
        (1, Some(_)) => waveform::embed(sound, loaded(0), None),
        (2, Some(_)) => waveform::embed(sound, loaded(0), Some(loaded(1))),
        (2, None) => feature_windows::embed(sound, loaded(0), loaded(1)),
        _ => Err(Error::bug(format!("audio model {} needs 1 or 2 sessions, got {}", model.name, used.len()))),
    }
}
