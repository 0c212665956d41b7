//! A cell of the evaluation on the command line, shared by `evaluate` and `fit`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jhalak_common::dataset::{Dataset, FoldsBy, GivenFolds};
use jhalak_common::evaluation::{ByTime, CellSpec, ContentColumn, Control, Errata, Modality, Model, Protocol, Split};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::recommend::draw_folds::leave_known;

use super::network_args::NetworkArgs;
use super::option_values::{modalities, models};
use crate::commands::numbers;
use crate::plan::given_split::{are_whole_users, given_split};

/// The cell of the evaluation.
#[derive(Args)]
pub struct CellArgs {
    /// Model to evaluate
    ///
    /// [default: classifier]
    #[arg(long, value_parser = models(), help_heading = "Model")]
    pub model: Option<Model>,
    /// Movie features; the baselines ignore them, and the ensemble reads those of trailers as content
    ///
    /// [default: genre]
    #[arg(long, value_parser = modalities(), help_heading = "Model")]
    pub modality: Option<Modality>,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// Evaluation protocol
    ///
    /// [default: strict]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    pub protocol: Option<ProtocolArg>,
    /// Data that each fold holds out (strict protocol)
    ///
    /// [default: pairs, or what the folds of --folds PATH hold out]
    #[arg(long, value_enum, help_heading = "Evaluation")]
    pub split: Option<SplitArg>,
    /// Share of the pairs that --split last and --split temporal hold out, in percent
    ///
    /// [default: 20]
    #[arg(long, value_name = "PERCENT", help_heading = "Evaluation")]
    pub test_share: Option<f64>,
    /// Ratings of each test user (--split users) or movie (--split movies) that stay in training
    ///
    /// Several numbers, as in 0,1,2,5,10,20, give a cold-start curve: all of its points are of the same pairs.
    ///
    /// [default: 5 for users, 0 for movies and for users listed by --folds PATH]
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        value_parser = numbers::whole::<usize>,
        help_heading = "Evaluation"
    )]
    pub known: Vec<usize>,
    /// Number of folds, or a file or folder with given folds
    ///
    /// A CSV file needs the columns fold, and user, movie or both. A folder holds one file per fold that lists the
    /// users or the pairs that the fold tests; if some names contain `test`, only these files are read.
    ///
    /// [default: setting evaluate.folds]
    #[arg(long, value_name = "N|PATH", help_heading = "Evaluation")]
    pub folds: Option<FoldsArg>,
    /// Seed of every split, initialisation and shuffle
    ///
    /// [default: setting evaluate.seed]
    #[arg(long, value_parser = numbers::whole::<u64>, help_heading = "Evaluation")]
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
    /// Columns of the catalogue that the ensemble also reads, separated by commas
    ///
    /// They can reveal the average rating or the source of a record, so they are left out by default.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "COLUMN", help_heading = "Model")]
    pub content_columns: Vec<ContentColumnArg>,
}

/// See [`ContentColumn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ContentColumnArg {
    /// The public's rating of the movie
    Rating,
    /// The digits of the movie's id
    IdNumber,
    /// The length of the release date's text
    ReleaseDateLength,
}

impl ContentColumnArg {
    fn column(self) -> ContentColumn {
        match self {
            Self::Rating => ContentColumn::Rating,
            Self::IdNumber => ContentColumn::IdNumber,
            Self::ReleaseDateLength => ContentColumn::ReleaseDateLength,
        }
    }
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
        match text.parse::<usize>() {
            Ok(count) if count >= 2 => Ok(Self::Count(count)),
            // A number or an empty word is a typing error, not the name of a file.
            _ if text.trim().is_empty() || text.parse::<f64>().is_ok() => {
                Err("must be a whole number of at least 2, or a file or folder of folds".to_owned())
            }
            _ => Ok(Self::Given(PathBuf::from(text))),
        }
    }
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
    /// The last pairs of each user, by the times in the dataset
    Last,
    /// All pairs from one moment on, by the times in the dataset
    Temporal,
}

impl SplitArg {
    /// Returns the split by time.
    pub fn by_time(self) -> Option<ByTime> {
        match self {
            SplitArg::Last => Some(ByTime::Last),
            SplitArg::Temporal => Some(ByTime::Temporal),
            SplitArg::Pairs | SplitArg::Movies | SplitArg::Users => None,
        }
    }
}

/// See [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControlArg {
    /// Shuffle labels over all pairs
    PermutedLabels,
    /// Replace every embedding by standard normal numbers
    RandomEmbeddings,
    /// Shuffle the embeddings over the movies
    ShuffledEmbeddings,
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
        let (user, gl) = (network.user_embedding(), !network.no_gl_score);
        let model = self.model();
        // Baselines ignore it: no embeddings are needed for them.
        let modality = self.modality.filter(|_| !model.is_baseline()).unwrap_or(Modality::Genre);
        if let Some(option) = network.first_without_effect(model) {
            return Err(Error::usage(format!(
                "{option} has no effect on {}, which is not a network: remove it, or use --model classifier or ann",
                model.name()
            )));
        }
        let by_time = self.split.and_then(SplitArg::by_time);
        if self.test_share.is_some() && by_time.is_none() {
            return Err(Error::usage("--test-share needs --split last or temporal"));
        }
        if !(0.0 < self.test_share() && self.test_share() < 1.0) {
            return Err(Error::usage("--test-share must be above 0 and below 100 percent"));
        }
        if by_time.is_some() && self.folds.is_some() {
            return Err(Error::usage("a split by time has one fold: remove --folds, or --split"));
        }
        let mut spec = match self.protocol() {
            ProtocolArg::Paper => {
                if self.split.is_some_and(|split| split != SplitArg::Pairs) || !self.known.is_empty() {
                    return Err(Error::usage(
                        "the paper protocol splits by pairs: remove --split and --known, or use --protocol strict",
                    ));
                }
                let mut spec = CellSpec::published(modality, model, user, gl);
                if let Some(list) = &self.errata {
                    spec.protocol = Protocol::Paper { errata: errata(list)? };
                }
                spec
            }
            ProtocolArg::Strict => {
                if self.errata.is_some() {
                    return Err(Error::usage("--errata needs --protocol paper: the strict protocol repeats no errors"));
                }
                let held_out = matches!(self.split, Some(SplitArg::Users | SplitArg::Movies));
                if !self.known.is_empty() && !held_out && (self.given_folds().is_none() || self.split.is_some()) {
                    return Err(Error::usage("--known needs --split users or movies"));
                }
                let known = self.known.first().copied();
                let split = match self.split {
                    None | Some(SplitArg::Pairs | SplitArg::Last | SplitArg::Temporal) => Split::Pairs,
                    Some(SplitArg::Movies) => Split::Movies,
                    Some(SplitArg::Users) => Split::Users { known: known.unwrap_or(5) },
                };
                CellSpec::strict(split, modality, model, user, gl)
            }
        };
        network.apply(&mut spec, settings)?;
        spec.control = match self.control {
            None => Control::None,
            Some(ControlArg::PermutedLabels) => Control::PermutedLabels,
            Some(ControlArg::RandomEmbeddings) => Control::RandomEmbeddings,
            Some(ControlArg::ShuffledEmbeddings) => Control::ShuffledEmbeddings,
        };
        spec.ablation = self.ablation;
        spec.content_columns = self.content_columns.iter().map(|column| column.column()).collect();
        spec.content_columns.sort_unstable();
        spec.content_columns.dedup();
        spec.seed = self.seed.unwrap_or(settings.evaluate.seed);
        spec.folds = match self.folds {
            Some(FoldsArg::Count(folds)) => folds,
            _ => settings.evaluate.folds,
        };
        spec.check().map_err(|e| Error::usage(e.to_string()))?;
        Ok(spec)
    }

    /// Returns the model.
    pub fn model(&self) -> Model {
        self.model.unwrap_or(Model::Classifier { heads: 4 })
    }

    /// Returns the protocol.
    pub fn protocol(&self) -> ProtocolArg {
        self.protocol.unwrap_or(ProtocolArg::Strict)
    }

    /// Returns the share of the pairs that a split by time holds out.
    pub fn test_share(&self) -> f64 {
        self.test_share.unwrap_or(20.0) / 100.0
    }

    /// Returns the location of given folds.
    pub fn given_folds(&self) -> Option<&Path> {
        match &self.folds {
            Some(FoldsArg::Given(path)) => Some(path),
            _ => None,
        }
    }

    /// Puts given folds into the cell. Folds of users or movies hold these out; for folds of pairs,
    /// [`given_split`] decides. `--known` takes some ratings of each user out of the test of folds
    /// of whole users.
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
            let known = match self.known.as_slice() {
                [] => None,
                [one] => Some(*one),
                _ => return Err(Error::usage("--known with given folds takes one number: evaluate once for each")),
            };
            if known.is_some() && by != FoldsBy::Users {
                return Err(Error::usage(format!(
                    "--known applies to folds of whole users, and these folds list {}: remove --known",
                    by.name()
                )));
            }
            if let Some(known) = known.filter(|known| *known > 0) {
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
                (FoldsBy::Users, None | Some(SplitArg::Users)) => Split::Users { known: known.unwrap_or(0) },
                (FoldsBy::Movies, None | Some(SplitArg::Movies)) => Split::Movies,
                (FoldsBy::Pairs, None) => given_split(given, dataset),
                (FoldsBy::Pairs, Some(SplitArg::Pairs)) => Split::Pairs,
                (FoldsBy::Pairs, Some(asked)) => match (asked, given_split(given, dataset)) {
                    (SplitArg::Movies, Split::Movies) => Split::Movies,
                    (SplitArg::Users, Split::Users { known }) => Split::Users { known },
                    _ => {
                        return Err(Error::usage(
                            "the folds hold out pairs of users and movies that are in training too: remove --split",
                        ));
                    }
                },
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
#[path = "cell_args_tests.rs"]
mod tests;
