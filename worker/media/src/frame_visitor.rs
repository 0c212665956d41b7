//! The trait of callers that look at the frames of a video, or at a single picture.

use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::frame::DecodedFrame;
use crate::picture::orientation::Orientation;
use crate::picture::{Picture, RgbConverter};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Which frames a [`FrameVisitor`] receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameSettings {
    /// Every `stride`-th frame, from the first; at least 1.
    pub stride: u64,
}

/// The number and the time of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FramePosition {
    /// 0-based number in presentation order.
    pub frame: u64,
    /// Presentation time in seconds from the start of the video.
    pub time_s: f64,
}

/// Receives frames.
pub trait FrameVisitor {
    /// Takes a frame as displayed, after rotation. An error ends the decode.
    fn visit(&mut self, position: FramePosition, picture: Picture) -> Result<(), MediaError>;
}

/// Passes every `stride`-th frame to a visitor.
pub struct FrameSampler<'a> {
    stride: u64,
    track: VideoTrack,
    orientation: Orientation,
    converter: RgbConverter,
    visitor: &'a mut dyn FrameVisitor,
}

impl<'a> FrameSampler<'a> {
    /// Starts before the first frame of `file`.
    pub fn new(settings: &FrameSettings, track: &VideoTrack, file: &Path, visitor: &'a mut dyn FrameVisitor) -> Self {
        let orientation = if track.is_picture { Orientation::of_exif_file(file) } else { track.orientation };
        Self { stride: settings.stride, track: track.clone(), orientation, converter: RgbConverter::default(), visitor }
    }

    /// Passes on the only picture of a file, given as stored.
    pub fn show_image(&mut self, mut picture: Picture) -> Result<(), MediaError> {
        self.orientation.rotate(&mut picture);
        self.visitor.visit(FramePosition { frame: 0, time_s: 0.0 }, picture)
    }

    /// Takes the next frame.
    pub fn show(&mut self, decoded: &DecodedFrame) -> Result<(), MediaError> {
        if !decoded.number.is_multiple_of(self.stride) {
            return Ok(());
        }
        let mut picture = Picture::default();
        self.converter.convert_into(&decoded.frame, &mut picture)?;
        self.orientation.rotate(&mut picture);
        let position = FramePosition { frame: decoded.number, time_s: self.track.seconds(decoded.ticks) };
        self.visitor.visit(position, picture)
    }
}
