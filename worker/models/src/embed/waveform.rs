//! Embeds raw samples (wav2vec 2.0): first statistics over the whole sound, then the vectors chunk
//! by chunk.
//!
//! A chunk is a range of output vectors ("frames"). It reads exactly the samples of its frames, so
//! that adjacent chunks overlap by frame_samples - hop_samples. Each frame is kept once. The last
//! chunk starts earlier if it would be short, so that it has as much context as the others and all
//! chunks have one shape.

use std::io::{Read, Seek, SeekFrom};

use jhalak_common::models::{Normalise, WaveformInput};
use jhalak_common::{Error, Result};

use super::sound::{AudioEmbedding, MeanAccumulator, ModelSession, read_samples};
use crate::inference::Tensor;
use crate::inference::embedder_contract::{VectorShape, fixed_samples, frames_of, waveform_section};

/// Added to the variance of normalized sound, as in the feature extractor of wav2vec 2.0.
const EPSILON: f64 = 1e-7;

/// Samples per read when only sums are needed.
const BLOCK: usize = 1 << 16;

/// Sound in a file, with the scale and shift to the input of a model.
struct Sound<R> {
    file: R,
    samples: usize,
    scale: f64,
    shift: f64,
}

/// Embeds sound of 16-bit samples at the rate of the model; see [`super::audio::embed`]. `moments`
/// measures the sound first, for a model that takes the moments as its second input.
pub(super) fn embed(
    file: impl Read + Seek,
    model: ModelSession<'_>,
    moments: Option<ModelSession<'_>>,
) -> Result<Option<AudioEmbedding>> {
    let how = waveform_section(model.model)?;
    let mut sound = Sound::measure(file, how)?;
    if sound.samples == 0 {
        return Ok(None);
    }
    let measured = moments.map(|moments| measure_moments(&mut sound, moments)).transpose()?;
    let frames = frames_of(sound.samples, how);
    let shape = VectorShape::of(model.model, model.session.contract())?;
    let fixed = fixed_samples(model.session.contract());
    let mut total = MeanAccumulator::default();
    let mut kept = 0;
    while kept < frames {
        let mut chunk = Chunk::from(kept, frames, how);
        let samples = match fixed {
            // The file fixes the length: pad with silence, and drop the vectors of the padding.
            Some(samples) => {
                chunk.count = how.chunk_frames;
                samples
            }
            // Layers over the whole sound also use the last samples, where no vector begins.
            None if chunk.count == frames && measured.is_none() => sound.samples.max(how.frame_samples),
            None => samples_of(chunk.count, how),
        };
        let samples = sound.read(chunk.first * how.hop_samples, samples)?;
        let mut inputs = vec![waveform_tensor(model, samples)];
        inputs.extend(measured.clone());
        let output =
            model.session.run_all(inputs)?.into_iter().next().unwrap_or(Tensor { shape: vec![], data: vec![] });
        let vectors = Vectors::of(&output, chunk.count, shape, &model.model.name)?;
        for frame in kept..chunk.kept_until {
            total.add(vectors.vector(frame - chunk.first));
        }
        kept = chunk.kept_until;
    }
    Ok(total.mean())
}

fn samples_of(frames: usize, how: &WaveformInput) -> usize {
    how.frame_samples + how.hop_samples * (frames - 1)
}

/// A range of frames that are computed together.
#[derive(Debug, PartialEq)]
struct Chunk {
    first: usize,
    count: usize,
    /// End (exclusive) of the frames kept from this chunk.
    kept_until: usize,
}

impl Chunk {
    /// Returns the chunk that keeps frames from `next` on, of `frames` in total.
    fn from(next: usize, frames: usize, how: &WaveformInput) -> Chunk {
        let first = next.saturating_sub(how.margin_frames);
        if first + how.chunk_frames >= frames {
            let first = frames.saturating_sub(how.chunk_frames);
            return Chunk { first, count: frames - first, kept_until: frames };
        }
        Chunk { first, count: how.chunk_frames, kept_until: first + how.chunk_frames - how.margin_frames }
    }
}

impl<R: Read + Seek> Sound<R> {
    /// Measures the length of the file, and mean and variance if the model needs them. Sums of
    /// 16-bit samples are exact.
    fn measure(mut file: R, how: &WaveformInput) -> Result<Sound<R>> {
        let samples = usize::try_from(file.seek(SeekFrom::End(0))? / 2)
            .map_err(|_| Error::invalid("the sound is too long for this machine"))?;
        let unit = f64::from(how.sample_scale) / 32_768.0;
        if how.normalise == Normalise::None || samples == 0 {
            return Ok(Sound { file, samples, scale: unit, shift: 0.0 });
        }
        file.seek(SeekFrom::Start(0))?;
        let (mut sum, mut squares) = (0i128, 0i128);
        let mut bytes = Vec::with_capacity(BLOCK * 2);
        loop {
            bytes.clear();
            (&mut file).take(BLOCK as u64 * 2).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            let (mut block_sum, mut block_squares) = (0i64, 0i64);
            for pair in bytes.chunks_exact(2) {
                let sample = i64::from(i16::from_le_bytes([pair[0], pair[1]]));
                block_sum += sample;
                block_squares += sample * sample;
            }
            sum += i128::from(block_sum);
            squares += i128::from(block_squares);
        }
        let count = samples as f64;
        let mean = sum as f64 / count * unit;
        // n * squares - sum^2 in integers: no loss of digits for sound that is nearly silent or has
        // an offset.
        let spread = (samples as i128 * squares - sum * sum) as f64 / (count * count);
        let deviation = (spread * unit * unit + EPSILON).sqrt();
        Ok(Sound { file, samples, scale: unit / deviation, shift: mean / deviation })
    }

    /// Reads `count` samples from `start` on, scaled for the model; silence follows after the end.
    fn read(&mut self, start: usize, count: usize) -> Result<Vec<f32>> {
        self.file.seek(SeekFrom::Start(start as u64 * 2))?;
        let mut samples = Vec::with_capacity(count);
        read_samples(&mut self.file, count, 1.0, &mut samples)?;
        for sample in &mut samples {
            *sample = (f64::from(*sample) * self.scale - self.shift) as f32;
        }
        samples.resize(count, 0.0);
        Ok(samples)
    }
}

fn waveform_tensor(model: ModelSession<'_>, samples: Vec<f32>) -> Tensor {
    let shape = match model.session.contract().inputs[0].shape.len() {
        1 => vec![samples.len()],
        3 => vec![1, 1, samples.len()],
        _ => vec![1, samples.len()],
    };
    Tensor { shape, data: samples }
}

/// Returns mean and variance of a layer over the whole sound, shape [1, 2, channels]: those of the
/// chunks, combined after Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for
/// computing sample variances", 1979).
fn measure_moments(sound: &mut Sound<impl Read + Seek>, moments: ModelSession<'_>) -> Result<Tensor> {
    let how = waveform_section(moments.model)?;
    let frames = frames_of(sound.samples, how);
    let (mut mean, mut spread, mut seen): (Vec<f64>, Vec<f64>, f64) = (Vec::new(), Vec::new(), 0.0);
    for first in (0..frames).step_by(how.chunk_frames) {
        let count = how.chunk_frames.min(frames - first);
        let samples = sound.read(first * how.hop_samples, samples_of(count, how))?;
        let output = moments.session.run(waveform_tensor(moments, samples))?;
        let channels = match output.shape[..] {
            [1, 2, channels] if channels > 0 => channels,
            _ => {
                return Err(Error::invalid(format!(
                    "the model {} returned moments of shape {:?}, expected [1, 2, channels]",
                    moments.model.name, output.shape
                )));
            }
        };
        mean.resize(channels, 0.0);
        spread.resize(channels, 0.0);
        let added = count as f64;
        let all = seen + added;
        for (channel, (mean, spread)) in mean.iter_mut().zip(&mut spread).enumerate() {
            let (its_mean, its_variance) =
                (f64::from(output.data[channel]), f64::from(output.data[channels + channel]));
            let apart = its_mean - *mean;
            *mean += apart * added / all;
            *spread += its_variance * added + apart * apart * seen * added / all;
        }
        seen = all;
    }
    let data = mean.iter().map(|m| *m as f32).chain(spread.iter().map(|s| (s / seen) as f32)).collect();
    Ok(Tensor { shape: vec![1, 2, mean.len()], data })
}

/// The vectors of one chunk.
struct Vectors<'a> {
    data: &'a [f32],
    dimension: usize,
    /// Stride between the elements of a vector.
    element_stride: usize,
    /// Stride between frames.
    frame_stride: usize,
}

impl<'a> Vectors<'a> {
    fn of(output: &'a Tensor, frames: usize, shape: VectorShape, model: &str) -> Result<Vectors<'a>> {
        let VectorShape { dimension, time_last } = shape;
        let due = if time_last { [dimension, frames] } else { [frames, dimension] };
        if !output.shape.ends_with(&due) || output.data.len() != frames * dimension {
            return Err(Error::invalid(format!(
                "the model {model} returned an output of shape {:?}, expected {frames} vectors of length {dimension}: check waveform.frame_samples, .hop_samples and dimension in its entry",
                output.shape
            )));
        }
        let (element_stride, frame_stride) = if time_last { (frames, 1) } else { (1, dimension) };
        Ok(Vectors { data: &output.data, dimension, element_stride, frame_stride })
    }

    fn vector(&self, frame: usize) -> impl ExactSizeIterator<Item = f32> {
        (0..self.dimension).map(move |place| self.data[frame * self.frame_stride + place * self.element_stride])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(chunk_frames: usize, margin_frames: usize) -> WaveformInput {
        WaveformInput {
            sample_rate_hz: 16_000,
            sample_scale: 1.0,
            normalise: Normalise::ZeroMeanUnitVariance,
            frame_samples: 400,
            hop_samples: 320,
            chunk_frames,
            margin_frames,
            moments: None,
        }
    }

    #[test]
    fn chunks_keep_every_frame_once_and_have_their_margins() {
        for (frames, chunk, margin) in
            [(1, 10, 2), (9, 10, 2), (10, 10, 2), (11, 10, 2), (1_000, 10, 2), (77, 7, 3), (50, 5, 0)]
        {
            let (how, mut kept) = (how(chunk, margin), 0);
            while kept < frames {
                let next = Chunk::from(kept, frames, &how);
                assert!(next.first <= kept && next.kept_until > kept, "{next:?} of {frames}");
                assert!(next.first == 0 || kept - next.first >= margin, "{next:?} of {frames}: too little before");
                let after = next.first + next.count - next.kept_until;
                assert!(next.kept_until == frames || after >= margin, "{next:?} of {frames}: too little after");
                assert_eq!(next.count, chunk.min(frames), "every chunk has one shape");
                kept = next.kept_until;
            }
            assert_eq!(kept, frames);
        }
    }

    #[test]
    fn sound_is_normalized_to_zero_mean_and_unit_variance() {
        // Loud, with an offset: sums of squares in floating point would lose the variance.
        let values: Vec<i16> = (0..7).cycle().take(100_000).map(|n: i16| 30_000 + n).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut sound = Sound::measure(std::io::Cursor::new(bytes), &how(10, 0)).expect("a sound in memory");
        let samples = sound.read(0, values.len()).expect("a sound in memory");
        let mean = samples.iter().map(|s| f64::from(*s)).sum::<f64>() / samples.len() as f64;
        let variance = samples.iter().map(|s| (f64::from(*s) - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        let unit: f64 = 1.0 / 32_768.0;
        let expected = 4.0 * unit * unit / (4.0 * unit * unit + 1e-7);
        assert!(mean.abs() < 1e-6, "{mean}");
        assert!((variance - expected).abs() < 1e-3, "{variance} and not {expected}");
        assert_eq!(sound.read(99_999, 3).expect("a sound in memory")[1..], [0.0, 0.0], "silence after the end");
    }
}
