//! Objects in pictures, through a detector of the registry: picture to input ([`input`]), output to
//! boxes ([`decode`]), one box for each object ([`nms`]), and the mapping back to picture pixels.
//! The metadata of a file ([`metadata`]) completes its entry, and its
//! values are checked against their meaning ([`values`]).

pub mod bilinear;
mod candidate;
pub mod decode;
mod detector;
pub mod draw;
mod entry_labels;
pub mod frames;
mod heads;
pub mod input;
pub mod letterbox;
mod merge_outputs;
pub mod metadata;
pub mod nms;
pub mod output_layout;
mod resolve;
mod rotated;
pub mod suggest;
pub mod trial;
pub mod values;

pub use detector::{ObjectDetector, Thresholds};
