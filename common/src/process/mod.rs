//! What every program needs: exit codes, the stop signal, logging, and fault points for tests.

pub mod exit;
pub mod fault_point;
mod identity;
pub mod shutdown;
pub mod telemetry;

pub use identity::Identity;
