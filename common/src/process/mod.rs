//! What every program needs: exit codes, the stop signal, logging, and fault points for tests.

pub mod exit;
pub mod fault_point;
pub mod shutdown;
pub mod telemetry;
