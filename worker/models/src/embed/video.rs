//! The video embedding: every keyframe through an image model and their mean, or all of them together through a model that sees clips.

use std::io::Read;
use std::path::Path;

use jhalak_common::models::{ClipInput, ClipLayout, Layout, Model, PictureInput};
use jhalak_common::{Error, Result};
use serde_json::Value;

use super::{input, mean_of_rows};
use crate::inference::{Session, Tensor};
use jhalak_media::picture::Picture;
use jhalak_media::picture::jpeg_decoder;

/// A trailer's video embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoEmbedding {
    /// The mean over the keyframes, or the clip's vector.
    pub mean: Vec<f32>,
    /// A row a keyframe; none for a model that sees them together.
    pub frames: Option<Vec<f32>>,
    /// How many keyframes were seen.
    pub seen: usize,
}

/// Embeds the keyframes in the tar `keyframes`, in the order in which they stand there. Black pictures that only fill the archive up are not
/// seen. None for an archive without a keyframe.
pub fn embed(keyframes: &[u8], model: &Model, session: &Session) -> Result<Option<VideoEmbedding>> {
    let jpegs = pictures(keyframes)?;
    if jpegs.is_empty() {
        return Ok(None);
    }
    let pictures = jpegs.iter().map(|jpeg| jpeg_decoder::decode(jpeg).map_err(Error::from));
    match &model.clip {
        Some(clip) => embed_clip(pictures, clip, model, session),
        None => embed_each(pictures, model, session),
    }
    .map(Some)
}

/// Embeds each picture; their mean is the trailer's embedding.
fn embed_each(
    pictures: impl Iterator<Item = Result<Picture>>,
    model: &Model,
    session: &Session,
) -> Result<VideoEmbedding> {
    let how = section(model)?;
    let area = picture_length(how);
    let mut data = Vec::new();
    for picture in pictures {
        let start = data.len();
        data.resize(start + area, 0.0);
        input::write(&picture?, how, &mut data[start..])?;
    }
    let count = data.len() / area;
    let (width, height) = (how.width as usize, how.height as usize);
    let shape = match how.layout {
        Layout::Nchw => vec![count, 3, height, width],
        Layout::Nhwc => vec![count, height, width, 3],
    };
    let frames = vectors(session.run(Tensor { shape, data })?, count, model)?;
    Ok(VideoEmbedding { mean: mean_of_rows(&frames, frames.len() / count), frames: Some(frames), seen: count })
}

/// Embeds all pictures as one clip; missing frames stay zero, as the method pads (section 3).
fn embed_clip(
    pictures: impl Iterator<Item = Result<Picture>>,
    clip: &ClipInput,
    model: &Model,
    session: &Session,
) -> Result<VideoEmbedding> {
    let how = section(model)?;
    let (length, plane) = (picture_length(how), how.width as usize * how.height as usize);
    let mut data = vec![0.0; clip.frames * length];
    let mut seen = 0;
    let mut one = vec![0.0; length];
    for (frame, picture) in pictures.take(clip.frames).enumerate() {
        let picture = picture?;
        match clip.layout {
            ClipLayout::Ntchw | ClipLayout::Nthwc => {
                input::write(&picture, how, &mut data[frame * length..(frame + 1) * length])?;
            }
            ClipLayout::Ncthw => {
                input::write(&picture, how, &mut one)?;
                for (channel, values) in one.chunks_exact(plane).enumerate() {
                    let start = (channel * clip.frames + frame) * plane;
                    data[start..start + plane].copy_from_slice(values);
                }
            }
        }
        seen += 1;
    }
    let shape = clip_shape(how, clip).to_vec();
    let mean = vectors(session.run(Tensor { shape, data })?, 1, model)?;
    Ok(VideoEmbedding { mean, frames: None, seen })
}

/// The shape of one clip.
pub(crate) fn clip_shape(how: &PictureInput, clip: &ClipInput) -> [usize; 5] {
    let (width, height) = (how.width as usize, how.height as usize);
    match clip.layout {
        ClipLayout::Ntchw => [1, clip.frames, 3, height, width],
        ClipLayout::Ncthw => [1, 3, clip.frames, height, width],
        ClipLayout::Nthwc => [1, clip.frames, height, width, 3],
    }
}

fn section(model: &Model) -> Result<&PictureInput> {
    model.picture.as_ref().ok_or_else(|| Error::bug(format!("the model {} sees no pictures", model.name)))
}

fn picture_length(how: &PictureInput) -> usize {
    3 * how.width as usize * how.height as usize
}

/// The numbers of `count` vectors; extents of 1 (a pooled map that was not flattened) do not matter.
fn vectors(output: Tensor, count: usize, model: &Model) -> Result<Vec<f32>> {
    let dimension = output.data.len() / count.max(1);
    let flat = output.shape.iter().skip(1).filter(|&&n| n > 1).count() <= 1;
    if output.rows() != count || !flat || dimension == 0 || model.dimension.is_some_and(|d| d != dimension) {
        return Err(Error::invalid(format!(
            "the model {} gave an output of shape {:?} for {count} inputs, which is not one vector{} for each: name another output in its entry",
            model.name,
            output.shape,
            model.dimension.map(|d| format!(" of {d} numbers")).unwrap_or_default()
        )));
    }
    Ok(output.data)
}

/// The JPEGs of the archive but those that its numbers call padding.
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
            // A picture's numbers follow it.
            let about: Value = serde_json::from_slice(&bytes).map_err(|e| {
                Error::invalid(format!("{} in the keyframes is no JSON", path.display())).with_source(e)
            })?;
            if about["padding"] == true {
                found.pop();
            }
        }
    }
    Ok(found)
}
