//! Checks that the file of an embedder fits the sections of its entry, when it is loaded and not at
//! the first trailer.

use jhalak_common::models::{Layout, Model, Role, WaveformInput};
use jhalak_common::{Error, Result};

use super::contract::Contract;

/// Compares the entry of an embedder with its file. Models of other roles pass.
///
/// # Errors
/// InvalidInput; the message names the entry, the fields and the tensors of the file.
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
            format!(
                "{fields} require an input of shape {due:?}, but `{}` of the file is {:?}",
                input.name, input.shape
            ),
        ));
    }
    let output = &contract.outputs[0];
    let fixed: Vec<i64> = output.shape.iter().skip(1).copied().filter(|&n| n != 1).collect();
    match (&fixed[..], model.dimension) {
        ([n], Some(dimension)) if *n >= 0 && usize::try_from(*n) != Ok(dimension) => Err(named(
            model,
            format!("dimension is {dimension}, but `{}` of the file is {:?}", output.name, output.shape),
        )),
        (many, _) if many.iter().filter(|&&n| n > 1).count() > 1 => Err(named(
            model,
            format!(
                "`{}` of the file is {:?}, which is not one vector per row: set output.name to another output, or export a pooled one",
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
            format!("{fields} require an input of {due}, but `{}` of the file is {:?}", input.name, input.shape),
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

fn named(model: &Model, problem: String) -> Error {
    Error::invalid(format!("the model {} ({}): {problem}", model.name, model.file.display()))
}

/// Checks that the waveform section fits the file: the layout of the vectors and their number per
/// input.
///
/// # Errors
/// InvalidInput; the message says which field to set.
fn check_waveform(model: &Model, contract: &Contract) -> Result<()> {
    let how = waveform_section(model)?;
    if model.role == Role::AudioEmbedding {
        VectorShape::of(model, contract)?;
    }
    match fixed_samples(contract) {
        Some(samples) if frames_of(samples, how) != how.chunk_frames || samples < how.frame_samples => {
            let vectors = frames_of(samples, how);
            Err(Error::invalid(format!(
                "the model {}: its input accepts exactly {samples} samples, which give {vectors} vectors: set waveform.chunk_frames = {vectors}",
                model.name
            )))
        }
        _ => Ok(()),
    }
}

/// Returns the waveform section of an entry.
pub(crate) fn waveform_section(model: &Model) -> Result<&WaveformInput> {
    model.waveform.as_ref().ok_or_else(|| Error::bug(format!("the model {} has no waveform section", model.name)))
}

/// Returns the number of samples of the input, if the file fixes it.
pub(crate) fn fixed_samples(contract: &Contract) -> Option<usize> {
    contract.inputs[0].shape.last().and_then(|&n| usize::try_from(n).ok()).filter(|&n| n > 1)
}

/// Returns the number of frames of `samples` samples; sound shorter than one frame is padded with
/// silence.
pub(crate) fn frames_of(samples: usize, how: &WaveformInput) -> usize {
    samples.saturating_sub(how.frame_samples) / how.hop_samples + 1
}

/// The layout of vectors in an output of [1, dimension, frames] or [1, frames, dimension].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct VectorShape {
    /// Length of a vector.
    pub dimension: usize,
    /// Whether time is the last dimension.
    pub time_last: bool,
}

impl VectorShape {
    /// Infers the layout from `dimension` of the entry and the shape in the file, where the length
    /// of a vector is fixed and time is dynamic.
    pub fn of(model: &Model, contract: &Contract) -> Result<VectorShape> {
        let shape = &contract.outputs[0].shape;
        let unclear = || {
            Error::invalid(format!(
                "the model {}: its output has the shape {shape:?}, in which the time dimension is ambiguous: set `dimension`, the length of one vector",
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
