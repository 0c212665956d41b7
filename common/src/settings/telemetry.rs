//! Settings of metrics and probes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metrics and probes over HTTP. Traces are set by the variables of OpenTelemetry
/// (`OTEL_EXPORTER_OTLP_ENDPOINT` and others).
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The address of `/metrics`, `/livez` and `/readyz`, such as `0.0.0.0:9464`, or `off`.
    /// Default: `127.0.0.1:9464`, or another port of 127.0.0.1 where that one is taken. `jhalak
    /// run` serves them only where this is set.
    pub listen: Option<String>,
    /// How long a worker, or the coordinator of `jhalak submit`, that ends waits for one more
    /// request to `/metrics`, in milliseconds, so that a scraper has its last figures. Set it above
    /// the interval of the scraper. Default: 0, which does not wait.
    pub last_scrape_ms: u64,
}
