//! Commands on one video.

pub(super) mod detect;
mod earlier_pictures;
pub(super) mod embed;
pub(super) mod extract;
pub(super) mod keyframes;
pub(super) mod scenes;
pub(super) mod similar;
