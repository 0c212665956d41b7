//! Keyframes at equal intervals: picked from the decoded frames as they come and written one by one.

use crate::decode::video_pass::Shown;
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::keyframes::archive;
use crate::keyframes::equal_interval::{EqualInterval, Stretch};
use crate::keyframes::writer::{KeyframeWriter, Observer, Reason};
use crate::request::{DecodeRequest, Keyframe, KeyframeSettings};
use std::path::PathBuf;

/// Chooses keyframes at equal intervals and writes them to the archive.
pub struct Chooser<'a> {
    settings: KeyframeSettings,
    track: VideoTrack,
    stretch: Stretch,
    /// Made when the first frame is seen.
    picker: Option<EqualInterval<Shown>>,
    writer: KeyframeWriter<'a>,
}

/// What a [`Chooser`] leaves behind.
pub struct Chosen {
    /// The archive.
    pub archive: PathBuf,
    /// Its keyframes.
    pub keyframes: Vec<Keyframe>,
    /// What the targets were spread over.
    pub stretch: Stretch,
}

impl<'a> Chooser<'a> {
    /// Creates the archive; the targets are to be spread over `announced`.
    pub fn new(
        request: &DecodeRequest,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        announced: Stretch,
        observe: &'a Observer<'a>,
    ) -> Result<Self, MediaError> {
        let writer = Self::writer(request, settings, track, observe)?;
        Ok(Self { settings: settings.clone(), track: track.clone(), stretch: announced, picker: None, writer })
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
    pub fn show(&mut self, shown: &Shown) -> Result<(), MediaError> {
        let KeyframeSettings { count, position, .. } = self.settings;
        let picker = self.picker.get_or_insert_with(|| {
            self.stretch = self.stretch.beginning_with(shown.ticks, count);
            EqualInterval::new(count, position, self.stretch)
        });
        let write = writing(&mut self.writer, &self.settings, &self.track, self.stretch);
        picker.show(shown.ticks, shown.clone(), write)
    }

    /// No frame comes any more: fills the remaining targets and closes the archive.
    pub fn finish(mut self) -> Result<Chosen, MediaError> {
        if let Some(picker) = self.picker {
            picker.finish(writing(&mut self.writer, &self.settings, &self.track, self.stretch))?;
        }
        let (archive, keyframes) = self.writer.finish()?;
        Ok(Chosen { archive, keyframes, stretch: self.stretch })
    }
}

/// Writes what a picker chooses, with the target that it stands for.
fn writing<'w>(
    writer: &'w mut KeyframeWriter<'_>,
    settings: &'w KeyframeSettings,
    track: &'w VideoTrack,
    stretch: Stretch,
) -> impl FnMut(u32, i64, &Shown) -> Result<(), MediaError> + 'w {
    move |index, _, shown| {
        let target = stretch.target(index, settings.count, settings.position);
        writer.write(shown, Reason { target_s: Some(track.seconds(target)), ..Reason::default() })
    }
}
