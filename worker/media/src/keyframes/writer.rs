//! Writes chosen frames to an archive: converts, rotates and compresses them.

use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::frame::DecodedFrame;
use crate::keyframes::archive::KeyframeArchive;
use crate::picture::jpeg_encoder;
use crate::picture::{Picture, RgbConverter};
use crate::report::{FoundObjects, Keyframe, Padding, SceneSpan};
use ffmpeg_next::frame;
use std::path::{Path, PathBuf};

/// Receives every keyframe and its picture before compression.
pub type Observer<'a> = dyn Fn(&Keyframe, &Picture) + 'a;

/// Why a frame was chosen.
#[derive(Debug, Clone, Default)]
pub struct Reason {
    /// The target time in seconds; by default the time of the frame.
    pub target_s: Option<f64>,
    /// The scene that it represents.
    pub scene: Option<SceneSpan>,
    /// The objects found in it.
    pub objects: Option<FoundObjects>,
}

/// Writes one archive of keyframes.
pub struct KeyframeWriter<'a> {
    stem: String,
    jpeg_quality: u8,
    track: VideoTrack,
    converter: RgbConverter,
    archive: KeyframeArchive,
    picture: Picture,
    /// The last picture: frame number, keyframe index, JPEG.
    last: Option<(u64, u32, Vec<u8>)>,
    keyframes: Vec<Keyframe>,
    observe: &'a Observer<'a>,
}

impl<'a> KeyframeWriter<'a> {
    /// Creates or replaces the archive `path`, whose members are named after `stem`.
    pub fn create(
        path: &Path,
        stem: String,
        jpeg_quality: u8,
        track: &VideoTrack,
        observe: &'a Observer<'a>,
    ) -> Result<Self, MediaError> {
        Ok(Self {
            stem,
            jpeg_quality,
            track: track.clone(),
            converter: RgbConverter::default(),
            archive: KeyframeArchive::create(path)?,
            picture: Picture::default(),
            last: None,
            keyframes: Vec::new(),
            observe,
        })
    }

    /// Appends the next keyframe.
    pub fn write(&mut self, decoded: &DecodedFrame, reason: Reason) -> Result<(), MediaError> {
        let mut keyframe = self.describe(self.keyframes.len(), decoded.number, decoded.ticks, reason);
        let jpeg = match self.last.take() {
            Some((number, first, jpeg)) if number == decoded.number => {
                keyframe.repeats = Some(first);
                (self.observe)(&keyframe, &self.picture);
                self.last = Some((number, first, jpeg.clone()));
                jpeg
            }
            _ => {
                let jpeg = self.compress(&decoded.frame, &keyframe)?;
                self.last = Some((decoded.number, keyframe.index, jpeg.clone()));
                jpeg
            }
        };
        self.append(keyframe, &jpeg)
    }

    /// Returns the number of keyframes appended so far.
    pub fn written(&self) -> usize {
        self.keyframes.len()
    }

    /// Describes keyframe number `index`.
    pub fn describe(&self, index: usize, number: u64, ticks: i64, reason: Reason) -> Keyframe {
        let time_s = self.track.seconds(ticks);
        Keyframe {
            index: index as u32,
            frame: number,
            target_s: reason.target_s.unwrap_or(time_s),
            time_s,
            file: self.file(index as u32),
            repeats: None,
            scene: reason.scene,
            objects: reason.objects,
        }
    }

    /// Compresses a keyframe to JPEG.
    pub fn compress(&mut self, frame: &frame::Video, keyframe: &Keyframe) -> Result<Vec<u8>, MediaError> {
        self.converter.convert_into(frame, &mut self.picture)?;
        self.track.orientation.rotate(&mut self.picture);
        (self.observe)(keyframe, &self.picture);
        jpeg_encoder::encode(&self.picture, self.jpeg_quality)
    }

    /// Appends a described and compressed keyframe.
    pub fn append(&mut self, keyframe: Keyframe, jpeg: &[u8]) -> Result<(), MediaError> {
        self.archive.append(&keyframe, jpeg)?;
        self.keyframes.push(keyframe);
        Ok(())
    }

    /// Appends black pictures of the same size until there are `wanted` in total.
    pub fn pad(&mut self, wanted: u32) -> Result<Vec<Padding>, MediaError> {
        let written = self.keyframes.len() as u32;
        if written >= wanted {
            return Ok(Vec::new());
        }
        let (mut width, mut height) = (self.picture.width, self.picture.height);
        if self.picture.rgb.is_empty() {
            (width, height) = self.track.orientation.shown_size(self.track.width, self.track.height);
        }
        let black = Picture { width, height, rgb: vec![0; width as usize * height as usize * 3].into() };
        let jpeg = jpeg_encoder::encode(&black, self.jpeg_quality)?;
        let one = |index| Padding { index, file: self.file(index), padding: true };
        let padding: Vec<Padding> = (written..wanted).map(one).collect();
        padding.iter().try_for_each(|one| self.archive.append_padding(one, &jpeg))?;
        Ok(padding)
    }

    fn file(&self, index: u32) -> String {
        format!("{}-{index:02}.jpg", self.stem)
    }

    /// Closes the archive. Returns its path and its keyframes.
    pub fn finish(self) -> Result<(PathBuf, Vec<Keyframe>), MediaError> {
        Ok((self.archive.finish()?, self.keyframes))
    }
}
