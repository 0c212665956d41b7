//! Exit codes of the programs.

use std::process::ExitCode;

use crate::error::{Error, ErrorKind};

/// Done.
pub const DONE: u8 = 0;
/// A bug in the program.
pub const BUG: u8 = 1;
/// Wrong use of the command line.
pub const USAGE: u8 = 2;
/// Invalid input.
pub const INVALID: u8 = 3;
/// Done, but with quarantined jobs.
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
        ErrorKind::Transient | ErrorKind::Permission => UNREACHABLE,
        ErrorKind::Unable => UNABLE,
        ErrorKind::StorageFull => FULL,
        ErrorKind::Cancelled => INTERRUPTED,
        ErrorKind::Bug => BUG,
    }
}

/// Prints the error to stderr and returns its exit code.
pub fn report(program: &str, error: &Error) -> ExitCode {
    eprintln!("{program}: {}", error.chain());
    ExitCode::from(code(error.kind()))
}
