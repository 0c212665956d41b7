//! Keyframes as JPEG in one tar archive that webdataset reads: sample `ID-00` has the members `ID-00.jpg` and
//! `ID-00.json`. Same pictures, same bytes: no clock, no owner, a fixed encoder setting.

use super::error::MediaError;
use super::request::Keyframe;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The name, in the output folder, of the archive of keyframes at equal intervals.
pub const FILE_NAME: &str = "keyframes.tar";
/// The same of keyframes from the middle of scenes.
pub const SCENE_MIDDLE_FILE_NAME: &str = "keyframes-scene-middle.tar";
/// The same of keyframes with the most objects.
pub const SCENE_OBJECT_FILE_NAME: &str = "keyframes-scene-object.tar";

/// An archive being written.
pub struct KeyframeTar {
    path: PathBuf,
    archive: tar::Builder<BufWriter<File>>,
}

impl KeyframeTar {
    /// Creates or replaces the archive.
    pub fn create(path: &Path) -> Result<Self, MediaError> {
        let file = File::create(path).map_err(|error| MediaError::from_io("cannot create", path, &error))?;
        Ok(Self { path: path.to_owned(), archive: tar::Builder::new(BufWriter::new(file)) })
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
