//! Decoding in a child process, so that no file can harm the worker (invariant 5 in
//! ARCHITECTURE.md).
//!
//! The parent starts its own executable with the hidden sub-command [`SUBCOMMAND`], writes one line
//! of JSON to its standard input and reads one line from its standard output; FFmpeg's messages
//! arrive on standard error. The child limits itself before it opens the file: address space, CPU
//! time, file size, open files, no core dump. The parent adds the wall clock and cancellation, and
//! maps every way to end to a [`MediaError`](crate::MediaError).
//!
//! Standard input stays open for as long as the parent wants the result. A thread of the child
//! waits for its end, so a worker that is killed (`kill -9`) leaves no decoder behind. Linux's
//! parent-death signal is not an alternative: it fires when the *thread* that started the child
//! ends, and runtimes end idle threads.
//!
//! Models stay in the parent. For scene-object keyframes the child writes each picture into memory
//! that both processes share, reports it on standard output, decodes the next frame and then waits
//! for the objects on standard input. If memory cannot be shared, or the picture has to be rotated,
//! its bytes follow on standard output. The parent checks the reported size before it reads a
//! picture. The detector's time counts against the wall clock only.
//!
//! The child's environment holds only the library paths: a compromised decoder finds no credentials
//! there.

mod child;
mod parent;
mod protocol;
mod shared_memory;

pub use child::run_child;
pub use parent::{decode, decode_with_detector, decode_with_visitor};
pub use protocol::{DecodeLimits, SUBCOMMAND};
