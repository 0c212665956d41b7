//! Keyframes at equal intervals: picked from the decoded frames, converted, compressed and archived one by one.

use super::clock::Clock;
use super::equal_interval::{EqualInterval, Stretch};
use super::error::MediaError;
use super::keyframe_tar::{KeyframeTar, encode_jpeg};
use super::picture::{Picture, RgbConverter};
use super::request::{DecodeRequest, Keyframe, KeyframeSettings};
use super::source::VideoTrack;
use ffmpeg_next::frame;
use std::path::PathBuf;

/// Sees every keyframe and its picture before it is compressed.
pub type Observer<'a> = dyn FnMut(&Keyframe, &Picture) + 'a;

/// Chooses keyframes at equal intervals and writes them to the archive.
pub struct Chooser<'a> {
    announced: Stretch,
    /// Made when the first frame is seen.
    picker: Option<EqualInterval<(u64, frame::Video)>>,
    writer: KeyframeWriter<'a>,
    clock: Clock,
    frames: u64,
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
        observe: &'a mut Observer<'a>,
    ) -> Result<Self, MediaError> {
        let writer = KeyframeWriter {
            stem: request.member_stem(),
            settings: settings.clone(),
            track: track.clone(),
            stretch: announced,
            converter: RgbConverter::default(),
            archive: KeyframeTar::create(&request.out_dir)?,
            last: None,
            keyframes: Vec::new(),
            observe,
        };
        Ok(Self { announced, picker: None, writer, clock: Clock::new(track), frames: 0 })
    }

    /// Takes the next frame in presentation order.
    pub fn show(&mut self, frame: frame::Video) -> Result<(), MediaError> {
        let ticks = self.clock.stamp(frame.timestamp(), frame.packet().duration);
        let number = self.frames;
        self.frames += 1;
        let (announced, writer) = (self.announced, &mut self.writer);
        let picker = self.picker.get_or_insert_with(|| {
            let KeyframeSettings { count, position, .. } = writer.settings;
            writer.stretch = announced.beginning_with(ticks, count);
            EqualInterval::new(count, position, writer.stretch)
        });
        picker.show(ticks, (number, frame), |index, at, chosen| writer.write(index, at, chosen))
    }

    /// Frames seen so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ticks at which the last frame ends, if there was one.
    pub fn end(&self) -> Option<i64> {
        (self.frames > 0).then(|| self.clock.end())
    }

    /// No frame comes any more: fills the remaining targets and closes the archive.
    pub fn finish(self) -> Result<Chosen, MediaError> {
        let mut writer = self.writer;
        if let Some(picker) = self.picker {
            picker.finish(|index, at, chosen| writer.write(index, at, chosen))?;
        }
        Ok(Chosen { archive: writer.archive.finish()?, keyframes: writer.keyframes, stretch: writer.stretch })
    }
}

/// Converts, compresses and archives the frames that were chosen.
struct KeyframeWriter<'a> {
    stem: String,
    settings: KeyframeSettings,
    track: VideoTrack,
    stretch: Stretch,
    converter: RgbConverter,
    archive: KeyframeTar,
    /// The last picture: number of its frame, its keyframe, picture and JPEG.
    last: Option<(u64, u32, Picture, Vec<u8>)>,
    keyframes: Vec<Keyframe>,
    observe: &'a mut Observer<'a>,
}

impl KeyframeWriter<'_> {
    fn write(&mut self, index: u32, ticks: i64, (number, frame): &(u64, frame::Video)) -> Result<(), MediaError> {
        let repeats = self.last.as_ref().filter(|last| last.0 == *number).map(|last| last.1);
        if repeats.is_none() {
            let picture = self.track.orientation.apply(self.converter.convert(frame)?);
            let jpeg = encode_jpeg(&picture, self.settings.jpeg_quality)?;
            self.last = Some((*number, index, picture, jpeg));
        }
        let Some((_, _, picture, jpeg)) = &self.last else {
            return Err(MediaError::bug("a keyframe without a picture"));
        };
        let KeyframeSettings { count, position, .. } = self.settings;
        let keyframe = Keyframe {
            index,
            frame: *number,
            target_s: self.track.seconds(self.stretch.target(index, count, position)),
            time_s: self.track.seconds(ticks),
            file: format!("{}-{index:02}.jpg", self.stem),
            repeats,
        };
        (self.observe)(&keyframe, picture);
        self.archive.append(&keyframe, jpeg)?;
        self.keyframes.push(keyframe);
        Ok(())
    }
}
