//! Support of the integration tests: private servers, a proxy that breaks requests, datasets made
//! on the spot, the built programs.

pub mod broker;
pub mod browser;
pub mod certificates;
pub mod cluster;
pub mod collector;
pub mod dataset;
pub mod fault_proxy;
pub mod markdown;
pub mod monitoring;
pub mod mutated_messages;
pub mod page_server;
pub mod programs;
pub mod prometheus;
pub mod s3_server;
pub mod tiny_disk;

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
