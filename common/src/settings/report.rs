//! The report of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The report of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportSettings {
    /// The pictures on the page: `sample` (small pictures of a few trailers, at most 3 MB) or
    /// `none`.
    pub images: Images,
}

/// The pictures on the page of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Images {
    /// Small pictures of a seeded sample of trailers.
    #[default]
    Sample,
    /// No pictures and no map of embeddings.
    None,
}
