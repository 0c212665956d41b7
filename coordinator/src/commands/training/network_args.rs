//! How a network is built and trained, on the command line.

use clap::{Args, ValueEnum};
use jhalak_common::evaluation::{
    Balance, CellSpec, Edition, EmbeddingSource, GlSettings, Model, PUBLISHED_UPSAMPLING, TrainingSettings,
    UserEmbedding,
};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};

use super::option_values::user_embeddings;
use crate::commands::numbers;

/// How a classifier or an ANN is built and trained.
#[derive(Args)]
pub struct NetworkArgs {
    /// Movies that make up the user embedding
    ///
    /// [default: L]
    #[arg(long, value_parser = user_embeddings(), value_name = "MOVIES", help_heading = "Network (classifier or ann)")]
    pub user_embedding: Option<UserEmbedding>,
    /// Leave out the genre-like score
    #[arg(long, alias = "without-gl", help_heading = "Network (classifier or ann)")]
    pub no_gl_score: bool,
    /// Hyperparameters to use where paper and notebook differ
    ///
    /// [default: ours, or notebook under the paper protocol]
    #[arg(long, alias = "settings", value_enum, value_name = "SET", help_heading = "Network (classifier or ann)")]
    pub hyperparameters: Option<HyperparametersArg>,
    /// Source of video and audio embeddings
    ///
    /// [default: genre-head]
    #[arg(long, value_enum, value_name = "SOURCE", help_heading = "Network (classifier or ann)")]
    pub embedding: Option<EmbeddingArg>,
    /// Balancing of classes in training
    ///
    /// [default: upsample]
    #[arg(long, alias = "even", value_enum, value_name = "METHOD", help_heading = "Network (classifier or ann)")]
    pub class_balance: Option<ClassBalanceArg>,
    /// Maximum number of epochs
    ///
    /// [default: setting evaluate.epochs]
    #[arg(
        long,
        value_name = "N",
        value_parser = numbers::count::<usize>,
        help_heading = "Network (classifier or ann)"
    )]
    pub epochs: Option<usize>,
}

/// A set of hyperparameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HyperparametersArg {
    /// Text of the paper: Adam at 1e-3, GL-score from 0 to 1, unscaled user embeddings
    Paper,
    /// Published notebooks: RMSprop at 1e-5, GL-score times 100, scaled user embeddings
    Notebook,
    /// As paper, with scaled user embeddings and inputs standardised on training pairs
    Ours,
}

/// See [`EmbeddingSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmbeddingArg {
    /// Train a genre head in every fold
    GenreHead,
    /// Use the stored embeddings
    Given,
}

/// See [`Balance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClassBalanceArg {
    /// No balancing
    None,
    /// Repeat dislikes, as in the paper
    Upsample,
    /// Weight classes equally
    ClassWeights,
}

impl NetworkArgs {
    /// Returns the movies that make up the user embedding.
    pub fn user_embedding(&self) -> UserEmbedding {
        self.user_embedding.unwrap_or(UserEmbedding::Liked)
    }

    /// Returns the name of the first of these options that is given.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--user-embedding", self.user_embedding.is_some()),
            ("--no-gl-score", self.no_gl_score),
            ("--hyperparameters", self.hyperparameters.is_some()),
            ("--embedding", self.embedding.is_some()),
            ("--class-balance", self.class_balance.is_some()),
            ("--epochs", self.epochs.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Returns the name of the first of these options that is given and has no effect on the model.
    pub fn first_without_effect(&self, model: Model) -> Option<&'static str> {
        // Trailer attention is trained, but has no input of the paper's networks.
        let has_effect =
            |option: &&str| model.is_network() || (model == Model::TrailerAttention && *option == "--epochs");
        self.first_given().filter(|option| !has_effect(option))
    }

    /// Puts these choices into the cell.
    pub fn apply(&self, spec: &mut CellSpec, settings: &Settings) -> Result<()> {
        let (paper, notebook) = (TrainingSettings::paper(), TrainingSettings::notebook());
        let (published, ours) =
            (GlSettings { undefined: 0.01, scale: 100.0 }, GlSettings { undefined: 0.5, scale: 1.0 });
        match self.hyperparameters {
            None => {}
            Some(HyperparametersArg::Notebook) => {
                (spec.training, spec.gl_score) = (notebook, published);
                (spec.scale_user_embedding, spec.standardise_inputs) = (true, false);
            }
            Some(HyperparametersArg::Paper) => {
                (spec.training, spec.gl_score) = (paper, GlSettings { scale: 1.0, ..published });
                (spec.scale_user_embedding, spec.standardise_inputs) = (false, false);
                spec.edition = Edition::Paper;
            }
            Some(HyperparametersArg::Ours) => {
                (spec.training, spec.gl_score) = (paper, ours);
                (spec.scale_user_embedding, spec.standardise_inputs) = (true, true);
            }
        }
        match self.class_balance {
            None => {}
            Some(ClassBalanceArg::None) => spec.training.balance = Balance::None,
            Some(ClassBalanceArg::Upsample) => spec.training.balance = PUBLISHED_UPSAMPLING,
            Some(ClassBalanceArg::ClassWeights) => spec.training.balance = Balance::ClassWeights,
        }
        spec.training.fit.epochs = self.epochs.unwrap_or(settings.evaluate.epochs);
        let trailers = !spec.modality.tables().is_empty();
        if self.embedding.is_some() && !trailers {
            return Err(Error::usage(format!(
                "--embedding needs the modality video, audio or audio+video: {} has no genre head",
                spec.modality
            )));
        }
        spec.embedding = match self.embedding {
            Some(EmbeddingArg::Given) => EmbeddingSource::Given,
            _ if trailers && spec.model.is_network() => EmbeddingSource::GenreHead,
            _ => EmbeddingSource::Given,
        };
        Ok(())
    }
}
