//! The answer of a command on standard output.

use jhalak_common::process::exit::escape_controls;
use jhalak_common::{Error, Result};
use serde::Serialize;

use crate::console::progress::Progress;

/// The output of a command: its form and its destination.
pub struct Output {
    /// Answer as JSON.
    pub json: bool,
    /// Shows progress on stderr.
    pub progress: Progress,
}

impl Output {
    /// Prints the answer on stdout: `value` with `--json`, else `text`.
    pub fn print(&self, value: &impl Serialize, text: &str) -> Result<()> {
        use std::io::Write;
        let line = if self.json {
            serde_json::to_string_pretty(value)
                .map_err(|e| Error::bug("the answer does not serialise").with_source(e))?
        } else {
            escape_controls(text.trim_end()).into_owned()
        };
        match writeln!(std::io::stdout(), "{line}") {
            // The reader closed the pipe (`jhalak ... | head`).
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::from(e).context("cannot write the answer to standard output")),
        }
    }
}
