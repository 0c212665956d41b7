//! Output for the person at the terminal: the answer on stdout, progress on stderr.

pub mod files;
pub mod output;
pub mod progress;
