//! The report of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The report of a run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportSettings {
    /// The pictures on the page: `sample` (small pictures of a few trailers, at most 3 MB) or
    /// `none`.
    pub images: Images,
    /// Further measures that `jhalak run` computes for its report, of up to
    /// `evaluate.ensemble_ratings` ratings: `ranking`, `cold-start`, `ablation`. `jhalak report
    /// RUN --measures` adds them later.
    pub measures: Vec<Measure>,
}

impl Default for ReportSettings {
    fn default() -> Self {
        ReportSettings { images: Images::default(), measures: vec![Measure::Ranking, Measure::ColdStart] }
    }
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

/// A measure that is not part of a run's cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// How well rankers order the movies that a user has not rated.
    Ranking,
    /// Accuracy for new users, by their number of known ratings.
    ColdStart,
    /// What is lost without each group of the ensemble's features.
    Ablation,
}

impl Measure {
    /// Every measure.
    pub const ALL: [Measure; 3] = [Measure::Ranking, Measure::ColdStart, Measure::Ablation];

    /// Returns the name in settings and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Measure::Ranking => "ranking",
            Measure::ColdStart => "cold-start",
            Measure::Ablation => "ablation",
        }
    }
}
