//! A cell of the evaluation on the command line, shared by `evaluate` and `fit`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use jhalak_common::dataset::{Dataset, FoldsBy, GivenFold, GivenFolds};
use jhalak_common::evaluation::{
    Balance, CellSpec, Control, Edition, EmbeddingSource, Errata, GlSettings, Modality, Model, PUBLISHED_UPSAMPLING,
    Protocol, Split, TrainingSettings, UserEmbedding,
};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::recommend::split::leave_known;

/// The cell of the evaluation.
#[derive(Args)]
pub struct CellArgs {
    /// Model to evaluate
    #[arg(long, value_parser = models(), default_value = "classifier", help_heading = "Model")]
    pub model: Model,
    /// Movie features; the ensemble and the baselines ignore them
    #[arg(long, value_parser = modalities(), default_value = "genre", help_heading = "Model")]
    pub modality: Modality,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Evaluation protocol
    #[arg(long, value_enum, default_value_t = ProtocolArg::Strict, help_heading = "Evaluation")]
    pub protocol: ProtocolArg,
    /// Data that each fold holds out (strict protocol)
    ///
    /// [default: pairs, or what the folds of --folds PATH hold out]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    pub split: Option<SplitArg>,
    /// Ratings of each test user that stay in training (--split users)
    ///
    /// [default: 5, or 0 for users listed by --folds PATH]
    #[arg(long, value_name = "N", help_heading = "Evaluation")]
    pub known: Option<usize>,
    /// Number of folds, or a file or folder with given folds
    ///
    /// A CSV file needs the columns fold, and user, movie or both. A folder holds one file per fold that lists the users
    /// or the pairs that the fold tests; if some names contain `test`, only these files are read.
    ///
    /// [default: setting evaluate.folds]
    #[arg(long, value_name = "N|PATH", help_heading = "Evaluation")]
    pub folds: Option<FoldsArg>,
    /// Seed of every split, initialisation and shuffle
    ///
    /// [default: setting evaluate.seed]
    #[arg(long, help_heading = "Evaluation")]
    pub seed: Option<u64>,
    /// Errors of the publication to repeat, separated by commas (paper protocol)
    ///
    /// [default: own-label,upsampling,swapped-gl]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ERROR", help_heading = "Evaluation")]
    pub errata: Option<Vec<Erratum>>,
    /// Run a negative control: a model that still beats the majority baseline leaks labels
    #[arg(long, value_enum, value_name = "CONTROL", help_heading = "Evaluation")]
    pub control: Option<ControlArg>,
    /// Also evaluate without each group of features (--model ensemble)
    #[arg(long, help_heading = "Evaluation")]
    pub ablation: bool,
}

/// Parses a model, `honest` for `ensemble` included.
pub(super) fn models() -> impl TypedValueParser<Value = Model> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        value("classifier", "Cross-attention classifier of the paper"),
        value("ann", "ANN baseline of the paper"),
        value("ensemble", "Stacked ensemble (strict protocol only)").alias("honest"),
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
fn user_embeddings() -> impl TypedValueParser<Value = UserEmbedding> {
    let value = |name: &'static str, help: &'static str| PossibleValue::new(name).help(help);
    PossibleValuesParser::new([
        value("L", "Liked movies"),
        value("L+D", "Liked and disliked movies"),
        value("L+N", "Liked and neutral movies"),
        value("L+D+N", "All rated movies"),
    ])
    .try_map(|name| name.parse())
}

/// The number of folds, or the location of given folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldsArg {
    /// Number of folds to draw.
    Count(usize),
    /// File or folder with the folds.
    Given(PathBuf),
}

impl FromStr for FoldsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) => Ok(Self::Count(count)),
            // A number or an empty word is a typing error, not the name of a file.
            Err(_) if text.trim().is_empty() || text.parse::<f64>().is_ok() => {
                Err("must be a whole number of at least 2, or a file or folder of folds".to_owned())
            }
            Err(_) => Ok(Self::Given(PathBuf::from(text))),
        }
    }
}

/// How a classifier or an ANN is built and trained.
#[derive(Args)]
pub struct NetworkArgs {
    /// Movies that make up the user embedding
    #[arg(
        long,
        value_parser = user_embeddings(),
        default_value = "L",
        value_name = "MOVIES",
        help_heading = "Network (classifier or ann)"
    )]
    pub user_embedding: UserEmbedding,
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
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..),
        help_heading = "Network (classifier or ann)"
    )]
    pub epochs: Option<usize>,
}

/// See [`Protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolArg {
    /// As published, including its leaks
    Paper,
    /// Without leaks
    Strict,
}

/// See [`Split`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// Random pairs
    Pairs,
    /// All pairs of some movies
    Movies,
    /// All pairs of some users, except --known ratings of each
    Users,
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

/// See [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControlArg {
    /// Shuffle labels over all pairs
    PermutedLabels,
    /// Replace every embedding by standard normal numbers (classifier and ann)
    RandomEmbeddings,
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

/// See [`Errata`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Erratum {
    /// No error
    None,
    /// GL-score and user embedding include the label of the predicted pair
    OwnLabel,
    /// Dislikes are copied before the split
    Upsampling,
    /// The GL-score swaps likes and dislikes
    SwappedGl,
    /// Copies count again in GL-scores and user embeddings
    Copies,
}

impl CellArgs {
    /// Returns the cell that the options describe.
    ///
    /// # Errors
    /// Wrong use: options that contradict each other, or a value out of its range.
    pub fn spec(&self, settings: &Settings) -> Result<CellSpec> {
        let network = &self.network;
        let (user, gl) = (network.user_embedding, !network.no_gl_score);
        let mut spec = match self.protocol {
            ProtocolArg::Paper => {
                if self.split.is_some_and(|split| split != SplitArg::Pairs) || self.known.is_some() {
                    return Err(Error::usage(
                        "the paper protocol splits by pairs: remove --split and --known, or use --protocol strict",
                    ));
                }
                let mut spec = CellSpec::published(self.modality, self.model, user, gl);
                if let Some(list) = &self.errata {
                    spec.protocol = Protocol::Paper { errata: errata(list)? };
                }
                spec
            }
            ProtocolArg::Strict => {
                if self.errata.is_some() {
                    return Err(Error::usage("--errata needs --protocol paper: the strict protocol repeats no errors"));
                }
                let users = self.split == Some(SplitArg::Users);
                if self.known.is_some() && !users && (self.given_folds().is_none() || self.split.is_some()) {
                    return Err(Error::usage("--known needs --split users"));
                }
                let split = match self.split {
                    None | Some(SplitArg::Pairs) => Split::Pairs,
                    Some(SplitArg::Movies) => Split::Movies,
                    Some(SplitArg::Users) => Split::Users { known: self.known.unwrap_or(5) },
                };
                CellSpec::strict(split, self.modality, self.model, user, gl)
            }
        };
        network.apply(&mut spec, settings)?;
        spec.control = match self.control {
            None => Control::None,
            Some(ControlArg::PermutedLabels) => Control::PermutedLabels,
            Some(ControlArg::RandomEmbeddings) => Control::RandomEmbeddings,
        };
        spec.ablation = self.ablation;
        spec.seed = self.seed.unwrap_or(settings.evaluate.seed);
        spec.folds = match self.folds {
            Some(FoldsArg::Count(folds)) => folds,
            _ => settings.evaluate.folds,
        };
        spec.check().map_err(|e| Error::usage(e.to_string()))?;
        Ok(spec)
    }

    /// Returns the location of given folds.
    pub fn given_folds(&self) -> Option<&Path> {
        match &self.folds {
            Some(FoldsArg::Given(path)) => Some(path),
            _ => None,
        }
    }

    /// Takes given folds into the cell. What they hold out is what they name: users, movies, or of pairs what [`given_split`] makes of them. Of folds of whole
    /// users --known leaves some ratings of each out of the test; others are tested as they are listed.
    ///
    /// # Errors
    /// Wrong use: a --split or --known that contradicts the folds.
    pub fn take_folds(&self, spec: &mut CellSpec, given: &mut GivenFolds, dataset: &Dataset) -> Result<()> {
        if let Protocol::Strict { split } = &mut spec.protocol {
            // Folds that list every pair of a user hold out users.
            let by =
                if given.by == FoldsBy::Pairs && are_whole_users(given, dataset) && self.split != Some(SplitArg::Pairs)
                {
                    FoldsBy::Users
                } else {
                    given.by
                };
            if self.known.is_some() && by != FoldsBy::Users {
                return Err(Error::usage(format!(
                    "--known applies to folds of whole users, and these folds list {}: remove --known",
                    by.name()
                )));
            }
            if let Some(known) = self.known.filter(|known| *known > 0) {
                for fold in &mut given.folds {
                    fold.test = leave_known(dataset, &fold.test, known, spec.seed);
                }
                if let Some(empty) = given.folds.iter().find(|fold| fold.test.is_empty()) {
                    return Err(Error::invalid(format!(
                        "no user of the fold {} has more than {known} ratings: use a smaller --known",
                        empty.name
                    )));
                }
            }
            *split = match (by, self.split) {
                (FoldsBy::Users, None | Some(SplitArg::Users)) => Split::Users { known: self.known.unwrap_or(0) },
                (FoldsBy::Movies, None | Some(SplitArg::Movies)) => Split::Movies,
                (FoldsBy::Pairs, None) => given_split(given, dataset),
                (FoldsBy::Pairs, Some(SplitArg::Pairs)) => Split::Pairs,
                (FoldsBy::Pairs, Some(SplitArg::Movies)) => Split::Movies,
                (FoldsBy::Pairs, Some(SplitArg::Users)) => Split::Users { known: middle_known(given, dataset).0 },
                (by @ (FoldsBy::Users | FoldsBy::Movies), Some(_)) => {
                    return Err(Error::usage(format!("the folds hold out {}: remove --split", by.name())));
                }
            };
        }
        let test: Vec<&Vec<u32>> = given.folds.iter().map(|fold| &fold.test).collect();
        spec.given_folds = Some(hash::of_json(&serde_json::json!(test)));
        spec.folds = test.len();
        spec.check().map_err(|e| Error::usage(e.to_string()))
    }
}

/// Whether every user whom the folds test is tested with all of their pairs.
fn are_whole_users(given: &GivenFolds, dataset: &Dataset) -> bool {
    let mut left = vec![0usize; dataset.users.len()];
    dataset.ratings.iter().for_each(|rating| left[rating.user as usize] += 1);
    let user = |pair: &u32| dataset.ratings[*pair as usize].user as usize;
    given
        .folds
        .iter()
        .all(|fold| fold.test.chunk_by(|a, b| user(a) == user(b)).all(|own| left[user(&own[0])] == own.len()))
}

/// What is new about the pairs that given folds test: the movies where none of them is rated in training; the users where most of them have fewer ratings
/// in training than in the test; else neither.
fn given_split(given: &GivenFolds, dataset: &Dataset) -> Split {
    let unseen = |fold: &GivenFold| {
        let (mut tested, mut all) = (vec![0; dataset.movies.len()], vec![0; dataset.movies.len()]);
        dataset.ratings.iter().for_each(|rating| all[rating.movie as usize] += 1);
        fold.test.iter().for_each(|&pair| tested[dataset.ratings[pair as usize].movie as usize] += 1);
        tested.iter().zip(&all).all(|(tested, all)| *tested == 0 || tested == all)
    };
    match middle_known(given, dataset) {
        (known, true) => Split::Users { known },
        _ if given.folds.iter().all(unseen) => Split::Movies,
        _ => Split::Pairs,
    }
}

/// The middle one of the test users' numbers of ratings in training, and whether most of them have fewer there than in the test.
fn middle_known(given: &GivenFolds, dataset: &Dataset) -> (usize, bool) {
    let mut all = vec![0usize; dataset.users.len()];
    dataset.ratings.iter().for_each(|rating| all[rating.user as usize] += 1);
    let (mut known, mut fewer) = (Vec::new(), 0);
    for fold in &given.folds {
        for own in fold.test.chunk_by(|&a, &b| dataset.ratings[a as usize].user == dataset.ratings[b as usize].user) {
            let left = all[dataset.ratings[own[0] as usize].user as usize] - own.len();
            known.push(left);
            fewer += usize::from(left < own.len());
        }
    }
    known.sort_unstable();
    (known.get(known.len() / 2).copied().unwrap_or(0), 2 * fewer > known.len())
}

impl NetworkArgs {
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

fn errata(list: &[Erratum]) -> Result<Errata> {
    if list.contains(&Erratum::None) && list.len() > 1 {
        return Err(Error::usage("--errata none cannot be combined with other errors"));
    }
    let has = |erratum| list.contains(&erratum);
    Ok(Errata {
        own_label: has(Erratum::OwnLabel),
        upsample_before_split: has(Erratum::Upsampling),
        swapped_gl: has(Erratum::SwappedGl),
        copies_in_profiles: has(Erratum::Copies),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        cell: CellArgs,
    }

    fn spec(line: &str) -> Result<CellSpec> {
        let words = std::iter::once("x").chain(line.split_whitespace());
        Line::try_parse_from(words).expect("a line that can be parsed").cell.spec(&Settings::default())
    }

    #[test]
    fn the_defaults_are_the_cells_of_the_grid() {
        let model = Model::Classifier { heads: 4 };
        let published = CellSpec::published(Modality::Genre, model, UserEmbedding::Liked, true);
        assert_eq!(spec("--protocol paper").expect("valid"), published);
        let strict =
            CellSpec::strict(Split::Users { known: 5 }, Modality::Genre, Model::Ann, UserEmbedding::All, false);
        let line = "--split users --model ann --user-embedding L+D+N --no-gl-score";
        assert_eq!(spec(line).expect("valid"), strict);
        assert_eq!(spec("--modality audio+video").expect("valid").embedding, EmbeddingSource::GenreHead);
        assert_eq!(spec("--modality audio --embedding given").expect("valid").embedding, EmbeddingSource::Given);
    }

    #[test]
    fn every_switch_reaches_the_cell() {
        let mended = spec(
            "--protocol paper --errata upsampling --hyperparameters paper --class-balance class-weights --seed 7 --folds 3",
        );
        let mended = mended.expect("valid");
        let errata = Errata { upsample_before_split: true, ..Errata::none() };
        assert_eq!(mended.protocol, Protocol::Paper { errata });
        assert_eq!((mended.seed, mended.folds, mended.training.balance), (7, 3, Balance::ClassWeights));
        assert_eq!(mended.training.fit, TrainingSettings::paper().fit);
        assert!(!mended.scale_user_embedding && mended.gl_score.scale == 1.0);
        assert_eq!(mended.edition, Edition::Paper);
        assert_eq!(spec("--model bias --control permuted-labels").expect("valid").control, Control::PermutedLabels);
        assert!(spec("--model ensemble --ablation").expect("valid").ablation);
        let notebook = spec("--hyperparameters notebook --epochs 3").expect("valid");
        assert_eq!((notebook.training.fit.epochs, notebook.gl_score.scale), (3, 100.0));
    }

    #[test]
    fn every_name_of_the_evaluation_is_a_value_of_its_option() {
        for model in Model::ALL {
            assert_eq!(spec(&format!("--model {}", model.name())).expect("valid").model, model);
        }
        for modality in Modality::ALL {
            assert_eq!(spec(&format!("--modality {modality}")).expect("valid").modality, modality);
        }
        for user in UserEmbedding::ALL {
            assert_eq!(spec(&format!("--user-embedding {}", user.name())).expect("valid").user_embedding, user);
        }
    }

    #[test]
    fn old_option_names_are_aliases() {
        for (old, new) in [
            ("--model honest", "--model ensemble"),
            ("--without-gl", "--no-gl-score"),
            ("--settings paper", "--hyperparameters paper"),
            ("--even none", "--class-balance none"),
        ] {
            assert_eq!(spec(old).expect(old), spec(new).expect(new));
        }
    }

    #[test]
    fn options_that_contradict_each_other_are_refused_with_the_way_out() {
        for (line, told) in [
            ("--protocol paper --split movies", "--protocol strict"),
            ("--errata none", "--protocol paper"),
            ("--known 3", "--split users"),
            ("--embedding given", "video"),
            ("--folds 1", "folds"),
            ("--ablation", "ensemble"),
            ("--model bias --control random-embeddings", "permuted"),
            ("--protocol paper --errata none,copies", "combined"),
        ] {
            let error = spec(line).expect_err(line);
            assert!(error.to_string().contains(told), "{line}: {error}");
        }
    }
}
