//! The evaluation grid of a run: the cells to compute.

use jhalak_common::artifact::ArtifactKind;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, Modality, Model, Split, UserEmbedding};
use jhalak_common::settings::{EvaluateSettings, Grid};

use crate::plan::paper_tables::{self, Available};

/// The models that are trained on embeddings.
const NETWORKS: [Model; 2] = [Model::Classifier { heads: 4 }, Model::Ann];

/// The baselines that use labels alone and are evaluated under both protocols.
const BASELINES: [Model; 3] = [Model::Majority, Model::UserMajority, Model::ItemMajority];

/// The models that are evaluated under the strict protocol alone: fitted baselines and the stacked
/// ensemble.
const STRICT: [Model; 4] = [Model::Bias, Model::BiasClassWeighted, Model::MatrixFactorisation, Model::Ensemble];

/// Lists every cell of a run, under the published protocol and under the strict one. A dataset
/// without trailers has no cells of their modalities; [`left_out`] reports them.
pub fn cells(available: &Available<'_>, settings: &EvaluateSettings) -> Vec<CellSpec> {
    let mut cells = Vec::new();
    let baseline_modality = Modality::Genre;
    for model in BASELINES {
        cells.extend(both(baseline_modality, model));
    }
    let strict = match settings.grid {
        Grid::Standard => &STRICT[..],
        Grid::Paper => &[Model::Bias],
    };
    for &model in strict {
        cells.push(CellSpec::strict(Split::Pairs, baseline_modality, model, UserEmbedding::Liked, true));
    }
    match settings.grid {
        Grid::Standard => {
            for modality in modalities(available.dataset, available.trailers) {
                for model in NETWORKS {
                    let mut both = both(modality, model);
                    if modality.tables().contains(&ArtifactKind::VideoTable) {
                        both.iter_mut().for_each(|cell| cell.pictures = available.own());
                    }
                    cells.extend(both);
                }
            }
        }
        Grid::Paper => cells.extend(paper_tables::grid(available, settings)),
    }
    for cell in &mut cells {
        cell.seed = settings.seed;
        cell.folds = settings.folds;
        cell.training.fit.epochs = settings.epochs;
    }
    cells
}

fn modalities(dataset: &Dataset, trailers: bool) -> Vec<Modality> {
    let mut found = Vec::new();
    if trailers {
        found.extend([Modality::Video, Modality::Audio, Modality::AudioVideo]);
    }
    if dataset.has_genres() {
        found.push(Modality::Genre);
    }
    found
}

fn both(modality: Modality, model: Model) -> [CellSpec; 2] {
    let user = UserEmbedding::Liked;
    let mut cells =
        [CellSpec::published(modality, model, user, true), CellSpec::strict(Split::Pairs, modality, model, user, true)];
    if modality != Modality::Genre && model.is_network() {
        for cell in &mut cells {
            cell.embedding = EmbeddingSource::GenreHead;
        }
    }
    cells
}

/// Lists the modalities that a run over `dataset` leaves out, with the reason.
pub fn left_out(dataset: &Dataset, trailers: bool) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    if !trailers {
        let reason = "the dataset has no trailers (files trailers/ID.mp4)";
        found.extend([("video", reason), ("audio", reason), ("audio+video", reason)]);
    }
    if !dataset.has_genres() {
        found.push(("genre", "no movie of the dataset has a genre"));
    }
    found
}
