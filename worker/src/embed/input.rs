//! From a picture to a model's input.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use jhalak_common::models::{Channels, Filter, Layout, PictureInput, Resize};
use jhalak_common::{Error, Result};

use crate::media::picture::Picture;

/// Writes `picture` into `input` (one picture of the batch) as the model wants it.
pub fn write(picture: &Picture, how: &PictureInput, resizer: &mut Resizer, input: &mut [f32]) -> Result<()> {
    let (width, height) = (how.width, how.height);
    let resized = resized(picture, how, resizer)?;
    let area = width as usize * height as usize;
    if input.len() != 3 * area {
        return Err(Error::bug(format!("room for {} values, and the picture has {}", input.len(), 3 * area)));
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

fn resized(picture: &Picture, how: &PictureInput, resizer: &mut Resizer) -> Result<Vec<u8>> {
    let cannot = |e: &dyn std::fmt::Display| {
        Error::invalid(format!("a picture of {} x {} cannot be resized: {e}", picture.width, picture.height))
    };
    if (picture.width, picture.height) == (how.width, how.height) {
        return Ok(picture.rgb.to_vec());
    }
    let source = ImageRef::new(picture.width, picture.height, &picture.rgb, PixelType::U8x3).map_err(|e| cannot(&e))?;
    let mut target = Image::new(how.width, how.height, PixelType::U8x3);
    let algorithm = match how.filter {
        Filter::Bilinear => ResizeAlg::Convolution(FilterType::Bilinear),
        Filter::Bicubic => ResizeAlg::Convolution(FilterType::CatmullRom),
        Filter::Nearest => ResizeAlg::Nearest,
        Filter::TwoTap => return Err(Error::bug("two-tap is for detectors")),
    };
    let options = ResizeOptions::new().resize_alg(algorithm);
    let options = match how.resize {
        Resize::Stretch => options,
        Resize::Crop => options.fit_into_destination(Some((0.5, 0.5))),
        Resize::Letterbox | Resize::LetterboxTopLeft => return Err(Error::bug("a letterbox is for detectors")),
    };
    resizer.resize(&source, &mut target, &options).map_err(|e| cannot(&e))?;
    Ok(target.into_vec())
}
