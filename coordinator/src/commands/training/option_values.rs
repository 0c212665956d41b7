//! Values of options that name parts of the evaluation.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use jhalak_common::evaluation::{Modality, Model, UserEmbedding};

/// Parses a model, `honest` for `ensemble` included.
pub(super) fn models() -> impl TypedValueParser<Value = Model> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        value("classifier", "Cross-attention classifier of the paper"),
        value("ann", "ANN baseline of the paper"),
        value("ensemble", "Stacked ensemble (strict protocol only)").alias("honest"),
        value("trailer-attention", "Attention over frames and sound windows of trailers (strict protocol only)"),
        value("majority", "Most frequent class of the training pairs"),
        value("user-majority", "Most frequent class of the user"),
        value("item-majority", "Most frequent class of the movie"),
        value("bias", "Logistic regression on user and movie"),
        value("bias-class-weighted", "The bias model with equally weighted classes"),
        value("matrix-factorisation", "Softmax matrix factorisation with biases"),
    ])
    .try_map(|name| match name.as_str() {
        "ensemble" | "honest" => Ok(Model::Ensemble),
        other => other.parse(),
    })
}

/// Parses a modality.
pub(super) fn modalities() -> impl TypedValueParser<Value = Modality> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        value("video", "Keyframes of the trailer"),
        value("audio", "Sound of the trailer"),
        value("audio+video", "Both"),
        value("genre", "Genres of the movie"),
        value("metadata", "Description, people, year, languages and genres"),
    ])
    .try_map(|name| name.parse())
}

/// Parses the movies of a user embedding.
pub(super) fn user_embeddings() -> impl TypedValueParser<Value = UserEmbedding> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        value("L", "Liked movies"),
        value("L+D", "Liked and disliked movies"),
        value("L+N", "Liked and neutral movies"),
        value("L+D+N", "All rated movies"),
    ])
    .try_map(|name| name.parse())
}
