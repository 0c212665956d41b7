//! Tests the telemetry of the programs: metrics that add up under a real Prometheus, alert rules
//! and a dashboard that match them, traces, and no secret anywhere.
//!
//! Prometheus and promtool are in `.local/bin` (`scripts/setup.sh test`).

mod generated;
mod scrape;
mod secrets;
mod traces;
