//! Objects in pictures, through a detector of the registry: picture to input ([`input`]), output to
//! boxes ([`decode`]), one box for each object ([`nms`]), and the mapping back to picture pixels.

pub mod bilinear;
pub mod decode;
mod detector;
pub mod draw;
pub mod frames;
pub mod input;
pub mod letterbox;
pub mod nms;
pub mod output_layout;

pub use detector::{ObjectDetector, Thresholds};
