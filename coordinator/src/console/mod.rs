//! What a person at the terminal sees.

pub mod output;
pub mod progress;
