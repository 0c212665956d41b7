//! The media module against the `ffmpeg` program, against broken files, and contained in a child process.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod containment;
mod hostile;
mod keyframes;
mod kinds;
mod mutations;
mod photographs;
mod properties;
mod scenes;
mod seeking;
mod sound;
mod strategies;
mod support;
