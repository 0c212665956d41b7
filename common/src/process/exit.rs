//! Exit codes of the programs.

use std::borrow::Cow;
use std::io::Write;
use std::process::ExitCode;

use crate::error::{Error, ErrorKind};
use crate::redact::redact_message;

/// Done.
pub const DONE: u8 = 0;
/// A bug in the program.
pub const BUG: u8 = 1;
/// Wrong use of the command line.
pub const USAGE: u8 = 2;
/// Invalid input.
pub const INVALID: u8 = 3;
/// Done, but with quarantined jobs, or without a model that could not be fitted.
pub const QUARANTINED: u8 = 4;
/// A service is unreachable or refuses.
pub const UNREACHABLE: u8 = 5;
/// This machine cannot do the work: its scratch folder, a model or its version does not fit.
pub const UNABLE: u8 = 6;
/// A disk or a store is full.
pub const FULL: u8 = 7;
/// The slot has a run of other settings.
pub const DIFFERENT: u8 = 8;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// Returns the exit code for an error of this kind.
pub fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::NotFound | ErrorKind::InvalidInput => INVALID,
        ErrorKind::Usage => USAGE,
        ErrorKind::Transient | ErrorKind::Throttled | ErrorKind::Permission => UNREACHABLE,
        ErrorKind::Unable => UNABLE,
        ErrorKind::StorageFull => FULL,
        ErrorKind::Cancelled => INTERRUPTED,
        ErrorKind::Bug => BUG,
    }
}

/// Prints the error to stderr, without what may be a password, and returns its exit code.
pub fn report(program: &str, error: &Error) -> ExitCode {
    // A reader that has closed the pipe reads the exit code.
    let _ = writeln!(std::io::stderr(), "{program}: {}", escape_controls(&redact_message(&error.chain())));
    ExitCode::from(code(error.kind()))
}

/// Escapes what a terminal would obey in text from a dataset or a file name: control characters,
/// except line breaks and tabs, and characters that turn the reading direction.
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| match c {
        '\n' | '\t' => false,
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    };
    // Carriage returns are those of line breaks.
    if !text.contains(|c| is_obeyed(c) && c != '\r') && !text.replace("\r\n", "").contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if is_obeyed(c) && !(c == '\r' && chars.peek() == Some(&'\n')) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for same in ["plain\ttext\n", "a\r\nb", "हिन्दी العربية 🎬"] {
            assert_eq!(escape_controls(same), same);
        }
        assert_eq!(escape_controls("a\u{1b}[31mb\r\u{202E}c"), "a\\u{1b}[31mb\\u{d}\\u{202e}c");
    }
}
