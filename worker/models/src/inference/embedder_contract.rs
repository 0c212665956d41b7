//! Whether a model's file takes what its entry's sections make, and gives what they read: told when it is loaded, not at the first trailer.

use jhalak_common::models::{Layout, Model, Role, WaveformInput};
use jhalak_common::{Error, Result};

use super::contract::Contract;

/// Compares the sections of an embedder's entry with its file. Models of other roles pass.
///
/// # Errors
/// InvalidInput that names the entry, the fields, and what the file has.
pub(crate) fn check(model: &Model, contract: &Contract) -> Result<()> {
    let input = &contract.inputs[0];
    let (due, fields): (Vec<i64>, &str) = match (model.role, &model.picture, &model.clip) {
        (Role::ImageEmbedding, Some(how), _) => {
            let (width, height) = (i64::from(how.width), i64::from(how.height));
            match how.layout {
                Layout::Nchw => (vec![-1, 3, height, width], "picture.width, .height and .layout"),
                Layout::Nhwc => (vec![-1, height, width, 3], "picture.width, .height and .layout"),
            }
        }
        (Role::ClipEmbedding, Some(how), Some(clip)) => {
            let shape = clip.clip_shape(how).map(|n| i64::try_from(n).unwrap_or(i64::MAX));
            let rows = std::iter::once(-1).chain(shape.into_iter().skip(1));
            (rows.collect(), "picture.width, .height, clip.frames and .layout")
        }
        (Role::AudioEmbedding | Role::AudioFeatures | Role::AudioMoments, ..) => {
            return check_sound(model, contract);
        }
        _ => return Ok(()),
    };
    let agrees = |(place, (&want, &have)): (usize, (&i64, &i64))| place == 0 || have < 0 || want == have;
    if input.shape.len() != due.len() || !due.iter().zip(&input.shape).enumerate().all(agrees) {
        return Err(named(
            model,
            format!("{fields} make an input of shape {due:?}, and the file's `{}` is {:?}", input.name, input.shape),
        ));
    }
    let output = &contract.outputs[0];
    let fixed: Vec<i64> = output.shape.iter().skip(1).copied().filter(|&n| n != 1).collect();
    match (&fixed[..], model.dimension) {
        ([n], Some(dimension)) if *n >= 0 && usize::try_from(*n) != Ok(dimension) => Err(named(
            model,
            format!("dimension is {dimension}, and the file's `{}` is {:?}", output.name, output.shape),
        )),
        (many, _) if many.iter().filter(|&&n| n > 1).count() > 1 => Err(named(
            model,
            format!(
                "the file's `{}` is {:?}, which is not one vector a row: name another output, or export a pooled one",
                output.name, output.shape
            ),
        )),
        _ => Ok(()),
    }
}

fn check_sound(model: &Model, contract: &Contract) -> Result<()> {
    let input = &contract.inputs[0];
    let wrong = |fields: &str, due: &str| {
        Err(named(
            model,
            format!("{fields} make an input of {due}, and the file's `{}` is {:?}", input.name, input.shape),
        ))
    };
    if let (Role::AudioEmbedding, Some(windows)) = (model.role, &model.windows) {
        let frames = i64::try_from(windows.window_frames).unwrap_or(i64::MAX);
        let time = match input.shape[..] {
            [_, time, _] | [_, 1, time, _] | [_, time, _, 1] => time,
            _ => {
                return wrong(
                    "windows.window_frames",
                    &format!("[-1, {frames}, bands, 1], [-1, 1, {frames}, bands] or [-1, {frames}, bands]"),
                );
            }
        };
        if time >= 0 && time != frames {
            return wrong("windows.window_frames", &format!("{frames} frames"));
        }
        return Ok(());
    }
    match input.shape[..] {
        [_] | [_, _] | [_, 1, _] if model.waveform.is_some() => check_waveform(model, contract),
        [_] | [_, _] | [_, 1, _] => Ok(()),
        _ => wrong("samples of one channel", "[samples], [1, samples] or [1, 1, samples]"),
    }
}

fn named(model: &Model, words: String) -> Error {
    Error::invalid(format!("the model {} ({}): {words}", model.name, model.file.display()))
}

/// Whether an entry's sections agree with the file: where its vectors stand, and how many of them its input makes.
///
/// # Errors
/// InvalidInput that says what to state.
fn check_waveform(model: &Model, contract: &Contract) -> Result<()> {
    let how = waveform_section(model)?;
    if model.role == Role::AudioEmbedding {
        VectorShape::of(model, contract)?;
    }
    match fixed_samples(contract) {
        Some(samples) if frames_of(samples, how) != how.chunk_frames || samples < how.frame_samples => {
            let vectors = frames_of(samples, how);
            Err(Error::invalid(format!(
                "the model {}: its input takes {samples} samples and no other number, which make {vectors} vectors: state waveform.chunk_frames = {vectors}",
                model.name
            )))
        }
        _ => Ok(()),
    }
}

pub(crate) fn waveform_section(model: &Model) -> Result<&WaveformInput> {
    model.waveform.as_ref().ok_or_else(|| Error::bug(format!("the model {} hears no samples", model.name)))
}

/// The number of samples that a file takes, where it takes no other.
pub(crate) fn fixed_samples(contract: &Contract) -> Option<usize> {
    contract.inputs[0].shape.last().and_then(|&n| usize::try_from(n).ok()).filter(|&n| n > 1)
}

/// Frames of so many samples; sound shorter than one frame is followed by silence up to there.
pub(crate) fn frames_of(samples: usize, how: &WaveformInput) -> usize {
    samples.saturating_sub(how.frame_samples) / how.hop_samples + 1
}

/// Where in an output of [1, numbers, frames] or [1, frames, numbers] the vectors stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VectorShape {
    /// Numbers in a vector.
    pub dimension: usize,
    /// Whether time is the last dimension.
    pub time_last: bool,
}

impl VectorShape {
    /// From the registry's `dimension` and the file's shape, in which the numbers of a vector have a fixed extent and time has none.
    pub fn of(model: &Model, contract: &Contract) -> Result<VectorShape> {
        let shape = &contract.outputs[0].shape;
        let unclear = || {
            Error::invalid(format!(
                "the model {}: its output has the shape {shape:?}, in which it cannot be told which dimension is time: state `dimension`, the numbers in one vector",
                model.name
            ))
        };
        let fixed = |n: i64| usize::try_from(n).ok().filter(|&n| n > 1);
        let (before, last) = match shape[..] {
            [before, last] | [_, before, last] => (fixed(before), fixed(last)),
            _ => return Err(unclear()),
        };
        match (before, last, model.dimension) {
            (None, Some(d), stated) if stated.is_none_or(|s| s == d) => {
                Ok(VectorShape { dimension: d, time_last: false })
            }
            (Some(d), None, stated) if stated.is_none_or(|s| s == d) => {
                Ok(VectorShape { dimension: d, time_last: true })
            }
            (Some(a), Some(b), Some(d)) if a != b && (a == d || b == d) => {
                Ok(VectorShape { dimension: d, time_last: a == d })
            }
            _ => Err(unclear()),
        }
    }
}
