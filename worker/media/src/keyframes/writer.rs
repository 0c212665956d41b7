//! Chosen frames on their way into an archive: converted, turned, compressed.

use crate::decode::video_pass::Shown;
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::keyframes::archive::KeyframeTar;
use crate::picture::jpeg_encoder;
use crate::picture::{Picture, RgbConverter};
use crate::request::{FoundObjects, Keyframe, Padding, SceneSpan};
use ffmpeg_next::frame;
use std::path::{Path, PathBuf};

/// Sees every keyframe and its picture before it is compressed.
pub type Observer<'a> = dyn Fn(&Keyframe, &Picture) + 'a;

/// What a frame was chosen for.
#[derive(Debug, Clone, Default)]
pub struct Reason {
    /// The time it stands for, in seconds; its own if absent.
    pub target_s: Option<f64>,
    /// The scene that it stands for.
    pub scene: Option<SceneSpan>,
    /// The objects that won.
    pub objects: Option<FoundObjects>,
}

/// Writes one archive of keyframes.
pub struct KeyframeWriter<'a> {
    stem: String,
    jpeg_quality: u8,
    track: VideoTrack,
    converter: RgbConverter,
    archive: KeyframeTar,
    picture: Picture,
    /// The last picture: number of its frame, its keyframe, its JPEG.
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
            archive: KeyframeTar::create(path)?,
            picture: Picture::default(),
            last: None,
            keyframes: Vec::new(),
            observe,
        })
    }

    /// Appends the next keyframe.
    pub fn write(&mut self, shown: &Shown, reason: Reason) -> Result<(), MediaError> {
        let mut keyframe = self.describe(self.keyframes.len(), shown.number, shown.ticks, reason);
        let jpeg = match self.last.take() {
            Some((number, first, jpeg)) if number == shown.number => {
                keyframe.repeats = Some(first);
                (self.observe)(&keyframe, &self.picture);
                self.last = Some((number, first, jpeg.clone()));
                jpeg
            }
            _ => {
                let jpeg = self.compress(&shown.frame, &keyframe)?;
                self.last = Some((shown.number, keyframe.index, jpeg.clone()));
                jpeg
            }
        };
        self.append(keyframe, &jpeg)
    }

    /// How many keyframes were appended.
    pub fn written(&self) -> usize {
        self.keyframes.len()
    }

    /// What keyframe number `index` will be.
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

    /// The JPEG of a keyframe.
    pub fn compress(&mut self, frame: &frame::Video, keyframe: &Keyframe) -> Result<Vec<u8>, MediaError> {
        self.converter.convert_into(frame, &mut self.picture)?;
        self.track.orientation.turn(&mut self.picture);
        (self.observe)(keyframe, &self.picture);
        jpeg_encoder::encode(&self.picture, self.jpeg_quality)
    }

    /// Appends a keyframe that was described and compressed before.
    pub fn append(&mut self, keyframe: Keyframe, jpeg: &[u8]) -> Result<(), MediaError> {
        self.archive.append(&keyframe, jpeg)?;
        self.keyframes.push(keyframe);
        Ok(())
    }

    /// Appends black pictures, of the size of the others, until there are `wanted` in all.
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

    /// Closes the archive: its path and its keyframes.
    pub fn finish(self) -> Result<(PathBuf, Vec<Keyframe>), MediaError> {
        Ok((self.archive.finish()?, self.keyframes))
    }
}
