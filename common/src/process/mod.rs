//! What every program needs: exit codes, the stop signal, logging, and fault points for tests.

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
