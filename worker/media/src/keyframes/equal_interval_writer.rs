//! Keyframes at equal intervals from a full decode: picked from the frames as they arrive and
//! written one by one.

use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
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
    range: TimeRange,
    /// Created at the first frame.
    picker: Option<EqualInterval<DecodedFrame>>,
    writer: KeyframeWriter<'a>,
}

/// An archive of keyframes at equal intervals.
pub struct ChosenKeyframes {
    /// The archive.
    pub archive: PathBuf,
    /// Its keyframes.
    pub keyframes: Vec<Keyframe>,
    /// The range that the targets were spread over.
    pub range: TimeRange,
}

impl<'a> EqualIntervalWriter<'a> {
    /// Creates the archive; the targets are spread over `declared`.
    pub fn new(
        request: &DecodeRequest,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        declared: TimeRange,
        observe: &'a Observer<'a>,
    ) -> Result<Self, MediaError> {
        let writer = Self::writer(request, settings, track, observe)?;
        Ok(Self { settings: settings.clone(), track: track.clone(), range: declared, picker: None, writer })
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
        let KeyframeSettings { count, position, .. } = self.settings;
        let picker = self.picker.get_or_insert_with(|| {
            self.range = self.range.beginning_with(decoded.ticks, count);
            EqualInterval::new(count, position, self.range)
        });
        let write = writing(&mut self.writer, &self.settings, &self.track, self.range);
        picker.show(decoded.ticks, decoded.clone(), write)
    }

    /// Ends the video: fills the remaining targets and closes the archive.
    pub fn finish(mut self) -> Result<ChosenKeyframes, MediaError> {
        if let Some(picker) = self.picker {
            picker.finish(writing(&mut self.writer, &self.settings, &self.track, self.range))?;
        }
        let (archive, keyframes) = self.writer.finish()?;
        Ok(ChosenKeyframes { archive, keyframes, range: self.range })
    }
}

/// Returns the function that writes the frames that a picker chooses, each with its target.
fn writing<'w>(
    writer: &'w mut KeyframeWriter<'_>,
    settings: &'w KeyframeSettings,
    track: &'w VideoTrack,
    range: TimeRange,
) -> impl FnMut(u32, i64, &DecodedFrame) -> Result<(), MediaError> + 'w {
    move |index, _, decoded| {
        let target = range.target(index, settings.count, settings.position);
        writer.write(decoded, Reason { target_s: Some(track.seconds(target)), ..Reason::default() })
    }
}
