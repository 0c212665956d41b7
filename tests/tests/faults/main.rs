//! Tests faults in every step of real processes over a real RabbitMQ and a real S3 server. After
//! each fault, every artifact exists once with the bytes of an undisturbed run, and every job has
//! one end state.
//!
//! Without an S3 server (S3_ENDPOINT, which `scripts/test.sh` sets) the tests are skipped with the
//! reason.

/// Held by the test that kills the mortal broker: a submit that is started while another test has
/// it down rightly ends with 5.
static MORTAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

mod broker;
mod coordinator;
mod forged;
mod lifecycle;
mod messages;
mod mutated;
mod processors;
mod reprocessing;
mod scaling;
mod schedule;
mod scratch;
mod store;
mod trust;
mod worker;
