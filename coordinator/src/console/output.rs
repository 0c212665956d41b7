//! The answer of a command on standard output.

use jhalak_common::{Error, Result};
use serde::Serialize;

use crate::console::progress::Progress;

/// How a command answers.
pub struct Output {
    /// As JSON on standard output.
    pub json: bool,
    /// What a person sees meanwhile.
    pub progress: Progress,
}

impl Output {
    /// Prints the answer: `value` as JSON where asked for, else `text`.
    pub fn print(&self, value: &impl Serialize, text: &str) -> Result<()> {
        use std::io::Write;
        let line = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|e| Error::bug("the answer does not serialise").with_source(e))?
        } else {
            text.trim_end().to_string()
        };
        match writeln!(std::io::stdout(), "{line}") {
            // The reader has seen enough (`jhalak ... | head`).
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Error::from),
        }
    }
}
