//! Runs ONNX models on pictures and sound: object detectors ([`detect`]) and video and audio
//! embedders ([`embed`]), through ONNX Runtime ([`inference`]).
//!
//! A model is a file plus an entry of the registry that says how to feed it. Loading compares the
//! two, so that a wrong entry is an error at the start and not at the first trailer.
//!
//! Never decodes video (`jhalak-media` does), never trains, never downloads a model, and never
//! falls back to another provider than the configured one.
//!
//! Dependencies point one way: `detect` and `embed` use `inference`, never the reverse.
//! Start reading in [`inference::Models`], then [`embed::video`] or [`detect::ObjectDetector`].

pub mod detect;
pub mod embed;
pub mod inference;
mod resize_filter;

pub use jhalak_onnx as onnx;
