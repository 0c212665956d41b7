//! One cell of the evaluation: what was asked for, and what came out or why nothing did.

use jhalak_common::evaluation::metrics::{CellMetrics, MeanSd};
use jhalak_common::evaluation::{self, CellSpec, EmbeddingSource};
use serde::{Deserialize, Serialize};

/// One model under one protocol, over all folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The protocol.
    pub protocol: Protocol,
    /// What a fold holds out.
    pub split: Split,
    /// Split `users`: how many ratings of a test user are known.
    pub known_ratings: Option<usize>,
    /// What movies are described by; `None` for a baseline that knows labels alone.
    pub modality: Option<String>,
    /// Where video and audio embeddings come from, where that is not the run's own keyframes and a genre head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// What predicts.
    pub model: String,
    /// Whether it is a baseline.
    pub baseline: bool,
    /// Which of a user's movies make up the user embedding: L, L+D, L+N or L+D+N; `None` where there is none.
    pub user_embedding: Option<String>,
    /// Whether the GL-score is used; `None` where it has no place.
    pub gl: Option<bool>,
    /// How probabilities become a class.
    #[serde(default)]
    pub decision: Decision,
    /// What came out.
    pub metrics: Option<CellMetrics>,
    /// What the paper prints for this cell, where it does.
    pub published: Option<Published>,
    /// Why there are no metrics.
    pub not_run: Option<String>,
}

/// How pairs are split and what features may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// As published, errors included.
    Paper,
    /// Without leaks.
    Strict,
}

/// What a fold holds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Random pairs.
    Pairs,
    /// All pairs of some movies.
    Movies,
    /// The pairs of some users but for a few known ones.
    Users,
}

/// How probabilities become a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The most probable class.
    #[default]
    Plain,
    /// By thresholds fitted for macro F1 on inner folds.
    Balanced,
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Accuracy, from 0 to 1.
    pub mean: f64,
    /// Its standard deviation, where printed.
    pub sd: Option<f64>,
    /// The table or figure.
    pub table: String,
}

impl Cell {
    /// The cell that this asks for, with the published figure, if any, and no result yet. Baselines know neither modality nor user embedding.
    pub fn of(spec: &CellSpec) -> Cell {
        let (protocol, split, known_ratings) = match spec.protocol {
            evaluation::Protocol::Paper { .. } => (Protocol::Paper, Split::Pairs, None),
            evaluation::Protocol::Strict { split: evaluation::Split::Pairs } => (Protocol::Strict, Split::Pairs, None),
            evaluation::Protocol::Strict { split: evaluation::Split::Movies } => {
                (Protocol::Strict, Split::Movies, None)
            }
            evaluation::Protocol::Strict { split: evaluation::Split::Users { known } } => {
                (Protocol::Strict, Split::Users, Some(known))
            }
        };
        let baseline = spec.model.is_baseline();
        let network = spec.model.is_network();
        let modality = network.then(|| spec.modality.to_string());
        let user_embedding = network.then(|| spec.user_embedding.name().to_owned());
        let pictures = spec.pictures.as_ref().filter(|_| network);
        let pictures = pictures.map(|p| format!("{} keyframes through {}", p.strategy.name(), p.model));
        let given = network && !spec.modality.tables().is_empty() && spec.embedding == EmbeddingSource::Given;
        let gl = network.then_some(spec.gl);
        let published = crate::plan::paper_tables::published(spec)
            .filter(|_| network)
            .map(|(mean, sd, table)| Published { mean, sd, table: table.to_owned() });
        Cell {
            protocol,
            split,
            known_ratings,
            modality,
            embedding: match (pictures, given.then(|| "without genre head".to_owned())) {
                (Some(pictures), Some(given)) => Some(format!("{pictures}, {given}")),
                (pictures, given) => pictures.or(given),
            },
            model: spec.model.stored_name().to_owned(),
            baseline,
            user_embedding,
            gl,
            decision: Decision::Plain,
            metrics: None,
            published,
            not_run: None,
        }
    }

    /// What the columns of the tables are: the protocol and what it holds out.
    pub(super) fn column(&self) -> String {
        match (self.protocol, self.split, self.known_ratings) {
            (Protocol::Paper, Split::Pairs, _) => "paper".to_owned(),
            (Protocol::Paper, Split::Movies, _) => "paper, unseen movies".to_owned(),
            (Protocol::Paper, Split::Users, _) => "paper, unseen users".to_owned(),
            (Protocol::Strict, Split::Pairs, _) => "strict".to_owned(),
            (Protocol::Strict, Split::Movies, _) => "strict, unseen movies".to_owned(),
            (Protocol::Strict, Split::Users, None) => "strict, unseen users".to_owned(),
            (Protocol::Strict, Split::Users, Some(known)) => format!("strict, unseen users, {known} known"),
        }
    }

    /// What the rows of the tables are: `classifier, genre, L, with GL`.
    pub(super) fn row(&self) -> String {
        let mut name = self.model.clone();
        let gl = self.gl.map(|gl| if gl { "with GL" } else { "without GL" });
        let balanced = (self.decision == Decision::Balanced).then_some("balanced");
        let parts = [self.modality.as_deref(), self.embedding.as_deref(), self.user_embedding.as_deref(), gl, balanced];
        for part in parts.into_iter().flatten() {
            name.push_str(", ");
            name.push_str(part);
        }
        name
    }

    /// The accuracy, where the cell was run.
    pub(super) fn accuracy(&self) -> Option<MeanSd> {
        self.metrics.as_ref().map(|metrics| metrics.accuracy)
    }

    /// Why there are no metrics.
    pub(super) fn reason(&self) -> &str {
        self.not_run.as_deref().unwrap_or("no result was recorded")
    }
}
