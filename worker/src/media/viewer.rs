//! The seam to whoever looks at the frames of a video, or at a picture, one after the other.

use std::rc::Rc;

use super::error::MediaError;
use super::orientation::Orientation;
use super::pass::Shown;
use super::picture::{Picture, RgbConverter};
use super::request::FrameSettings;
use super::source::VideoTrack;
use ffmpeg_next::frame;
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
    converter: RgbConverter,
    viewer: &'a mut dyn Viewer,
}

impl<'a> FrameShow<'a> {
    /// Before the first frame.
    pub fn new(settings: &FrameSettings, track: &VideoTrack, viewer: &'a mut dyn Viewer) -> Self {
        Self { stride: settings.stride, track: track.clone(), converter: RgbConverter::default(), viewer }
    }

    /// Takes the next frame.
    pub fn show(&mut self, shown: &Shown) -> Result<(), MediaError> {
        if !shown.number.is_multiple_of(self.stride) {
            return Ok(());
        }
        let mut picture = Picture::default();
        self.converter.convert_into(&shown.frame, &mut picture)?;
        let turn = if self.track.orientation == Orientation::default() {
            exif_turn(&shown.frame)
        } else {
            self.track.orientation
        };
        turn.turn(&mut picture);
        self.viewer.view(FramePlace { frame: shown.number, time_s: self.track.seconds(shown.ticks) }, picture)
    }
}

/// The turn that a photograph's EXIF data asks for.
fn exif_turn(frame: &Rc<frame::Video>) -> Orientation {
    let tag = frame.metadata().get("Orientation").and_then(|value| value.trim().parse().ok());
    tag.map_or_else(Orientation::default, Orientation::of_exif)
}
