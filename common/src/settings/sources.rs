//! Trailers on web servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::range::require;
use crate::error::Result;

/// Trailers on web servers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// Hosts from which trailers may be fetched over HTTPS, such as `cdn.example.com`, or
    /// `cdn.example.com:8443` for another port. Default: none.
    pub https_hosts: Vec<String>,
    /// The largest trailer that is fetched over HTTPS.
    pub https_max_mb: u32,
}

impl Default for SourceSettings {
    fn default() -> Self {
        SourceSettings { https_hosts: Vec::new(), https_max_mb: 2_048 }
    }
}

impl SourceSettings {
    /// Whether trailers of this host and port may be fetched.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        self.https_hosts.iter().any(|allowed| {
            let allowed = allowed.to_ascii_lowercase();
            allowed == format!("{host}:{port}") || (port == 443 && allowed == host)
        })
    }

    /// Checks the ranges of the settings.
    pub(super) fn check(&self) -> Result<()> {
        let is_host = |host: &String| !host.is_empty() && !host.contains(['/', '@', '?', '*', ' ']);
        require(
            self.https_hosts.iter().all(is_host),
            "sources.https_hosts",
            "names of hosts, such as cdn.example.com",
        )?;
        require(self.https_max_mb >= 1, "sources.https_max_mb", "at least 1")
    }
}
