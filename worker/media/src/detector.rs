//! The seam to object detection: what scene-object keyframes need to know of a detector.

use crate::error::MediaError;
use crate::picture::Picture;
use crate::picture::pixels::Pixels;
use serde::{Deserialize, Serialize};

/// Classes that a detector tells apart: those of COCO.
pub const CLASSES: usize = 80;

/// Finds objects in pictures. The same picture must give the same objects.
pub trait Detector {
    /// Memory for pictures of up to `bytes` bytes in which the detector sees them without a copy; none if it does not matter where they lie.
    fn canvas(&mut self, bytes: usize) -> Option<Pixels> {
        let _ = bytes;
        None
    }

    /// All objects in a picture, in any order, of any confidence.
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError>;

    /// Begins to look at a picture: gives its objects if they are known at once. If not, decoding goes on meanwhile, [`Detector::finish`]
    /// gives them, and the picture's memory stays untouched until it has.
    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        self.detect(rgb).map(Some)
    }

    /// Waits for the objects of the picture that was begun.
    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        Err(MediaError::bug("no picture was begun"))
    }
}

/// One object in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its class, below [`CLASSES`].
    pub class: u32,
    /// How sure the detector is, 0 to 1.
    pub confidence: f32,
    /// Where it is.
    #[serde(rename = "box")]
    pub bounds: Bounds,
}

/// A rectangle in pixels from the picture's left and top.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Its left edge.
    pub left: f32,
    /// Its upper edge.
    pub top: f32,
    /// Its right edge.
    pub right: f32,
    /// Its lower edge.
    pub bottom: f32,
}
