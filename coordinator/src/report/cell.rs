//! One cell of the evaluation: its settings and its metrics, or why it has none.

use jhalak_common::evaluation::metrics::{CellMetrics, MeanSd};
use jhalak_common::evaluation::paired::{Difference, Interval};
use jhalak_common::evaluation::{self, Calibration, CellSpec, EmbeddingSource};
use serde::{Deserialize, Serialize};

/// One model under one protocol, over all folds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The protocol.
    pub protocol: Protocol,
    /// The unit that a fold holds out.
    pub split: Split,
    /// Split `users`: how many ratings of a test user are known.
    pub known_ratings: Option<usize>,
    /// The modality; `None` for a baseline that uses labels alone.
    pub modality: Option<String>,
    /// The source of video and audio embeddings, unless it is the run's own keyframes and a genre
    /// head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// The model.
    pub model: String,
    /// Whether the model is a baseline.
    pub baseline: bool,
    /// The ratings whose movies make up the user embedding: L, L+D, L+N or L+D+N; `None` without a
    /// user embedding.
    pub user_embedding: Option<String>,
    /// Whether the GL-score is used; `None` when it does not apply.
    pub gl: Option<bool>,
    /// What a negative control does to the data; `None` for other cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<String>,
    /// The decision rule.
    #[serde(default)]
    pub decision: Decision,
    /// The metrics, over all pairs that the model could be tested on.
    pub metrics: Option<CellMetrics>,
    /// The figures over the pairs that every model of the column was tested on. Only these may be
    /// compared. `None` if there are no such pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared: Option<Compared>,
    /// The figure that the paper prints for this cell, if any.
    pub published: Option<Published>,
    /// Key of the file with the prediction of every tested pair, in the run's store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
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

/// The unit that a fold holds out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// Random pairs.
    Pairs,
    /// All pairs of some movies.
    Movies,
    /// The pairs of some users except a few known ones.
    Users,
}

/// The decision rule: how probabilities become a class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The most probable class.
    #[default]
    Plain,
    /// By thresholds fitted for macro F1 on inner folds.
    Balanced,
}

/// The figures of a model over the pairs that every model of its column was tested on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Different pairs of viewer and movie.
    pub pairs: u64,
    /// Predictions of these pairs over the folds: more than `pairs` where folds test a pair again;
    /// `None` in reports of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<u64>,
    /// Accuracy over the folds.
    pub accuracy: MeanSd,
    /// The accuracy with its 95 % interval over draws of viewers; `None` with fewer than five
    /// viewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Macro F1 over the folds.
    pub macro_f1: MeanSd,
    /// Log loss, Brier score and calibration error.
    pub calibration: Option<Calibration>,
    /// The difference from the most accurate baseline of the column; `None` for that baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versus: Option<Versus>,
}

/// The difference of a model from a baseline, on the same pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// The row of the baseline.
    pub baseline: String,
    /// The model minus the baseline.
    #[serde(flatten)]
    pub difference: Difference,
}

/// A published figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Accuracy, from 0 to 1.
    pub mean: f64,
    /// The standard deviation, if printed.
    pub sd: Option<f64>,
    /// The table or figure.
    pub table: String,
}

impl Cell {
    /// Returns the cell of a specification with the published figure, if any, and no result.
    /// Baselines have neither modality nor user embedding.
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
        let reads = network || spec.reads_trailers();
        let modality = reads.then(|| spec.modality.to_string());
        let user_embedding = network.then(|| spec.user_embedding.name().to_owned());
        let pictures = spec.pictures.as_ref().filter(|_| reads);
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
            control: spec.control.name().map(str::to_owned),
            decision: Decision::Plain,
            metrics: None,
            compared: None,
            published,
            predictions: None,
            not_run: None,
        }
    }

    /// The column of the tables: the protocol and what it holds out.
    pub(crate) fn column(&self) -> String {
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

    /// The row of the tables: `classifier, genre, L, with GL`.
    pub(crate) fn row(&self) -> String {
        let mut name = jhalak_common::evaluation::display_name(&self.model).to_owned();
        let gl = self.gl.map(|gl| if gl { "with GL" } else { "without GL" });
        let balanced = (self.decision == Decision::Balanced).then_some("balanced");
        let parts = [self.modality.as_deref(), self.embedding.as_deref(), self.user_embedding.as_deref(), gl, balanced];
        for part in parts.into_iter().flatten() {
            name.push_str(", ");
            name.push_str(part);
        }
        if let Some(control) = &self.control {
            name.push_str(&format!(" (control: {control})"));
        }
        name
    }

    /// The accuracy over the folds, if the cell was run: over the pairs that may be compared, if
    /// there are any.
    pub(super) fn accuracy(&self) -> Option<MeanSd> {
        self.figures().map(|(accuracy, _)| accuracy)
    }

    /// Accuracy and macro F1, if the cell was run: over the pairs that may be compared, if there
    /// are any.
    pub(super) fn figures(&self) -> Option<(MeanSd, MeanSd)> {
        let metrics = self.metrics.as_ref()?;
        let own = (metrics.accuracy, metrics.macro_f1);
        Some(self.compared.as_ref().map_or(own, |compared| (compared.accuracy, compared.macro_f1)))
    }

    /// Why there are no metrics.
    pub(super) fn reason(&self) -> &str {
        self.not_run.as_deref().unwrap_or("no result was recorded")
    }
}
