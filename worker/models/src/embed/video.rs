//! The video embedding: the mean over the keyframes through an image model, or all keyframes
//! together through a clip model.

use std::io::Read;
use std::path::Path;

use jhalak_common::models::{ClipInput, ClipLayout, Layout, Model, PictureInput};
use jhalak_common::{Error, Result};
use serde_json::Value;

use super::picture_input;
use crate::inference::{Session, Tensor};
use jhalak_media::picture::Picture;
use jhalak_media::picture::jpeg_decoder;

/// A trailer's video embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoEmbedding {
    /// The mean over the keyframes, or the vector of the clip.
    pub mean: Vec<f32>,
    /// One row per keyframe; none for a clip model.
    pub frames: Option<Vec<f32>>,
    /// Number of keyframes used; 0 for the vector of a clip of zeros.
    pub seen: usize,
}

/// Embeds the keyframes in the tar `keyframes`, in their order. Skips black pictures that only pad
/// the archive. If no keyframe is left, as in a trailer without objects, embeds zeros like the
/// paper, whose clip then stays zero.
pub fn embed(keyframes: &[u8], model: &Model, session: &Session) -> Result<VideoEmbedding> {
    let jpegs = pictures(keyframes)?;
    let pictures = jpegs.iter().map(|jpeg| jpeg_decoder::decode(jpeg).map_err(Error::from));
    match &model.clip {
        Some(clip) => embed_clip(pictures, clip, model, session),
        None => embed_each(pictures, model, session),
    }
}

/// Embeds each picture; the mean is the embedding of the trailer.
fn embed_each(
    pictures: impl Iterator<Item = Result<Picture>>,
    model: &Model,
    session: &Session,
) -> Result<VideoEmbedding> {
    let how = picture_section(model)?;
    let area = picture_length(how);
    let mut data = Vec::new();
    for picture in pictures {
        let start = data.len();
        data.resize(start + area, 0.0);
        picture_input::write(&picture?, how, &mut data[start..])?;
    }
    let seen = data.len() / area;
    if seen == 0 {
        data.resize(area, 0.0);
    }
    let count = seen.max(1);
    let (width, height) = (how.width as usize, how.height as usize);
    let shape = match how.layout {
        Layout::Nchw => vec![count, 3, height, width],
        Layout::Nhwc => vec![count, height, width, 3],
    };
    let frames = vectors(session.run(Tensor { shape, data })?, count, model)?;
    let mean = mean_of_rows(&frames, frames.len() / count);
    Ok(VideoEmbedding { mean, frames: (seen > 0).then_some(frames), seen })
}

/// Embeds all pictures as one clip; missing frames are zero, as in section 3 of the paper.
fn embed_clip(
    pictures: impl Iterator<Item = Result<Picture>>,
    clip: &ClipInput,
    model: &Model,
    session: &Session,
) -> Result<VideoEmbedding> {
    let how = picture_section(model)?;
    let (length, plane) = (picture_length(how), how.width as usize * how.height as usize);
    let mut data = vec![0.0; clip.frames * length];
    let mut seen = 0;
    let mut one = vec![0.0; length];
    for (frame, picture) in pictures.take(clip.frames).enumerate() {
        let picture = picture?;
        match clip.layout {
            ClipLayout::Ntchw | ClipLayout::Nthwc => {
                picture_input::write(&picture, how, &mut data[frame * length..(frame + 1) * length])?;
            }
            ClipLayout::Ncthw => {
                picture_input::write(&picture, how, &mut one)?;
                for (channel, values) in one.chunks_exact(plane).enumerate() {
                    let start = (channel * clip.frames + frame) * plane;
                    data[start..start + plane].copy_from_slice(values);
                }
            }
        }
        seen += 1;
    }
    let shape = clip.clip_shape(how).to_vec();
    let mean = vectors(session.run(Tensor { shape, data })?, 1, model)?;
    Ok(VideoEmbedding { mean, frames: None, seen })
}

/// Returns the mean of rows of length `dim`, summed in order in f64.
fn mean_of_rows(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut sum = vec![0f64; dim];
    for row in rows.chunks_exact(dim) {
        for (total, &value) in sum.iter_mut().zip(row) {
            *total += f64::from(value);
        }
    }
    let count = (rows.len() / dim).max(1) as f64;
    sum.iter().map(|total| (total / count) as f32).collect()
}

fn picture_section(model: &Model) -> Result<&PictureInput> {
    model.picture.as_ref().ok_or_else(|| Error::bug(format!("the model {} has no picture section", model.name)))
}

fn picture_length(how: &PictureInput) -> usize {
    3 * how.width as usize * how.height as usize
}

/// Returns the values of `count` vectors; ignores dimensions of length 1 (a pooled map that was not
/// flattened).
fn vectors(output: Tensor, count: usize, model: &Model) -> Result<Vec<f32>> {
    let dimension = output.data.len() / count.max(1);
    let flat = output.shape.iter().skip(1).filter(|&&n| n > 1).count() <= 1;
    if output.rows() != count || !flat || dimension == 0 || model.dimension.is_some_and(|d| d != dimension) {
        return Err(Error::invalid(format!(
            "the model {} returned an output of shape {:?} for {count} inputs, which is not one vector{} per input: set output.name in its entry to another output",
            model.name,
            output.shape,
            model.dimension.map(|d| format!(" of length {d}")).unwrap_or_default()
        )));
    }
    Ok(output.data)
}

/// Returns the JPEGs of the archive, without those marked as padding.
fn pictures(keyframes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(keyframes).entries()? {
        let mut entry = entry?;
        let is = |extension: &str, path: &Path| path.extension().is_some_and(|e| e == extension);
        let path = entry.path()?.into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if is("jpg", &path) {
            found.push(bytes);
        } else if is("json", &path) {
            // The metadata of a picture follows it.
            let about: Value = serde_json::from_slice(&bytes).map_err(|e| {
                Error::invalid(format!("{} in the keyframes is not valid JSON", path.display())).with_source(e)
            })?;
            if about["padding"] == true {
                found.pop();
            }
        }
    }
    Ok(found)
}
