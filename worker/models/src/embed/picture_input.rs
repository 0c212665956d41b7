//! Converts a picture to the input of an image or clip model.

use jhalak_common::models::{Channels, Layout, PictureInput, Resize};
use jhalak_common::{Error, Result};

use jhalak_media::picture::Picture;
use jhalak_media::picture::resample;

/// Writes `picture` to `input` (one picture of the batch) in the size, scale and layout of the
/// model.
pub fn write(picture: &Picture, how: &PictureInput, input: &mut [f32]) -> Result<()> {
    let (width, height) = (how.width, how.height);
    let resized = resized(picture, how)?;
    let area = width as usize * height as usize;
    if input.len() != 3 * area {
        return Err(Error::bug(format!("an input of {} values for a picture of {}", input.len(), 3 * area)));
    }
    for channel in 0..3 {
        let source = match how.channels {
            Channels::Rgb => channel,
            Channels::Bgr => 2 - channel,
        };
        let (mean, std, divide_by) = (how.mean[channel], how.std[channel], how.divide_by.unwrap_or(1.0));
        let scaled: [f32; 256] = std::array::from_fn(|byte| (byte as f32 / divide_by - mean) / std);
        let values = resized.iter().skip(source).step_by(3).map(|&byte| scaled[usize::from(byte)]);
        match how.layout {
            Layout::Nchw => input[channel * area..(channel + 1) * area]
                .iter_mut()
                .zip(values)
                .for_each(|(place, value)| *place = value),
            Layout::Nhwc => {
                input.iter_mut().skip(channel).step_by(3).zip(values).for_each(|(place, value)| *place = value)
            }
        }
    }
    Ok(())
}

fn resized(picture: &Picture, how: &PictureInput) -> Result<Vec<u8>> {
    if picture.width == 0 || picture.height == 0 {
        return Err(Error::invalid("a picture without pixels cannot be resized"));
    }
    if (picture.width, picture.height) == (how.width, how.height) {
        return Ok(picture.rgb.to_vec());
    }
    let filter = crate::resize_filter::pillow(how.filter)
        .ok_or_else(|| Error::bug("the two-tap filter is only for detectors"))?;
    let part = match how.resize {
        Resize::Stretch => resample::whole(picture),
        Resize::Crop => resample::middle(picture, how.width, how.height),
        Resize::Letterbox | Resize::LetterboxTopLeft => return Err(Error::bug("a letterbox is only for detectors")),
    };
    Ok(resample::resize(picture, part, how.width, how.height, filter))
}
