//! The final model of a run: its parts.

use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, FitSpec, Modality, Model, Split, UserEmbedding};
use jhalak_common::settings::EvaluateSettings;

use crate::plan::grid;

/// Returns the parts of the final model: the classifier over the richest modality that has an
/// input, and the stacked ensemble for known viewers and movies, which reads the trailers or the
/// given embeddings, if any.
pub fn of_run(dataset: &Dataset, trailers: Option<Modality>, settings: &EvaluateSettings) -> FitSpec {
    let modality = trailers.or_else(|| dataset.has_genres().then_some(Modality::Genre));
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
    FitSpec { network, ensembles, trailers, seed: settings.seed, left_out: Vec::new() }
}
