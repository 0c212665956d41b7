//! The three strategies that choose keyframes, and the archive that keyframes are written to.

pub mod archive;
pub mod contact_sheet;
pub mod equal_interval;
pub mod equal_interval_writer;
pub mod frame_store;
pub mod scene_keyframes;
pub mod scene_middle;
pub mod scene_object;
pub mod seek;
pub mod writer;
