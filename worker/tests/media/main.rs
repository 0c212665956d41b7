//! Tests of the media crate: against the `ffmpeg` program, with broken files, and in the sandbox.
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
mod time;
