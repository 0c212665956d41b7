//! Keyframes as JPEG in one tar archive that webdataset reads: sample `ID-00` has the members
//! `ID-00.jpg` and `ID-00.json`. The same pictures give the same bytes: no modification time, no
//! owner, fixed encoder settings.

use crate::error::MediaError;
use crate::report::{Keyframe, Padding};
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// File name of the archive of keyframes at equal intervals.
pub const FILE_NAME: &str = "keyframes.tar";
/// File name of the archive of keyframes from the middle of scenes.
pub const SCENE_MIDDLE_FILE_NAME: &str = "keyframes-scene-middle.tar";
/// File name of the archive of keyframes with the most objects.
pub const SCENE_OBJECT_FILE_NAME: &str = "keyframes-scene-object.tar";

/// An archive being written.
pub struct KeyframeArchive {
    path: PathBuf,
    archive: tar::Builder<BufWriter<File>>,
}

impl KeyframeArchive {
    /// Creates or replaces the archive.
    pub fn create(path: &Path) -> Result<Self, MediaError> {
        let file = File::create(path).map_err(|error| MediaError::from_io("cannot create", path, &error))?;
        Ok(Self { path: path.to_owned(), archive: tar::Builder::new(BufWriter::new(file)) })
    }

    /// Appends a keyframe: its picture as `keyframe.file`, its description as JSON.
    pub fn append(&mut self, keyframe: &Keyframe, jpeg: &[u8]) -> Result<(), MediaError> {
        self.sample(&keyframe.file, jpeg, keyframe)
    }

    /// Appends a black picture instead of a keyframe.
    pub fn append_padding(&mut self, padding: &Padding, jpeg: &[u8]) -> Result<(), MediaError> {
        self.sample(&padding.file, jpeg, padding)
    }

    fn sample(&mut self, file: &str, jpeg: &[u8], about: &impl Serialize) -> Result<(), MediaError> {
        let mut json = serde_json::to_vec(about).map_err(|error| MediaError::bug(format!("keyframe: {error}")))?;
        json.push(b'\n');
        self.member(file, jpeg)?;
        self.member(&format!("{}.json", file.trim_end_matches(".jpg")), &json)
    }

    /// Writes the end of the archive, closes it and returns its path.
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

/// A picture of an archive and its description.
pub struct Sample {
    /// A JPEG.
    pub jpeg: Vec<u8>,
    /// A [`Keyframe`] or a [`Padding`], as JSON.
    pub about: Vec<u8>,
}

/// Reads the archive `path`, sample by sample, in order.
pub fn read(path: &Path, mut take: impl FnMut(Sample) -> Result<(), MediaError>) -> Result<(), MediaError> {
    let failed = |error| MediaError::from_io("cannot read", path, &error);
    let mut archive = tar::Archive::new(File::open(path).map_err(failed)?);
    let mut waiting = None;
    for member in archive.entries().map_err(failed)? {
        let mut bytes = Vec::new();
        member.and_then(|mut member| member.read_to_end(&mut bytes)).map_err(failed)?;
        // The description follows the picture.
        match waiting.take() {
            None => waiting = Some(bytes),
            Some(jpeg) => take(Sample { jpeg, about: bytes })?,
        }
    }
    Ok(())
}
