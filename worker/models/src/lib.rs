//! Runs ONNX models: object detectors ([`detect`]) and video and audio embedders ([`embed`]) over ONNX Runtime ([`inference`]).

pub mod detect;
pub mod embed;
pub mod inference;
mod resize_filter;
