//! How pictures, sound and windows of features become a model's input.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a picture becomes a model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureInput {
    /// Width in pixels; optional for a detector whose file states it.
    #[serde(default)]
    pub width: u32,
    /// Height in pixels; optional like the width.
    #[serde(default)]
    pub height: u32,
    /// How the picture is resized.
    pub resize: Resize,
    /// The filter of the resize.
    #[serde(default)]
    pub filter: Filter,
    /// The order of the channels.
    #[serde(default)]
    pub channels: Channels,
    /// The order of the dimensions; the clip section states it for clips.
    #[serde(default)]
    pub layout: Layout,
    /// The divisor of values from 0 to 255, applied first: 255 if mean and std are for values from
    /// 0 to 1. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_by: Option<f32>,
    /// Subtracted from each channel, in the model's channel order.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Divides each channel afterwards.
    #[serde(default = "ones")]
    pub std: [f32; 3],
    /// The padding value of a letterbox, 0 to 255. Default: 114, the grey of YOLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<u8>,
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// How a picture is resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Resizes both sides to the input size, without crop or border.
    Stretch,
    /// Crops the largest centred part with the input's aspect ratio, then resizes as `stretch`.
    Crop,
    /// Keeps the aspect ratio, centres the picture and pads the rest, as YOLOv5 and its successors
    /// do. For detectors.
    Letterbox,
    /// Like `letterbox`, but at the top left and with sides rounded down, as YOLOX does. For
    /// detectors.
    LetterboxTopLeft,
}

/// The filter of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    #[default]
    /// A triangle, widened when shrinking; bit-identical to Pillow's `BILINEAR`.
    Bilinear,
    /// Cubic (a = -0.5), widened when shrinking, Pillow's `BICUBIC`.
    Bicubic,
    /// The nearest pixel.
    Nearest,
    /// Bilinear over two pixels per axis at any scale, as OpenCV's `INTER_LINEAR`, which detectors
    /// are trained with. For detectors.
    TwoTap,
}

/// The order of a picture's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first.
    Bgr,
}

/// The order of a picture tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    #[default]
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// How sound becomes a model's input, and its output features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundInput {
    /// Samples per second, one channel.
    pub sample_rate_hz: u32,
    /// Samples of -1 to 1 are multiplied by this.
    pub sample_scale: f32,
    /// Samples in one feature frame.
    pub frame_samples: usize,
    /// Samples from one feature frame to the next.
    pub hop_samples: usize,
    /// The divisor of the model's output.
    pub divide_by: f32,
    /// Added after the division.
    pub add: f32,
    /// The model raises values that are more than this below the loudest value of the same call to
    /// that floor. So the number of windows per call is part of a recipe.
    pub floor_below_max_db: f32,
}

/// How the features of another model become a model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowInput {
    /// The name of the model that makes the features.
    pub features: String,
    /// Feature frames in a window.
    pub window_frames: usize,
    /// Feature frames from one window to the next.
    pub hop_frames: usize,
}

impl SoundInput {
    pub(super) fn check(&self) -> Result<()> {
        within(self.frame_samples, 1..=1 << 20, "sound.frame_samples")?;
        within(self.hop_samples, 1..=1 << 20, "sound.hop_samples")?;
        if self.divide_by == 0.0 || !self.divide_by.is_finite() {
            return Err(Error::invalid("sound.divide_by must be a number other than 0"));
        }
        Ok(())
    }
}

impl PictureInput {
    pub(super) fn check(&self) -> Result<()> {
        within(self.width as usize, 1..=4_096, "picture.width")?;
        within(self.height as usize, 1..=4_096, "picture.height")?;
        if matches!(self.resize, Resize::Letterbox | Resize::LetterboxTopLeft) || self.filter == Filter::TwoTap {
            return Err(Error::invalid("picture.resize letterbox and picture.filter two-tap are for detectors"));
        }
        self.check_scale()
    }

    /// The file may state the size. A crop is refused, because boxes must map back to the picture.
    pub(super) fn check_for_detector(&self) -> Result<()> {
        within(self.width as usize, 0..=4_096, "picture.width")?;
        within(self.height as usize, 0..=4_096, "picture.height")?;
        if self.resize == Resize::Crop {
            return Err(Error::invalid(
                "picture.resize crop would cut off the sides: use letterbox, letterbox-top-left or stretch for a detector",
            ));
        }
        self.check_scale()
    }

    fn check_scale(&self) -> Result<()> {
        let number = |n: &f32| n.is_finite() && *n != 0.0;
        if !self.std.iter().all(number) || !self.divide_by.iter().all(number) {
            return Err(Error::invalid("picture.std and picture.divide_by must be numbers other than 0"));
        }
        if self.divide_by.is_none() && self.std.iter().any(|s| s.abs() < 1.0) {
            return Err(Error::invalid(format!(
                "picture.std {:?} looks like that of values from 0 to 1, but pictures have values from 0 to 255: state picture.divide_by (255, or 1 if the values are correct)",
                self.std
            )));
        }
        Ok(())
    }
}

pub(super) fn within(value: usize, range: std::ops::RangeInclusive<usize>, field: &str) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{field} is {value} and must be {} to {}", range.start(), range.end())))
}
