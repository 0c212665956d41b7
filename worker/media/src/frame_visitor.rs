//! The seam to whoever looks at the frames of a video, or at a picture, one after the other.

use std::path::Path;

use crate::decode::video_pass::Shown;
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::picture::jpeg_decoder;
use crate::picture::orientation::Orientation;
use crate::picture::{Picture, RgbConverter};
use crate::request::FrameSettings;
use serde::{Deserialize, Serialize};

/// Which frame a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FramePlace {
    /// 0-based number in presentation order.
    pub frame: u64,
    /// Seconds from the start of the video at which it is shown.
    pub time_s: f64,
}

/// Looks at frames.
pub trait Viewer {
    /// Takes a frame as it is shown. An error ends the decode.
    fn view(&mut self, place: FramePlace, picture: Picture) -> Result<(), MediaError>;
}

/// Shows every n-th frame to a viewer.
pub struct FrameShow<'a> {
    stride: u64,
    track: VideoTrack,
    turn: Orientation,
    converter: RgbConverter,
    viewer: &'a mut dyn Viewer,
}

impl<'a> FrameShow<'a> {
    /// Before the first frame of `file`.
    pub fn new(settings: &FrameSettings, track: &VideoTrack, file: &Path, viewer: &'a mut dyn Viewer) -> Self {
        let turn = if track.is_picture { jpeg_decoder::turn(file) } else { track.orientation };
        Self { stride: settings.stride, track: track.clone(), turn, converter: RgbConverter::default(), viewer }
    }

    /// Shows the one picture of a photograph's file, decoded as it is stored.
    pub fn show_photograph(&mut self, mut picture: Picture) -> Result<(), MediaError> {
        self.turn.turn(&mut picture);
        self.viewer.view(FramePlace { frame: 0, time_s: 0.0 }, picture)
    }

    /// Takes the next frame.
    pub fn show(&mut self, shown: &Shown) -> Result<(), MediaError> {
        if !shown.number.is_multiple_of(self.stride) {
            return Ok(());
        }
        let mut picture = Picture::default();
        self.converter.convert_into(&shown.frame, &mut picture)?;
        self.turn.turn(&mut picture);
        self.viewer.view(FramePlace { frame: shown.number, time_s: self.track.seconds(shown.ticks) }, picture)
    }
}
