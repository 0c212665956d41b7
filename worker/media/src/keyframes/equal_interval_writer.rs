//! Keyframes at equal intervals from a full decode: picked from the frames as they arrive and
//! written one by one.

use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::ffmpeg::video_timing::Timeline;
use crate::frame::DecodedFrame;
use crate::keyframes::archive;
use crate::keyframes::equal_interval::{EqualInterval, TimeRange};
use crate::keyframes::writer::{KeyframeWriter, Observer, Reason};
use crate::report::Keyframe;
use crate::request::{DecodeRequest, KeyframeSettings};
use std::path::PathBuf;

/// Chooses keyframes at equal intervals and writes them to the archive.
pub struct EqualIntervalWriter<'a> {
    settings: KeyframeSettings,
    track: VideoTrack,
    timeline: Timeline,
    picker: EqualInterval<DecodedFrame>,
    writer: KeyframeWriter<'a>,
}

/// An archive of keyframes at equal intervals.
pub struct ChosenKeyframes {
    /// The archive.
    pub archive: PathBuf,
    /// Its keyframes.
    pub keyframes: Vec<Keyframe>,
    /// Ticks from the first frame to the end of the last one.
    pub length: i64,
}

impl<'a> EqualIntervalWriter<'a> {
    /// Creates the archive; the targets are spread over `timeline`.
    pub fn new(
        request: &DecodeRequest,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        timeline: Timeline,
        observe: &'a Observer<'a>,
    ) -> Result<Self, MediaError> {
        let writer = Self::writer(request, settings, track, observe)?;
        let picker = EqualInterval::new(settings.count, settings.position, TimeRange { length: timeline.places() });
        Ok(Self { settings: settings.clone(), track: track.clone(), timeline, picker, writer })
    }

    /// Creates the archive.
    pub fn writer(
        request: &DecodeRequest,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        observe: &'a Observer<'a>,
    ) -> Result<KeyframeWriter<'a>, MediaError> {
        let path = request.out_dir.join(archive::FILE_NAME);
        KeyframeWriter::create(&path, request.member_stem(), settings.jpeg_quality, track, observe)
    }

    /// Takes the next frame in presentation order.
    pub fn show(&mut self, decoded: &DecodedFrame) -> Result<(), MediaError> {
        let write = writing(&mut self.writer, &self.settings, &self.track, self.timeline.spread());
        self.picker.show(self.timeline.place(decoded.ticks), decoded.clone(), write)
    }

    /// Ends the video: fills the remaining targets and closes the archive.
    pub fn finish(mut self) -> Result<ChosenKeyframes, MediaError> {
        let length = self.timeline.length;
        let spread = self.timeline.spread();
        self.picker.finish(writing(&mut self.writer, &self.settings, &self.track, spread))?;
        let (archive, keyframes) = self.writer.finish()?;
        Ok(ChosenKeyframes { archive, keyframes, length })
    }
}

/// Returns the function that writes the frames that a picker chooses, each with its target.
fn writing<'w>(
    writer: &'w mut KeyframeWriter<'_>,
    settings: &'w KeyframeSettings,
    track: &'w VideoTrack,
    spread: i64,
) -> impl FnMut(u32, i64, &DecodedFrame) -> Result<(), MediaError> + 'w {
    move |index, _, decoded| {
        let target = TimeRange { length: spread }.target(index, settings.count, settings.position);
        writer.write(decoded, Reason { target_s: Some(track.seconds(target)), ..Reason::default() })
    }
}
