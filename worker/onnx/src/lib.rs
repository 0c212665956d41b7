//! Reads and writes the parts of ONNX files that Jhalak needs, without ONNX Runtime.
//!
//! - [`Builder`] writes a graph layer by layer: the fitted recommender as an ONNX file.
//! - [`external_weights::weights_outside`] finds weights stored outside a model file.
//! - [`file_facts::of`] returns a file's versions, metadata, inputs and outputs.
//! - [`message`] holds the protocol buffer messages, with the field numbers of onnx.proto.
//!
//! Never runs a model, never touches files or the network: bytes in, bytes out.
//!
//! Start reading in [`Builder`], then [`message`].

mod builder;
pub mod external_weights;
pub mod file_facts;
pub mod message;

pub use builder::{Builder, Name};
