//! The operation that an error or a log line is about.

use std::fmt;

/// A verb and a key, for errors and logs: "cannot write artifacts/a/commit.json".
#[derive(Clone, Copy)]
pub(super) struct Operation<'a>(pub(super) &'static str, pub(super) &'a str);

impl fmt::Display for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.0, self.1)
    }
}
