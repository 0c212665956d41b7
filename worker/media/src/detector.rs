//! The trait of object detectors, for scene-object keyframes.

use crate::bounds::Bounds;
use crate::error::MediaError;
use crate::picture::Picture;
use crate::picture::pixels::Pixels;
use serde::{Deserialize, Serialize};

/// Number of classes: those of COCO.
pub const CLASSES: usize = 80;

/// Finds objects in pictures. The same picture must give the same objects.
pub trait Detector {
    /// Returns memory for pictures of up to `bytes` bytes that the detector reads without a copy;
    /// none if any memory will do.
    fn shared_buffer(&mut self, bytes: usize) -> Option<Pixels> {
        let _ = bytes;
        None
    }

    /// Returns all objects in a picture, in any order and of any confidence.
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError>;

    /// Starts detection in a picture. Returns its objects if they are known at once. Otherwise
    /// decoding continues, and [`Detector::finish`] returns them; until then the picture's memory
    /// is not changed.
    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        self.detect(rgb).map(Some)
    }

    /// Waits for the objects of the picture in detection.
    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        Err(MediaError::bug("no detection was started"))
    }
}

/// One object in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its class, below [`CLASSES`].
    pub class: u32,
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// Its bounding box.
    #[serde(rename = "box")]
    pub bounds: Bounds,
}
