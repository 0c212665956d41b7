//! `model.json` and the model card: what a model was fitted on, how, and its figures on inner
//! folds.

use super::network::TrainingFacts;
use crate::ensemble::{ColdStart, InnerScore};
use crate::features::principal_components::Track;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, LeftOutPart};
use jhalak_common::hash::Hash;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the stored files.
pub const VERSION: u32 = 3;

/// `model.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// [`VERSION`].
    pub version: u32,
    /// The model card.
    #[serde(flatten)]
    pub card: Card,
    /// The network, if it was fitted.
    pub network: Option<NetworkDescription>,
    /// SHA-256 of every other file except the card for people.
    pub files: BTreeMap<String, Hash>,
}

/// The facts from which the network is built again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkDescription {
    /// The specification that was fitted.
    pub cell: CellSpec,
    /// Its modalities.
    pub sides: Vec<SideDescription>,
    /// Facts of the training.
    pub training: TrainingFacts,
}

/// One modality.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SideDescription {
    /// Its name.
    pub name: String,
    /// Length of an embedding that the network reads.
    pub dim: usize,
    /// Length of a raw embedding, where a genre head turns it into the former.
    pub raw_dim: Option<usize>,
}

/// The data that a model was fitted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// The program's version.
    pub program_version: String,
    /// The dataset's name.
    pub dataset: String,
    /// SHA-256 of its normal form, which is its key in the store.
    pub dataset_content: String,
    /// Whether its ratings are generated.
    pub synthetic: bool,
    /// Number of users.
    pub users: usize,
    /// Number of movies.
    pub movies: usize,
    /// Ratings of dislike, neutral, like.
    pub ratings: [u64; 3],
    /// The seed of all random draws.
    pub seed: u64,
    /// The fitted ensembles.
    #[serde(rename = "honest")]
    pub ensembles: Vec<EnsembleCard>,
    /// SHA-256 of the embedding tables that the models were fitted on.
    pub embeddings: Vec<String>,
    /// The parts that could not be fitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutPart>,
}

/// One fitted ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnsembleCard {
    /// Whether users or movies of the pairs that it predicts are new.
    #[serde(rename = "regime")]
    pub cold_start: ColdStart,
    /// What it reads of trailers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trailers: Vec<Track>,
    /// Figures of its members and, last, of the stack, on inner folds that they were not fitted on.
    pub inner: Vec<InnerScore>,
    /// Weights of dislike, neutral, like with the highest macro F1 on inner folds.
    #[serde(rename = "balance")]
    pub class_weights: [f32; 3],
}

impl Card {
    /// Creates the card of a dataset, without models.
    #[must_use]
    pub fn of(dataset: &Dataset, dataset_content: String, seed: u64) -> Self {
        Self {
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
            dataset: dataset.name.clone(),
            dataset_content,
            synthetic: dataset.synthetic,
            users: dataset.users.len(),
            movies: dataset.movies.len(),
            ratings: dataset.label_counts(),
            seed,
            ensembles: Vec::new(),
            embeddings: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// Returns the card for people, as Markdown.
    #[must_use]
    pub fn markdown(&self, network: Option<&NetworkDescription>) -> String {
        let mut text = format!("# What viewers of {} like\n\n", self.dataset);
        let mut line = |added: String| {
            text.push_str(&added);
            text.push('\n');
        };
        if self.synthetic {
            line("**The ratings are generated: figures here say nothing about real viewers.**\n".into());
        }
        let [dislike, neutral, like] = self.ratings;
        line(format!(
            "Predicts whether a viewer dislikes, is neutral to, or likes a movie. Fitted by jhalak {} on every rating of the dataset: {} users, {} movies, \
             {dislike} dislikes, {neutral} neutral, {like} likes. Dataset `{}`, seed {}.\n",
            self.program_version, self.users, self.movies, self.dataset_content, self.seed
        ));
        if let Some(network) = network {
            let NetworkDescription { cell, sides, training } = network;
            line(format!("## Network: {}\n", cell.model.name()));
            let gl = if cell.gl { "with" } else { "without" };
            line(format!(
                "Modality {}, user embedding {}, {gl} GL-score. {} training pairs (copies included), {} validation pairs, {} left out \
                 without an embedding; {} epochs, the weights of epoch {} kept.\n",
                cell.modality,
                cell.user_embedding.name(),
                training.train_pairs,
                training.validation_pairs,
                training.left_out_pairs,
                training.history.train_losses.len(),
                training.history.best_epoch
            ));
            line("Inputs of `model.onnx`, for any number of rows:\n".into());
            line("| input | numbers | meaning |\n|---|---|---|".into());
            line(format!("| `gl` | 1 | GL-score of user and movie, times {}; 1 without GL |", cell.gl_score.scale));
            for side in sides {
                line(format!("| `{}_movie` | {} | the movie's embedding |", side.name, side.dim));
                line(format!("| `{}_user` | {} | the user's embedding |", side.name, side.dim));
            }
            line("\nThe output is `probabilities`: dislike, neutral, like. The model standardises its inputs with the values of `statistics.json`. \
                  `check.json` has inputs with their outputs. A genre head (`head-NAME.onnx`), where used, turns a raw embedding into the movie's embedding.\n".into());
        }
        if !self.ensembles.is_empty() {
            line("## Stacked ensemble\n".into());
            line("Figures of the members and of the stack on inner folds that they were not fitted on. The stack's weights were fitted on the same folds, which \
                  flatters the stack a little; `jhalak evaluate --protocol strict --model ensemble` tests on pairs that no part has seen.\n".into());
            if let Some(read) = self.ensembles.first().filter(|ensemble| !ensemble.trailers.is_empty()) {
                let tracks: Vec<&str> = read.trailers.iter().map(|track| track.name()).collect();
                line(format!("Reads the {} embeddings of trailers, reduced.\n", tracks.join(" and ")));
            }
            line("| for | member | weight | accuracy % | macro F1 % | log loss |\n|---|---|---|---|---|---|".into());
        }
        for EnsembleCard { cold_start, inner, .. } in &self.ensembles {
            let what = match cold_start {
                ColdStart::None => "known viewers and movies".to_owned(),
                ColdStart::Item => "unrated movies".to_owned(),
                ColdStart::User { known } => format!("new viewers with {known} ratings"),
            };
            for inner in inner {
                let (accuracy, f1) = (100.0 * inner.scores.accuracy, 100.0 * inner.scores.macro_f1);
                let (name, weight, loss) = (&inner.name, inner.weight, inner.log_loss);
                line(format!("| {what} | {name} | {weight:.2} | {accuracy:.1} | {f1:.1} | {loss:.4} |"));
            }
        }
        if !self.ensembles.is_empty() {
            line(String::new());
        }
        if !self.left_out.is_empty() {
            line("## Left out\n".into());
            for LeftOutPart { part, reason } in &self.left_out {
                line(format!("- {part}: {reason}"));
            }
            line(String::new());
        }
        line("## Limits\n\nNew viewers and movies are predicted from the ratings and metadata given with the query; the fewer, the closer the prediction is to \
              the average. Accuracy on the ratings of the fit is meaningless: evaluate on held-out ratings.".into());
        text
    }
}
