//! Embeds sound in two steps: a features model, then an embedding model over windows of features.
//! Chunks overlap by the length of a window.

use std::io::Read;

use jhalak_common::artifact::recipes::CHUNK_WINDOWS;
use jhalak_common::models::{SoundInput, WindowInput};
use jhalak_common::{Error, Result};

use super::sound::{AudioEmbedding, MeanAccumulator, ModelSession, read_samples};
use crate::inference::Tensor;

struct Framing {
    frame_length: usize,
    frame_hop: usize,
    window: usize,
    window_hop: usize,
    scale: f32,
    divide_by: f32,
    add: f32,
}

impl Framing {
    fn of(sound: &SoundInput, windows: &WindowInput) -> Framing {
        Framing {
            frame_length: sound.frame_samples,
            frame_hop: sound.hop_samples,
            window: windows.window_frames,
            window_hop: windows.hop_frames,
            scale: sound.sample_scale / 32_768.0,
            divide_by: sound.divide_by,
            add: sound.add,
        }
    }

    /// Number of samples that `windows` windows cover.
    fn samples(&self, windows: usize) -> usize {
        let frames = self.window + self.window_hop * (windows - 1);
        self.frame_length + self.frame_hop * (frames - 1)
    }

    /// Number of samples from one window to the next.
    fn step(&self) -> usize {
        self.window_hop * self.frame_hop
    }
}

/// Embeds sound of 16-bit samples at the rate of the models; see [`super::audio::embed`].
pub(super) fn embed(
    mut sound: impl Read,
    features: ModelSession<'_>,
    embedding: ModelSession<'_>,
) -> Result<Option<AudioEmbedding>> {
    let (Some(sound_input), Some(window_input)) = (&features.model.sound, &embedding.model.windows) else {
        return Err(Error::bug(format!(
            "the models {} and {} lack a sound or windows section",
            features.model.name, embedding.model.name
        )));
    };
    let framing = Framing::of(sound_input, window_input);
    let mut samples: Vec<f32> = Vec::new();
    let mut total = MeanAccumulator::default();
    loop {
        let wanted = framing.samples(CHUNK_WINDOWS) - samples.len();
        let read = read_samples(&mut sound, wanted, framing.scale, &mut samples)?;
        let ended = read < wanted;
        let one = framing.samples(1);
        if samples.len() < one && ended {
            if samples.is_empty() || !total.is_empty() {
                break;
            }
            samples.resize(one, 0.0);
        }
        let windows = (samples.len() - one) / framing.step() + 1;
        let rows = embed_chunk(&samples[..framing.samples(windows)], windows, &framing, features, embedding)?;
        rows.chunks_exact(rows.len() / windows).for_each(|row| total.add(row.iter().copied()));
        if ended {
            break;
        }
        samples.drain(..windows * framing.step());
    }
    Ok(total.mean())
}

fn embed_chunk(
    samples: &[f32],
    windows: usize,
    framing: &Framing,
    features: ModelSession<'_>,
    embedding: ModelSession<'_>,
) -> Result<Vec<f32>> {
    let frames = framing.window + framing.window_hop * (windows - 1);
    let shape = match features.session.contract().inputs[0].shape.len() {
        1 => vec![samples.len()],
        3 => vec![1, 1, samples.len()],
        _ => vec![1, samples.len()],
    };
    let spectrum = features.session.run(Tensor { shape, data: samples.to_vec() })?.data;
    if spectrum.is_empty() || !spectrum.len().is_multiple_of(frames) {
        return Err(Error::invalid(format!(
            "the model {} returned {} values for {frames} frames",
            features.model.name,
            spectrum.len()
        )));
    }
    let width = spectrum.len() / frames;
    let scaled: Vec<f32> = spectrum.iter().map(|v| v / framing.divide_by + framing.add).collect();
    let mut input = Vec::with_capacity(windows * framing.window * width);
    for window in 0..windows {
        let start = window * framing.window_hop * width;
        input.extend_from_slice(&scaled[start..start + framing.window * width]);
    }
    let shape = match embedding.session.contract().inputs[0].shape[..] {
        [_, _, _] => vec![windows, framing.window, width],
        [_, 1, _, _] => vec![windows, 1, framing.window, width],
        _ => vec![windows, framing.window, width, 1],
    };
    let output = embedding.session.run(Tensor { shape, data: input })?.data;
    if output.is_empty() || !output.len().is_multiple_of(windows) {
        return Err(Error::invalid(format!(
            "the model {} returned {} values for {windows} windows",
            embedding.model.name,
            output.len()
        )));
    }
    Ok(output)
}
