//! Where the S3 server of the tests is. Starting it is `make test`'s work.

use std::sync::Arc;

use jhalak_common::Result;
use jhalak_common::settings::S3Settings;
use jhalak_common::store::{self, ObjectStore};

pub struct Server {
    pub endpoint: String,
    pub bucket: String,
}

/// The server that S3_ENDPOINT names; None, with the reason printed, where it is not set.
pub fn from_environment() -> Option<Server> {
    match std::env::var("S3_ENDPOINT") {
        Ok(endpoint) => {
            Some(Server { endpoint, bucket: std::env::var("S3_BUCKET").unwrap_or_else(|_| "jhalak-tests".into()) })
        }
        Err(_) => {
            println!("skipped: S3_ENDPOINT is not set, so there is no S3 server to test");
            None
        }
    }
}

impl Server {
    /// Settings that reach the server at `endpoint` (a proxy before it, or itself), with short times.
    pub fn settings(&self, endpoint: Option<&str>) -> S3Settings {
        S3Settings {
            endpoint: Some(endpoint.unwrap_or(&self.endpoint).to_string()),
            stall_timeout_ms: 2_000,
            connect_timeout_ms: 1_000,
            part_size_bytes: 5 << 20,
            ..S3Settings::default()
        }
    }

    /// The store at `url`.
    ///
    /// # Panics
    /// Where it cannot be opened.
    pub async fn store_at(&self, url: &str) -> Arc<dyn ObjectStore> {
        store::open(url, &self.settings(None)).await.expect("the server runs")
    }

    /// A store below a prefix of its own.
    pub async fn store(&self, name: &str, endpoint: Option<&str>) -> Result<Arc<dyn ObjectStore>> {
        let unique =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map(|t| t.as_nanos()).unwrap_or(0);
        store::open(&format!("s3://{}/{name}-{unique:x}", self.bucket), &self.settings(endpoint)).await
    }
}
