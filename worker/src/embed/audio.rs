//! The audio embedding: sound through a features model, windows of features through an embedding model, and the mean over time. Sound is
//! read in chunks that overlap by what a window needs, so memory does not grow with its length.

use std::io::Read;

use jhalak_common::extraction::CHUNK_WINDOWS;
use jhalak_common::models::{Model, SoundInput, WindowInput};
use jhalak_common::{Error, Result};

use crate::inference::{Session, Tensor};

/// A trailer's audio embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioEmbedding {
    /// The mean over the windows.
    pub mean: Vec<f32>,
    /// How many windows there were.
    pub windows: usize,
}

/// A model and its session.
#[derive(Clone, Copy)]
pub struct Loaded<'a> {
    /// What the registry says.
    pub model: &'a Model,
    /// Where it runs.
    pub session: &'a Session,
}

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

    /// Samples that `windows` windows see.
    fn samples(&self, windows: usize) -> usize {
        let frames = self.window + self.window_hop * (windows - 1);
        self.frame_length + self.frame_hop * (frames - 1)
    }

    /// Samples from one window to the next.
    fn step(&self) -> usize {
        self.window_hop * self.frame_hop
    }
}

/// Embeds sound, read as 16-bit little-endian samples of the models' rate and one channel. Sound shorter than a window is followed by silence.
/// None for no sample at all.
pub fn embed(mut sound: impl Read, features: Loaded<'_>, embedding: Loaded<'_>) -> Result<Option<AudioEmbedding>> {
    let (Some(sound_input), Some(window_input)) = (&features.model.sound, &embedding.model.windows) else {
        return Err(Error::bug(format!("the models {} and {} do not hear", features.model.name, embedding.model.name)));
    };
    let framing = Framing::of(sound_input, window_input);
    let mut samples: Vec<f32> = Vec::new();
    let mut total = Total::default();
    loop {
        let wanted = framing.samples(CHUNK_WINDOWS) - samples.len();
        let read = read_samples(&mut sound, wanted, framing.scale, &mut samples)?;
        let ended = read < wanted;
        let one = framing.samples(1);
        if samples.len() < one && ended {
            if samples.is_empty() || total.windows > 0 {
                break;
            }
            samples.resize(one, 0.0);
        }
        let windows = (samples.len() - one) / framing.step() + 1;
        total.add(&embed_chunk(&samples[..framing.samples(windows)], windows, &framing, features, embedding)?, windows);
        if ended {
            break;
        }
        samples.drain(..windows * framing.step());
    }
    Ok(total.mean())
}

fn read_samples(sound: &mut impl Read, count: usize, scale: f32, samples: &mut Vec<f32>) -> Result<usize> {
    let mut bytes = Vec::with_capacity(count * 2);
    sound.take(count as u64 * 2).read_to_end(&mut bytes)?;
    samples.extend(bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) * scale));
    Ok(bytes.len() / 2)
}

fn embed_chunk(
    samples: &[f32],
    windows: usize,
    framing: &Framing,
    features: Loaded<'_>,
    embedding: Loaded<'_>,
) -> Result<Vec<f32>> {
    let frames = framing.window + framing.window_hop * (windows - 1);
    let spectrum = features.session.run(Tensor { shape: vec![1, samples.len()], data: samples.to_vec() })?.data;
    if spectrum.is_empty() || !spectrum.len().is_multiple_of(frames) {
        return Err(Error::invalid(format!(
            "the model {} gave {} numbers for {frames} frames",
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
    let output = embedding.session.run(Tensor { shape: vec![windows, framing.window, width, 1], data: input })?.data;
    if output.is_empty() || !output.len().is_multiple_of(windows) {
        return Err(Error::invalid(format!(
            "the model {} gave {} numbers for {windows} windows",
            embedding.model.name,
            output.len()
        )));
    }
    Ok(output)
}

/// A running sum in f64, so that the mean does not depend on the length of the chunks.
#[derive(Default)]
struct Total {
    sum: Vec<f64>,
    windows: usize,
}

impl Total {
    fn add(&mut self, rows: &[f32], windows: usize) {
        let dim = rows.len() / windows;
        self.sum.resize(dim, 0.0);
        for row in rows.chunks_exact(dim) {
            for (total, &value) in self.sum.iter_mut().zip(row) {
                *total += f64::from(value);
            }
        }
        self.windows += windows;
    }

    fn mean(self) -> Option<AudioEmbedding> {
        let count = self.windows as f64;
        (self.windows > 0).then(|| AudioEmbedding {
            mean: self.sum.iter().map(|total| (total / count) as f32).collect(),
            windows: self.windows,
        })
    }
}
