//! Embeddings of a trailer: its keyframes through an image or a clip model, its sound through an
//! audio model.

pub mod audio;
mod feature_windows;
pub mod picture_input;
mod sound;
pub mod video;
mod waveform;
