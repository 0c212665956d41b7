//! How pictures, sound and windows of features become a model's input.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a picture becomes a model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureInput {
    /// Width in pixels; a detector's may be left out where the file says it.
    #[serde(default)]
    pub width: u32,
    /// Height in pixels; as the width.
    #[serde(default)]
    pub height: u32,
    /// How the picture is brought to that size.
    pub resize: Resize,
    /// The filter of that.
    #[serde(default)]
    pub filter: Filter,
    /// The order of the channels.
    #[serde(default)]
    pub channels: Channels,
    /// The order of the dimensions; a clip's section says it for clips.
    #[serde(default)]
    pub layout: Layout,
    /// Values of 0 to 255 are divided by this first: 255 where mean and std are those of values from 0 to 1. Not stated: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divide_by: Option<f32>,
    /// Subtracted from each channel's value, in the model's channel order.
    #[serde(default)]
    pub mean: [f32; 3],
    /// Divides each channel after that.
    #[serde(default = "ones")]
    pub std: [f32; 3],
    /// The value of 0 to 255 that stands where a letterbox leaves the input free. Not stated: 114, the grey of YOLO.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pad: Option<u8>,
}

fn ones() -> [f32; 3] {
    [1.0; 3]
}

/// How a picture is brought to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides to the size asked for, no crop, no border.
    Stretch,
    /// The middle of the picture: the largest part with the sides' ratio asked for, then as `stretch`.
    Crop,
    /// The whole picture in its own ratio in the middle, the rest filled: as YOLOv5 and its successors do. For detectors.
    Letterbox,
    /// The same at the top left, sides rounded down: as YOLOX does. For detectors.
    LetterboxTopLeft,
}

/// The filter of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    #[default]
    /// A triangle, widened when shrinking; Pillow's `BILINEAR`, to the last bit.
    Bilinear,
    /// Cubic (a = -0.5), widened when shrinking, Pillow's `BICUBIC`.
    Bicubic,
    /// The nearest pixel.
    Nearest,
    /// Two pixels an axis whatever the size, as OpenCV's `INTER_LINEAR`, which detectors are trained with. For detectors.
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
    /// Samples a second, one channel.
    pub sample_rate_hz: u32,
    /// Samples of -1 to 1 are multiplied by this.
    pub sample_scale: f32,
    /// Samples that one feature frame sees.
    pub frame_samples: usize,
    /// Samples from one feature frame to the next.
    pub hop_samples: usize,
    /// A feature is the model's value divided by this, ...
    pub divide_by: f32,
    /// ... plus this.
    pub add: f32,
    /// Values more than this below the loudest of the same call are raised to that floor, by the model itself: what is computed together
    /// is part of a recipe.
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

    /// The file may say the sizes, and boxes must find their way back.
    pub(super) fn check_for_detector(&self) -> Result<()> {
        within(self.width as usize, 0..=4_096, "picture.width")?;
        within(self.height as usize, 0..=4_096, "picture.height")?;
        if self.resize == Resize::Crop {
            return Err(Error::invalid(
                "picture.resize crop would hide what stands at the sides: a detector's is letterbox, letterbox-top-left or stretch",
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
                "picture.std {:?} looks like that of values from 0 to 1, and a picture's are 0 to 255: state picture.divide_by (255, or 1 where it is meant so)",
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
