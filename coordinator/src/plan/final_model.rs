//! The final model of a run: its parts.

use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, FitSpec, Modality, Model, Split, UserEmbedding};
use jhalak_common::settings::EvaluateSettings;

use crate::plan::grid;

/// Returns the parts of the final model: the classifier over the richest modality that has an
/// input, and the stacked ensemble for known viewers and movies, which reads the trailers, if any.
pub fn of_run(dataset: &Dataset, trailers: bool, settings: &EvaluateSettings) -> FitSpec {
    let modality = match (trailers, dataset.has_genres()) {
        (true, _) => Some(Modality::AudioVideo),
        (false, true) => Some(Modality::Genre),
        (false, false) => None,
    };
    let network = modality.map(|modality| {
        let model = Model::Classifier { heads: 4 };
        let mut cell = CellSpec::strict(Split::Pairs, modality, model, UserEmbedding::Liked, true);
        if !modality.tables().is_empty() {
            cell.embedding = EmbeddingSource::GenreHead;
        }
        cell.seed = settings.seed;
        cell.training.fit.epochs = settings.epochs;
        cell
    });
    let ensembles = if grid::fits_ensemble(dataset, settings) { vec![Split::Pairs] } else { Vec::new() };
    let trailers = trailers.then_some(Modality::AudioVideo);
    FitSpec { network, ensembles, trailers, seed: settings.seed }
}
