//! The tables of the paper as a grid: the cells of each entry, and whether a run has their input.

use jhalak_common::artifact::{ArtifactKind, Recipe};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, Modality, Pictures, Split, UserEmbedding};
use jhalak_common::models::Role;
use jhalak_common::run::ModelFacts;
use jhalak_common::settings::{EvaluateSettings, Strategy};

use crate::plan::printed_tables::{Family, Input};
pub use crate::plan::printed_tables::{Row, TABLES, Table};

/// The inputs that a run has.
pub struct Available<'a> {
    /// The dataset.
    pub dataset: &'a Dataset,
    /// The modality of the dataset's trailers or given embeddings; None without any.
    pub modality: Option<Modality>,
    /// The number of the dataset's trailers.
    pub trailers: usize,
    /// The recipes of a trailer's artifacts.
    pub recipes: &'a [Recipe],
    /// The models of those recipes.
    pub models: &'a [ModelFacts],
}

impl Available<'_> {
    /// The run's video embeddings, those of the extraction settings first.
    fn pictures(&self) -> Vec<Pictures> {
        let of = |recipe: &Recipe| {
            let model = self.models.iter().find(|facts| recipe.models.first() == Some(&facts.sha256))?.name.clone();
            let keyframes = self.recipes.iter().find(|r| recipe.upstream.first() == Some(&r.hash()))?;
            Some(Pictures { strategy: serde_json::from_value(keyframes.params["strategy"].clone()).ok()?, model })
        };
        self.recipes.iter().filter(|recipe| recipe.kind == ArtifactKind::VideoEmbedding).filter_map(of).collect()
    }

    /// The video embeddings that a table is computed from, if the run has them. A model of an
    /// unknown family stands in for TimeSformer.
    fn chosen(&self, strategy: Strategy, family: Family) -> Option<Pictures> {
        let fits = |pictures: &Pictures| {
            pictures.strategy == strategy && is_resnet(&pictures.model) == (family == Family::ResNet)
        };
        self.pictures().into_iter().find(fits)
    }

    /// The video embeddings of the extraction settings, as cells name them: None when they are
    /// those of most of the paper's tables.
    pub fn own(&self) -> Option<Pictures> {
        self.pictures().into_iter().next().filter(|own| !is_plain(own))
    }

    /// The video embeddings of this input, as cells name them.
    fn named(&self, input: Input) -> Option<Pictures> {
        let chosen = match input {
            Input::Video(strategy, family) => self.chosen(strategy, family)?,
            Input::AudioVideo => self.chosen(Strategy::EqualInterval, Family::TimeSformer)?,
            Input::Audio(_) | Input::Genre => return None,
        };
        let first = self.pictures().into_iter().next();
        (!is_plain(&chosen) || first.as_ref() != Some(&chosen)).then_some(chosen)
    }

    /// The reason why the input of a table does not exist; None when it does.
    pub fn missing(&self, input: Input) -> Option<String> {
        let (strategy, family) = match input {
            Input::Genre => {
                return (!self.dataset.has_genres()).then(|| "no movie of the dataset has a genre".to_owned());
            }
            _ if self.modality.is_none() => {
                return Some("the dataset has no trailers (files trailers/ID.mp4)".to_owned());
            }
            Input::Audio(_) => return None,
            Input::AudioVideo => (Strategy::EqualInterval, Family::TimeSformer),
            Input::Video(strategy, family) => (strategy, family),
        };
        if self.chosen(strategy, family).is_some() {
            return None;
        }
        let ours = self.pictures();
        let models: Vec<&str> = ours.iter().filter(|p| p.strategy == strategy).map(|p| p.model.as_str()).collect();
        Some(match (family, models.as_slice()) {
            (_, []) => format!("the run has no {} keyframes: name them in extract.also", strategy.name()),
            (Family::ResNet, models) => format!(
                "the run's image models are {}: export ResNet-50 with tools/export_models.py and name it in models.video_also",
                models.join(", ")
            ),
            (Family::TimeSformer, models) => {
                format!("the run's only image model is {}: its figures are in Table V", models.join(", "))
            }
        })
    }

    /// The model that stands in for the paper's model, if any.
    pub fn stand_in(&self, input: Input) -> Option<String> {
        let image = |strategy, family| {
            let model = self.chosen(strategy, family)?.model;
            (!model.to_lowercase().contains("timesformer") && !is_resnet(&model))
                .then(|| format!("{model} in place of TimeSformer"))
        };
        let audio = || {
            let heard = |facts: &&ModelFacts| facts.role == Role::AudioEmbedding.name();
            let model = &self.models.iter().find(heard)?.name;
            (!model.to_lowercase().contains("wav2vec")).then(|| format!("{model} in place of wav2vec 2.0"))
        };
        let stand_ins: Vec<String> = match input {
            Input::Genre => Vec::new(),
            Input::Video(strategy, family) => image(strategy, family).into_iter().collect(),
            Input::Audio(_) => audio().into_iter().collect(),
            Input::AudioVideo => {
                image(Strategy::EqualInterval, Family::TimeSformer).into_iter().chain(audio()).collect()
            }
        };
        (!stand_ins.is_empty()).then(|| stand_ins.join(", "))
    }

    /// The two cells of an entry: under the published protocol, and under the strict one.
    pub fn cells(&self, input: Input, row: &Row, user: UserEmbedding, settings: &EvaluateSettings) -> [CellSpec; 2] {
        let (modality, embedding) = input.modality();
        let mut cells = [
            CellSpec::published(modality, row.model, user, row.gl),
            CellSpec::strict(Split::Pairs, modality, row.model, user, row.gl),
        ];
        for cell in &mut cells {
            cell.pictures = self.named(input);
            cell.embedding = embedding;
            cell.seed = settings.seed;
            cell.folds = settings.folds;
            cell.training.fit.epochs = settings.epochs;
        }
        cells
    }
}

/// Whether most of the paper's tables are computed from these embeddings: keyframes at equal
/// intervals, no ResNet.
fn is_plain(pictures: &Pictures) -> bool {
    pictures.strategy == Strategy::EqualInterval && !is_resnet(&pictures.model)
}

fn is_resnet(model: &str) -> bool {
    let model = model.to_lowercase();
    model.contains("resnet") || model.contains("resnext")
}

/// Lists every cell of the tables whose input exists, each once.
pub fn grid(available: &Available<'_>, settings: &EvaluateSettings) -> Vec<CellSpec> {
    let mut found: Vec<CellSpec> = Vec::new();
    for table in TABLES.iter().filter(|table| available.missing(table.input).is_none()) {
        for row in table.rows {
            for user in UserEmbedding::ALL {
                for cell in available.cells(table.input, row, user, settings) {
                    if !found.contains(&cell) {
                        found.push(cell);
                    }
                }
            }
        }
    }
    found
}

/// Returns the published figure of a cell as shares: mean, standard deviation if printed, and the
/// table. None when nothing is printed.
pub fn published(cell: &CellSpec) -> Option<(f64, Option<f64>, &'static str)> {
    let column = UserEmbedding::ALL.iter().position(|user| *user == cell.user_embedding)?;
    let same = |row: &&Row| row.model == cell.model && row.gl == cell.gl;
    let inputs = (cell.modality, cell.embedding);
    let of_pictures = |table: &&Table| match (table.input, &cell.pictures) {
        (Input::Video(strategy, family), Some(pictures)) => {
            strategy == pictures.strategy && (family == Family::ResNet) == is_resnet(&pictures.model)
        }
        (Input::Video(strategy, family), None) => (strategy, family) == (Strategy::EqualInterval, Family::TimeSformer),
        (Input::AudioVideo, Some(pictures)) => is_plain(pictures),
        _ => true,
    };
    let (table, row) = TABLES
        .iter()
        .filter(|table| table.input.modality() == inputs)
        .filter(of_pictures)
        .find_map(|t| Some((t, t.rows.iter().find(same)?)))?;
    let (mean, sd) = row.figures[column];
    Some((mean / 100.0, (sd > 0.0).then_some(sd / 100.0), table.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::printed_tables::CLASSIFIER;
    use jhalak_common::dataset::Movie;
    use jhalak_common::evaluation::{Modality, Model};

    fn dataset() -> Dataset {
        Dataset {
            name: "x".into(),
            synthetic: false,
            movies: [Movie { genres: vec!["Drama".into()], ..Movie::default() }].into(),
            users: Vec::new(),
            ratings: Vec::new(),
            times: Vec::new(),
            genres: vec!["Drama".into()],
        }
    }

    fn facts(name: &str, role: &str) -> ModelFacts {
        let sha256 = jhalak_common::hash::of_bytes(name.as_bytes());
        ModelFacts { name: name.into(), role: role.into(), sha256, licence: String::new(), source: String::new() }
    }

    #[test]
    fn without_trailers_only_genre_cells_run_and_other_tables_state_the_reason() {
        let (dataset, settings) = (dataset(), EvaluateSettings::default());
        let available = Available { dataset: &dataset, modality: None, trailers: 0, recipes: &[], models: &[] };
        let grid = grid(&available, &settings);
        assert_eq!(grid.len(), 4 * 2 * 2, "user embeddings, GL, protocols");
        assert!(grid.iter().all(|cell| cell.modality == Modality::Genre && cell.folds == 5));
        for table in &TABLES[..9] {
            assert!(available.missing(table.input).is_some_and(|why| why.contains("trailers")), "{}", table.name);
        }
    }

    /// Recipes of keyframes by these strategies, each embedded by `model`.
    fn recipes(strategies: &[Strategy], model: &ModelFacts) -> Vec<Recipe> {
        let mut recipes = Vec::new();
        for strategy in strategies {
            let params = serde_json::json!({ "strategy": strategy });
            let keyframes = Recipe::new(ArtifactKind::Keyframes, params).expect("it serialises");
            let mut embedding =
                Recipe::new(ArtifactKind::VideoEmbedding, serde_json::json!({})).expect("it serialises");
            (embedding.models, embedding.upstream) = (vec![model.sha256], vec![keyframes.hash()]);
            recipes.extend([keyframes, embedding]);
        }
        recipes
    }

    #[test]
    fn with_trailers_every_table_runs_or_names_its_missing_input() {
        let (dataset, settings) = (dataset(), EvaluateSettings::default());
        let models = [facts("efficientnet-lite0", "image-embedding"), facts("speech-embedding", "audio-embedding")];
        let one = recipes(&[Strategy::EqualInterval], &models[0]);
        let available = Available {
            dataset: &dataset,
            modality: Some(Modality::AudioVideo),
            trailers: 1,
            recipes: &one,
            models: &models,
        };
        let missing = |available: &Available<'_>| -> Vec<&str> {
            TABLES.iter().filter(|table| available.missing(table.input).is_some()).map(|table| table.name).collect()
        };
        assert_eq!(missing(&available), ["Table IV, scene middle", "Table IV, scene and object", "Table V"]);
        // II and VI video share their cells: 8 + 4 ANN; III: 8 + 8 + 4; audio+video 12; genre 8.
        // Each twice.
        assert_eq!(grid(&available, &settings).len(), 2 * (12 + 20 + 12 + 8));
        assert!(available.stand_in(TABLES[0].input).is_some_and(|models| models.contains("in place of TimeSformer")));

        let all = recipes(&Strategy::ALL, &models[0]);
        let with_all = Available { recipes: &all, ..available };
        assert_eq!(missing(&with_all), ["Table V"]);
        assert_eq!(grid(&with_all, &settings).len(), 2 * (12 + 16 + 20 + 12 + 8), "Table IV has 8 + 8");

        let resnet = [facts("resnet-50", "image-embedding")];
        let with = recipes(&[Strategy::EqualInterval], &resnet[0]);
        let with = Available { models: &resnet, recipes: &with, ..with_all };
        assert!(with.missing(TABLES[0].input).is_some() && with.missing(TABLES[5].input).is_none());
    }

    #[test]
    fn figures_are_found_by_their_cell() {
        let (dataset, settings) = (dataset(), EvaluateSettings::default());
        let models = [facts("efficientnet-lite0", "image-embedding")];
        let all = recipes(&Strategy::ALL, &models[0]);
        let available = Available {
            dataset: &dataset,
            modality: Some(Modality::AudioVideo),
            trailers: 1,
            recipes: &all,
            models: &models,
        };
        for table in TABLES.iter().filter(|table| available.missing(table.input).is_none()) {
            for row in table.rows {
                let [paper, strict] = available.cells(table.input, row, UserEmbedding::LikedNeutral, &settings);
                assert_eq!(published(&paper), published(&strict));
                let (mean, _, name) = published(&paper).expect("it is printed");
                // Table VI prints figures of Tables II and III again, rounded.
                assert!(
                    name == table.name || (table.name.starts_with("Table VI") && row.model == CLASSIFIER),
                    "{name}"
                );
                assert!(name != table.name || mean == row.figures[2].0 / 100.0);
            }
        }
        let [paper, _] = available.cells(TABLES[2].input, &TABLES[2].rows[0], UserEmbedding::LikedNeutral, &settings);
        assert_eq!(published(&paper), Some((0.74735, Some(0.0016), "Table III, without genre head")));
        let genre = CellSpec::published(Modality::Genre, CLASSIFIER, UserEmbedding::LikedDisliked, false);
        assert_eq!(published(&genre), Some((0.31, None, "Figure 7, genre")));
        let ann = CellSpec::published(Modality::Genre, Model::Ann, UserEmbedding::Liked, true);
        assert_eq!(published(&ann), None);
        let majority = CellSpec::published(Modality::Genre, Model::Majority, UserEmbedding::Liked, true);
        assert_eq!(published(&majority), None);
    }
}
