//! The evaluation grid of a run: the cells to compute.

use jhalak_common::artifact::ArtifactKind;
use jhalak_common::artifact::recipes::has_sound_parts;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, Control, EmbeddingSource, Modality, Model, Split, UserEmbedding};
use jhalak_common::run::RunSpec;
use jhalak_common::settings::{EvaluateSettings, Grid};
use jhalak_common::{Error, Result};

use crate::plan::paper_tables::{self, Available};

/// Bytes that the ensemble takes for each rating (BENCHMARKS.md, "Ratings").
const ENSEMBLE_BYTES: f64 = 3_000.0;

/// Maximum number of trailers for attention over their parts, which take 160 kB of memory each with
/// two tracks of 1,280 numbers.
pub const MOST_WITH_PARTS: usize = 5_000;

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
        if model == Model::Ensemble && !fits_ensemble(available.dataset, settings) {
            continue;
        }
        cells.push(CellSpec::strict(Split::Pairs, baseline_modality, model, UserEmbedding::Liked, true));
    }
    match settings.grid {
        Grid::Standard => {
            if let Some(modality) = available.modality.filter(|_| fits_ensemble(available.dataset, settings)) {
                cells.extend(with_trailers(available, modality));
            }
            if let Some(modality) = available.modality.filter(|_| fits_attention(available.trailers, settings)) {
                cells.extend(attention(available, modality));
            }
            for modality in modalities(available.dataset, available.modality) {
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

/// Returns the cells that show what trailers add to the ensemble: for known movies, and for unrated
/// ones next to the same model without trailers and with random numbers in their place.
fn with_trailers(available: &Available<'_>, modality: Modality) -> Vec<CellSpec> {
    let cell = |split, modality, model| {
        let mut cell = CellSpec::strict(split, modality, model, UserEmbedding::Liked, true);
        cell.pictures = available.own().filter(|_| cell.reads_trailers());
        cell
    };
    let read = |split| cell(split, modality, Model::Ensemble);
    let mut control = read(Split::Movies);
    control.control = Control::RandomEmbeddings;
    let without =
        [Model::Majority, Model::Bias, Model::Ensemble].map(|model| cell(Split::Movies, Modality::Genre, model));
    [read(Split::Pairs)].into_iter().chain(without).chain([read(Split::Movies), control]).collect()
}

/// Returns the cells of attention over frames and sound windows: for known movies, and for unrated
/// ones with and without random numbers in the place of the trailers.
fn attention(available: &Available<'_>, modality: Modality) -> [CellSpec; 3] {
    let cell = |split| {
        let mut cell = CellSpec::strict(split, modality, Model::TrailerAttention, UserEmbedding::Liked, true);
        cell.pictures = available.own();
        cell
    };
    let unrated = cell(Split::Movies);
    let control = CellSpec { control: Control::RandomEmbeddings, ..unrated.clone() };
    [cell(Split::Pairs), unrated, control]
}

/// Returns whether the cells of attention over trailers are requested and made for this many.
fn fits_attention(trailers: usize, settings: &EvaluateSettings) -> bool {
    settings.trailer_attention && trailers <= MOST_WITH_PARTS
}

/// Returns why a planned run that stores sound windows has no cell that reads them; None if it has
/// one.
pub fn why_no_attention(spec: &RunSpec, trailers: usize) -> Option<String> {
    if !spec.recipes.iter().any(has_sound_parts) || spec.cells.iter().any(CellSpec::reads_parts) {
        return None;
    }
    Some(match trailers {
        0 => "the dataset has no trailers (files trailers/ID.mp4)".to_owned(),
        _ if trailers > MOST_WITH_PARTS => too_many_for_attention(trailers),
        _ => "only the grid `standard` has it, over a dataset with ratings".to_owned(),
    })
}

/// Returns why attention over trailers is not evaluated.
pub fn too_many_for_attention(trailers: usize) -> String {
    format!(
        "its frames and sound windows must fit into memory: it is made for up to {MOST_WITH_PARTS} trailers, and the \
         dataset has {trailers}. Choose a sample with --movies FILE, or the model ensemble"
    )
}

/// Returns whether the stacked ensemble is fitted with this many ratings: its memory grows with
/// them.
pub fn fits_ensemble(dataset: &Dataset, settings: &EvaluateSettings) -> bool {
    dataset.ratings.len() <= settings.ensemble_ratings
}

/// Refuses the stacked ensemble with more ratings than it is made for.
///
/// # Errors
/// InvalidInput with the way out.
pub fn check_ensemble(dataset: &Dataset, settings: &EvaluateSettings) -> Result<()> {
    if fits_ensemble(dataset, settings) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} ratings are above evaluate.ensemble_ratings ({}): the ensemble would take about {:.0} GB of memory. Choose a \
         sample with --movies FILE, another model, or raise the setting where the memory is there",
        dataset.ratings.len(),
        settings.ensemble_ratings,
        dataset.ratings.len() as f64 * ENSEMBLE_BYTES / 1e9
    )))
}

/// Returns why a planned run has no ensemble; None if it has one, or trains nothing.
pub fn why_no_ensemble(spec: &RunSpec, ratings: usize) -> Option<String> {
    let has = |model| spec.cells.iter().any(|cell| cell.model == model);
    // The grid has both or neither.
    (has(Model::MatrixFactorisation) && !has(Model::Ensemble)).then(|| {
        format!(
            "{ratings} ratings are above evaluate.ensemble_ratings: choose a sample with --movies FILE, or raise it"
        )
    })
}

fn modalities(dataset: &Dataset, trailers: Option<Modality>) -> Vec<Modality> {
    let mut found = match trailers {
        Some(Modality::AudioVideo) => vec![Modality::Video, Modality::Audio, Modality::AudioVideo],
        one => one.into_iter().collect(),
    };
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
pub fn left_out(dataset: &Dataset, trailers: Option<Modality>) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    let of_trailers = [("video", Modality::Video), ("audio", Modality::Audio), ("audio+video", Modality::AudioVideo)];
    let has = modalities(dataset, trailers);
    let reason = match trailers {
        None => "the dataset has no trailers (files trailers/ID.mp4)",
        Some(_) => "--embeddings gives other ones, in place of the trailers",
    };
    found.extend(of_trailers.iter().filter(|(_, modality)| !has.contains(modality)).map(|(name, _)| (*name, reason)));
    if !dataset.has_genres() {
        found.push(("genre", "no movie of the dataset has a genre"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{empty_reading, plan};
    use crate::plan::{RunFolds, take_folds};
    use jhalak_common::artifact::recipes::recipes;
    use jhalak_common::dataset::{Label, Movie, Rating};
    use jhalak_common::models::Registry;
    use jhalak_common::settings::Settings;

    #[test]
    fn run_over_too_many_ratings_leaves_out_the_ensemble_and_says_why() {
        let mut dataset = empty_reading().dataset;
        dataset.ratings = vec![Rating { user: 0, movie: 0, label: Label::Like, half_stars: None }; 3];
        let cells = |ensemble_ratings| {
            let settings = EvaluateSettings { ensemble_ratings, ..EvaluateSettings::default() };
            let available = Available { dataset: &dataset, modality: None, trailers: 0, recipes: &[], models: &[] };
            (cells(&available, &settings), check_ensemble(&dataset, &settings))
        };
        let mut spec = plan(0).spec;
        assert_eq!(why_no_ensemble(&spec, 3), None, "its grid has no fitted baselines either");
        let (within, allowed) = cells(3);
        assert!(allowed.is_ok());
        spec.cells = within;
        assert_eq!(why_no_ensemble(&spec, 3), None);
        let (above, refused) = cells(2);
        assert_eq!(above.len() + 1, spec.cells.len());
        spec.cells = above;
        assert!(why_no_ensemble(&spec, 3).is_some_and(|why| why.contains("evaluate.ensemble_ratings")));
        let refused = refused.expect_err("too many").to_string();
        assert!(refused.contains("3 ratings") && refused.contains("--movies"), "{refused}");
    }

    fn names(trailers: bool) -> Vec<String> {
        cells_of(trailers).iter().map(CellSpec::name).collect()
    }

    fn cells_of(trailers: bool) -> Vec<CellSpec> {
        cells_with(trailers, &EvaluateSettings::default())
    }

    fn cells_with(trailers: bool, settings: &EvaluateSettings) -> Vec<CellSpec> {
        let movies = vec![Movie { genres: vec!["Drama".to_owned()], ..Movie::default() }];
        let dataset = Dataset {
            name: "d".to_owned(),
            synthetic: true,
            movies: movies.into(),
            users: Vec::new(),
            ratings: Vec::new(),
            times: Vec::new(),
            genres: vec!["Drama".to_owned()],
        };
        let modality = trailers.then_some(Modality::AudioVideo);
        let available = Available { dataset: &dataset, modality, trailers: 1, recipes: &[], models: &[] };
        cells(&available, settings)
    }

    #[test]
    fn trailers_reach_the_ensemble_and_its_control() {
        let with = names(true);
        for name in [
            "strict pairs, ensemble",
            "strict pairs, ensemble with audio+video",
            "strict movies, ensemble",
            "strict movies, ensemble with audio+video",
            "strict movies, ensemble with audio+video, random embeddings",
        ] {
            assert_eq!(with.iter().filter(|one| *one == name).count(), 1, "{name}: {with:?}");
            assert_eq!(names(false).iter().any(|one| one == name), name == "strict pairs, ensemble");
        }
    }

    #[test]
    fn attention_over_trailers_is_added_on_request_with_its_control() {
        let settings = EvaluateSettings { trailer_attention: true, ..EvaluateSettings::default() };
        let mut added = cells_with(true, &settings);
        let before = cells_of(true);
        added.retain(|cell| !before.contains(cell));
        let names: Vec<String> = added.iter().map(CellSpec::name).collect();
        let expected = [
            "strict pairs, trailer-attention with audio+video",
            "strict movies, trailer-attention with audio+video",
            "strict movies, trailer-attention with audio+video, random embeddings",
        ];
        assert_eq!(names, expected);
        assert!(added.iter().all(|cell| cell.check().is_ok()));
        assert_eq!(cells_with(false, &settings), cells_of(false), "without trailers there is nothing to look at");
        assert!(fits_attention(MOST_WITH_PARTS, &settings) && !fits_attention(MOST_WITH_PARTS + 1, &settings));
        // The run says so.
        let mut spec = plan(0).spec;
        assert_eq!(why_no_attention(&spec, 0), None, "it was not requested");
        let with_parts = Settings { evaluate: settings, ..Settings::default() };
        let registry = Registry::load(None).expect("the built-in models");
        spec.recipes = recipes(&with_parts, &registry).expect("recipes").0;
        assert!(why_no_attention(&spec, 0).is_some_and(|why| why.contains("no trailers")));
        assert!(why_no_attention(&spec, 5_001).is_some_and(|why| why.contains("--movies")));
        spec.cells = added;
        assert_eq!(why_no_attention(&spec, 1), None);
    }

    #[test]
    fn given_folds_leave_each_cell_once() {
        let mut cells = cells_of(true);
        let folds = RunFolds { tests: vec![vec![0], vec![1]], split: Split::Movies };
        take_folds(&mut cells, &folds);
        let names: Vec<String> = cells.iter().map(CellSpec::name).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
        assert!(names.iter().any(|name| name.ends_with("ensemble with audio+video, random embeddings")));
    }
}
