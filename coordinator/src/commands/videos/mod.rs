//! Commands on one video.

pub(super) mod detect;
pub(super) mod embed;
pub(super) mod extract;
pub(super) mod keyframes;
pub(super) mod scenes;
pub(super) mod similar;
