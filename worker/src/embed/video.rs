//! The video embedding: every keyframe through an image model, and their mean.

use std::io::Read;

use fast_image_resize::Resizer;
use jhalak_common::models::Model;
use jhalak_common::{Error, Result};

use super::mean_of_rows;
use super::picture::Picture;
use crate::inference::{Session, Tensor};

/// A trailer's video embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoEmbedding {
    /// The mean over the keyframes.
    pub mean: Vec<f32>,
    /// A row a keyframe.
    pub frames: Vec<f32>,
}

/// Embeds the keyframes in the tar `keyframes`, in the order in which they stand there, as one batch.
pub fn embed(keyframes: &[u8], model: &Model, session: &Session) -> Result<VideoEmbedding> {
    let how = model.picture.as_ref().ok_or_else(|| Error::bug(format!("the model {} sees no pictures", model.name)))?;
    let area = 3 * how.width as usize * how.height as usize;
    let mut input = Vec::new();
    let mut resizer = Resizer::new();
    for picture in pictures(keyframes)? {
        let start = input.len();
        input.resize(start + area, 0.0);
        Picture::from_jpeg(&picture)?.write_input(how, &mut resizer, &mut input[start..])?;
    }
    let count = input.len() / area;
    if count == 0 {
        return Err(Error::invalid("the keyframes hold no picture"));
    }
    let mut shape: Vec<usize> = model.input.shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    if let Some(batch) = shape.first_mut() {
        *batch = count;
    }
    let frames = session.run(Tensor { shape, data: input })?.data;
    if frames.is_empty() || !frames.len().is_multiple_of(count) {
        return Err(Error::invalid(format!(
            "the model {} gave {} numbers for {count} pictures",
            model.name,
            frames.len()
        )));
    }
    Ok(VideoEmbedding { mean: mean_of_rows(&frames, frames.len() / count), frames })
}

fn pictures(keyframes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(keyframes).entries()? {
        let mut entry = entry?;
        if entry.path()?.extension().is_some_and(|e| e == "jpg") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            found.push(bytes);
        }
    }
    Ok(found)
}
