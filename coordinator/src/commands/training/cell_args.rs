//! A cell of the evaluation on the command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jhalak_common::dataset::{Dataset, FoldsBy, GivenFold, GivenFolds};
use jhalak_common::evaluation::{
    Balance, CellSpec, Control, Edition, EmbeddingSource, Errata, GlSettings, Modality, Model, PUBLISHED_UPSAMPLING,
    Protocol, Split, TrainingSettings, UserEmbedding,
};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::recommend::split::leave_known;

/// What is evaluated, and how.
#[derive(Args)]
pub struct CellArgs {
    /// paper: as published, its leaks included; strict: without leaks.
    #[arg(long, value_enum, default_value_t = ProtocolArg::Strict)]
    pub protocol: ProtocolArg,
    /// strict: what a fold holds out: random pairs, all pairs of some movies, or all pairs of some users but a few known ones [default: pairs; with
    /// folds that are given, what they hold out]
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
    /// --split users: how many ratings of each test user are known [default: 5; of users that given folds name, 0]
    #[arg(long, value_name = "N")]
    pub known: Option<usize>,
    /// What movies are described by: video, audio, audio+video, genre or metadata. Models that know labels alone take no notice of it.
    #[arg(long, default_value = "genre")]
    pub modality: Modality,
    /// What predicts: classifier (the paper's cross attention), ann, honest, or a baseline: majority, user-majority, item-majority, bias,
    /// bias-class-weighted, matrix-factorisation.
    #[arg(long, default_value = "classifier")]
    pub model: Model,
    #[command(flatten)]
    pub network: NetworkArgs,
    /// paper: which of the publication's errors are repeated; none, or a list [default: own-label,upsampling,swapped-gl]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ERROR")]
    pub errata: Option<Vec<Erratum>>,
    /// Make something meaningless on purpose: what then beats the majority has seen a label.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub control: Option<ControlArg>,
    /// --model honest: also measure what is lost without each group of its features.
    #[arg(long)]
    pub ablation: bool,
    /// The seed of every split, initialisation and shuffle [default: evaluate.seed of the settings]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Number of folds [default: evaluate.folds of the settings]; or folds that somebody else has published: a CSV file with the columns user, movie or both
    /// and fold, or a folder with a file for each fold (those with `test` in their names, where there are such) that lists the users or the pairs it tests.
    #[arg(long, value_name = "N|PATH")]
    pub folds: Option<FoldsArg>,
}

/// How many folds are drawn, or where they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldsArg {
    /// So many are drawn.
    Count(usize),
    /// Given by a file or folder.
    Given(PathBuf),
}

impl FromStr for FoldsArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) => Ok(Self::Count(count)),
            // A file may be called anything, but nobody means one by a number or by nothing.
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
    /// Which of a user's movies make up the user embedding: L (liked), L+D (and disliked), L+N (and neutral), L+D+N.
    #[arg(long, default_value = "L", value_name = "MOVIES")]
    pub user_embedding: UserEmbedding,
    /// Leave the GL-score out.
    #[arg(long)]
    pub without_gl: bool,
    /// Where paper and notebook differ: notebook (RMSprop at 1e-5, GL times 100, scaled user embeddings; default of `--protocol paper`), paper (Adam at
    /// 1e-3, GL from 0 to 1, unscaled), or ours (as paper, with scaled user embeddings and inputs standardised on training pairs; default of `strict`).
    #[arg(long, value_enum, value_name = "WHOSE")]
    pub settings: Option<SettingsArg>,
    /// Where video and audio embeddings come from: a genre head trained in every fold, or as given by the embedding model [default: genre-head]
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub embedding: Option<EmbeddingArg>,
    /// How classes are evened out in training: none, upsample (dislikes, as the paper), class-weights [default: upsample]
    #[arg(long, value_enum, value_name = "HOW")]
    pub even: Option<EvenArg>,
    /// Epochs of a training at most [default: evaluate.epochs of the settings]
    #[arg(long, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub epochs: Option<usize>,
}

/// See [`Protocol`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolArg {
    /// As published, its leaks included.
    Paper,
    /// Without leaks.
    Strict,
}

/// See [`Split`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// Random pairs.
    Pairs,
    /// All pairs of some movies.
    Movies,
    /// All pairs of some users but a few known ones.
    Users,
}

/// Whose settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SettingsArg {
    /// The paper's text.
    Paper,
    /// The published notebooks.
    Notebook,
    /// This project's.
    Ours,
}

/// See [`Control`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ControlArg {
    /// Labels shuffled over all pairs.
    PermutedLabels,
    /// Standard normal numbers in the place of every embedding.
    RandomEmbeddings,
}

/// See [`EmbeddingSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmbeddingArg {
    /// A genre head is trained in every fold.
    GenreHead,
    /// The rows as they are stored.
    Given,
}

/// See [`Balance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EvenArg {
    /// Not at all.
    None,
    /// Dislikes are repeated.
    Upsample,
    /// Classes are weighted.
    ClassWeights,
}

/// See [`Errata`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Erratum {
    /// None of them.
    None,
    /// The predicted pair's own label is in its GL-score and user embedding.
    OwnLabel,
    /// Dislikes are copied before the split.
    Upsampling,
    /// The GL-score takes likes for dislikes and the reverse.
    SwappedGl,
    /// Copies count again in GL-scores and user embeddings.
    Copies,
}

impl CellArgs {
    /// The cell that is asked for.
    ///
    /// # Errors
    /// Wrong use: options that contradict each other, or a value out of its range.
    pub fn spec(&self, settings: &Settings) -> Result<CellSpec> {
        let network = &self.network;
        let (user, gl) = (network.user_embedding, !network.without_gl);
        let mut spec = match self.protocol {
            ProtocolArg::Paper => {
                if self.split.is_some_and(|split| split != SplitArg::Pairs) || self.known.is_some() {
                    return Err(Error::usage(
                        "the published protocol splits by pairs: leave out --split and --known, or take --protocol strict",
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
                    return Err(Error::usage("the strict protocol repeats no error: --errata is for --protocol paper"));
                }
                let users = self.split == Some(SplitArg::Users);
                if self.known.is_some() && !users && (self.given_folds().is_none() || self.split.is_some()) {
                    return Err(Error::usage("--known is for --split users"));
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

    /// Where the folds are given, if they are.
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
            // Who lists every pair of a user names the user.
            let by =
                if given.by == FoldsBy::Pairs && are_whole_users(given, dataset) && self.split != Some(SplitArg::Pairs)
                {
                    FoldsBy::Users
                } else {
                    given.by
                };
            if self.known.is_some() && by != FoldsBy::Users {
                return Err(Error::usage(format!(
                    "--known leaves ratings of whole users known, and the folds name {}: leave it out, as they say themselves what is known",
                    by.name()
                )));
            }
            if let Some(known) = self.known.filter(|known| *known > 0) {
                for fold in &mut given.folds {
                    fold.test = leave_known(dataset, &fold.test, known, spec.seed);
                }
                if let Some(empty) = given.folds.iter().find(|fold| fold.test.is_empty()) {
                    return Err(Error::invalid(format!(
                        "no user of the fold {} has more than {known} ratings: name a smaller --known",
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
                    return Err(Error::usage(format!("the folds hold out {}: leave out --split", by.name())));
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
        match self.settings {
            None => {}
            Some(SettingsArg::Notebook) => {
                (spec.training, spec.gl_score) = (notebook, published);
                (spec.scale_user_embedding, spec.standardise_inputs) = (true, false);
            }
            Some(SettingsArg::Paper) => {
                (spec.training, spec.gl_score) = (paper, GlSettings { scale: 1.0, ..published });
                (spec.scale_user_embedding, spec.standardise_inputs) = (false, false);
                spec.edition = Edition::Paper;
            }
            Some(SettingsArg::Ours) => {
                (spec.training, spec.gl_score) = (paper, ours);
                (spec.scale_user_embedding, spec.standardise_inputs) = (true, true);
            }
        }
        match self.even {
            None => {}
            Some(EvenArg::None) => spec.training.balance = Balance::None,
            Some(EvenArg::Upsample) => spec.training.balance = PUBLISHED_UPSAMPLING,
            Some(EvenArg::ClassWeights) => spec.training.balance = Balance::ClassWeights,
        }
        spec.training.fit.epochs = self.epochs.unwrap_or(settings.evaluate.epochs);
        let trailers = !spec.modality.tables().is_empty();
        if self.embedding.is_some() && !trailers {
            return Err(Error::usage(format!(
                "the modality {} has no genre head: --embedding is for video, audio and audio+video",
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
        return Err(Error::usage("--errata none stands alone"));
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
        let line = "--split users --model ann --user-embedding L+D+N --without-gl";
        assert_eq!(spec(line).expect("valid"), strict);
        assert_eq!(spec("--modality audio+video").expect("valid").embedding, EmbeddingSource::GenreHead);
        assert_eq!(spec("--modality audio --embedding given").expect("valid").embedding, EmbeddingSource::Given);
    }

    #[test]
    fn every_switch_reaches_the_cell() {
        let mended =
            spec("--protocol paper --errata upsampling --settings paper --even class-weights --seed 7 --folds 3");
        let mended = mended.expect("valid");
        let errata = Errata { upsample_before_split: true, ..Errata::none() };
        assert_eq!(mended.protocol, Protocol::Paper { errata });
        assert_eq!((mended.seed, mended.folds, mended.training.balance), (7, 3, Balance::ClassWeights));
        assert_eq!(mended.training.fit, TrainingSettings::paper().fit);
        assert!(!mended.scale_user_embedding && mended.gl_score.scale == 1.0);
        assert_eq!(mended.edition, Edition::Paper);
        assert_eq!(spec("--model bias --control permuted-labels").expect("valid").control, Control::PermutedLabels);
        assert!(spec("--model honest --ablation").expect("valid").ablation);
        let notebook = spec("--settings notebook --epochs 3").expect("valid");
        assert_eq!((notebook.training.fit.epochs, notebook.gl_score.scale), (3, 100.0));
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
            ("--protocol paper --errata none,copies", "alone"),
        ] {
            let error = spec(line).expect_err(line);
            assert!(error.to_string().contains(told), "{line}: {error}");
        }
    }
}
