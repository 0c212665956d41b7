//! The shell of every program: exit codes, the stop signal, logging, and fault points for tests.

pub mod exit;
pub mod fault_point;
mod identity;
pub mod logging;
pub mod shutdown;

pub use identity::Identity;

/// Forbids core dumps of this process: memory holds the broker's password and the store's keys.
pub fn forbid_core_dumps() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Fails nowhere: a process may always lower its own limit.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Forbids the telemetry of ONNX Runtime. Its published builds send facts about this process to
/// their maker and write an id of the machine and a database to the cache folder, before any
/// setting of their programming interface takes effect.
///
/// Call it first in `main`.
#[expect(unsafe_code, reason = "the library reads nothing but the environment before it starts")]
pub fn forbid_library_telemetry() {
    // SAFETY: no other thread runs yet that could read the environment at the same time.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}
