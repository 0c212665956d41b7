//! Inputs of embedders other than single pictures and windows of features: clips of pictures, and
//! raw samples.

use serde::{Deserialize, Serialize};

use super::input::{PictureInput, within};
use crate::error::{Error, Result};

/// How the keyframes of a trailer become the input of a model that takes clips. The picture section
/// states size, channels and scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipInput {
    /// Frames in a clip. With fewer keyframes the rest of the input is zero, as in the paper; of
    /// more keyframes, the first are used.
    pub frames: usize,
    /// The order of the dimensions.
    pub layout: ClipLayout,
}

/// The order of a clip tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClipLayout {
    /// Batch, time, channel, row, column.
    Ntchw,
    /// Batch, channel, time, row, column.
    Ncthw,
    /// Batch, time, row, column, channel.
    Nthwc,
}

/// How sound becomes the input of a model that takes samples and returns one vector per frame. Long
/// sound is processed in overlapping chunks;
/// `samples of n frames = frame_samples + hop_samples x (n - 1)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaveformInput {
    /// Samples per second, one channel.
    pub sample_rate_hz: u32,
    /// Samples of -1 to 1 are multiplied by this.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub sample_scale: f32,
    /// The normalisation of the whole sound.
    #[serde(default)]
    pub normalise: Normalise,
    /// Samples that one output vector depends on: the receptive field.
    pub frame_samples: usize,
    /// Samples from one output vector to the next.
    pub hop_samples: usize,
    /// Output vectors of one chunk. Bounds memory.
    #[serde(default = "chunk_frames")]
    pub chunk_frames: usize,
    /// Output vectors that are discarded at an inner edge of a chunk. 0 is exact for a model whose
    /// vectors depend only on their receptive field; other models need more.
    #[serde(default)]
    pub margin_frames: usize,
    /// The model (role `audio-moments`) that measures the whole sound first, for a model that
    /// normalises a layer over the whole sound; its output becomes the second input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<String>,
}

/// The normalisation of a whole sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// Nothing.
    #[default]
    None,
    /// Zero mean and unit variance: (x - mean) / sqrt(variance + 1e-7), as wav2vec 2.0's feature
    /// extractor does.
    ZeroMeanUnitVariance,
}

fn one() -> f32 {
    1.0
}

fn is_one(scale: &f32) -> bool {
    *scale == 1.0
}

fn chunk_frames() -> usize {
    1_000
}

impl ClipInput {
    /// Returns the shape of one clip of pictures of the size of `picture`, in the order of
    /// [`ClipInput::layout`].
    pub fn clip_shape(&self, picture: &PictureInput) -> [usize; 5] {
        let (width, height) = (picture.width as usize, picture.height as usize);
        match self.layout {
            ClipLayout::Ntchw => [1, self.frames, 3, height, width],
            ClipLayout::Ncthw => [1, 3, self.frames, height, width],
            ClipLayout::Nthwc => [1, self.frames, height, width, 3],
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        within(self.frames, 1..=256, "clip.frames")
    }
}

impl WaveformInput {
    pub(super) fn check(&self) -> Result<()> {
        within(self.sample_rate_hz as usize, 4_000..=192_000, "waveform.sample_rate_hz")?;
        within(self.frame_samples, 1..=1 << 20, "waveform.frame_samples")?;
        within(self.hop_samples, 1..=1 << 20, "waveform.hop_samples")?;
        within(self.chunk_frames, 1..=1 << 20, "waveform.chunk_frames")?;
        if self.sample_scale == 0.0 || !self.sample_scale.is_finite() {
            return Err(Error::invalid("waveform.sample_scale must be a number other than 0"));
        }
        if self.chunk_frames <= 2 * self.margin_frames {
            return Err(Error::invalid(format!(
                "waveform.chunk_frames is {} and waveform.margin_frames {}: no frames are left between two margins",
                self.chunk_frames, self.margin_frames
            )));
        }
        Ok(())
    }
}
