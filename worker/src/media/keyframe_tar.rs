//! Keyframes as JPEG in one tar archive that webdataset reads: sample `ID-00` has the members `ID-00.jpg` and
//! `ID-00.json`. Same pictures, same bytes: no clock, no owner, a fixed encoder setting.

use super::error::MediaError;
use super::picture::Picture;
use super::request::Keyframe;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The archive's name in the output folder.
pub const FILE_NAME: &str = "keyframes.tar";

/// Encodes a picture: baseline, 4:4:4, `quality` 1 to 100.
pub fn encode_jpeg(picture: &Picture, quality: u8) -> Result<Vec<u8>, MediaError> {
    let side = |n: u32| u16::try_from(n).map_err(|_| MediaError::bug(format!("a JPEG side of {n} pixels")));
    let (width, height) = (side(picture.width)?, side(picture.height)?);
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    encoder
        .encode(&picture.rgb, width, height, ColorType::Rgb)
        .map_err(|error| MediaError::bug(format!("JPEG of {width}x{height}: {error}")))?;
    Ok(jpeg)
}

/// An archive being written.
pub struct KeyframeTar {
    path: PathBuf,
    archive: tar::Builder<BufWriter<File>>,
}

impl KeyframeTar {
    /// Creates or replaces `keyframes.tar` in `folder`.
    pub fn create(folder: &Path) -> Result<Self, MediaError> {
        let path = folder.join(FILE_NAME);
        let file = File::create(&path).map_err(|error| MediaError::from_io("cannot create", &path, &error))?;
        Ok(Self { path, archive: tar::Builder::new(BufWriter::new(file)) })
    }

    /// Appends a keyframe: its picture as `keyframe.file`, its numbers beside it as JSON.
    pub fn append(&mut self, keyframe: &Keyframe, jpeg: &[u8]) -> Result<(), MediaError> {
        let mut json = serde_json::to_vec(keyframe).map_err(|error| MediaError::bug(format!("keyframe: {error}")))?;
        json.push(b'\n');
        self.member(&keyframe.file, jpeg)?;
        self.member(&format!("{}.json", keyframe.file.trim_end_matches(".jpg")), &json)
    }

    /// Writes the end of the archive and closes it.
    pub fn finish(self) -> Result<PathBuf, MediaError> {
        let failed = |error| MediaError::from_io("cannot write", &self.path, &error);
        self.archive.into_inner().and_then(|mut file| file.flush()).map_err(failed)?;
        Ok(self.path)
    }

    fn member(&mut self, name: &str, bytes: &[u8]) -> Result<(), MediaError> {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let appended = self.archive.append_data(&mut header, name, bytes);
        appended.map_err(|error| MediaError::from_io("cannot write", &self.path, &error))
    }
}
