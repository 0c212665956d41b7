//! The viewer, the model and new movies on the command line, shared by `predict` and `recommend`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::artifact::recipes;
use jhalak_common::dataset::{Dataset, Label, Movie, NewMovies, read_movies};
use jhalak_common::evaluation::metrics::{PerClass, predicted_class};
use jhalak_common::evaluation::{LeftOutPart, Model};
use jhalak_common::models::Registry;
use jhalak_common::process::shutdown;
use jhalak_common::settings::Settings;
use jhalak_common::store;
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::serving::{Explanation, LoadedModel, ModelKind, SessionInput, ViewerSession, doubt};
use serde::Serialize;

use crate::artifacts::embeddings;
use crate::artifacts::fitted_model::{self, Fitted, Wanted};
use crate::commands::numbers;
use crate::commands::run_id;
use crate::commands::video_args;
use crate::extract_file;

use crate::commands::known_names::{find_movie, listed, user};

/// The model.
#[derive(Args)]
pub struct ModelArgs {
    /// Model to query
    ///
    /// [default: ensemble, or network if no ensemble was fitted or only the network reads --trailer]
    #[arg(long, alias = "answer", value_enum, value_name = "MODEL", help_heading = "Model")]
    model: Option<ModelArg>,
    /// Folder with a model, as written by `jhalak fit --out DIR`
    ///
    /// [default: the last model fitted into the store]
    #[arg(long, value_name = "DIR", help_heading = "Model", conflicts_with_all = ["run", "fitted"])]
    model_dir: Option<PathBuf>,
    /// Use the model that this run fitted
    #[arg(long, value_name = "RUN", help_heading = "Model", conflicts_with = "fitted")]
    run: Option<String>,
    /// Use the fitted model with this id, or the start of it, as listed by `jhalak models ls --fitted`
    #[arg(long, value_name = "ID", help_heading = "Model")]
    fitted: Option<String>,
}

/// The viewer and the model.
#[derive(Args)]
pub struct ViewerArgs {
    /// Viewer id in the dataset
    ///
    /// Without it, the viewer is new and described by --like, --neutral and --dislike alone.
    #[arg(long, value_name = "ID", help_heading = "Viewer")]
    user: Option<String>,
    /// Movies that the viewer likes, by id or title
    ///
    /// Separate several with commas, or repeat the option. With --user, they add to the ratings in the dataset.
    #[arg(long, value_name = "MOVIES", help_heading = "Viewer")]
    like: Vec<String>,
    /// Movies that the viewer is neutral about, in the form of --like
    #[arg(long, value_name = "MOVIES", help_heading = "Viewer")]
    neutral: Vec<String>,
    /// Movies that the viewer dislikes, in the form of --like
    #[arg(long, value_name = "MOVIES", help_heading = "Viewer")]
    dislike: Vec<String>,
    /// File with new movies, as JSON or CSV
    ///
    /// JSON: one object or a list of objects (id, name, genre, description, cast...). CSV: the columns of movies.csv.
    /// Trailer embeddings in the store with the same ids are used.
    #[arg(long, value_name = "FILE", help_heading = "Movies")]
    movie_file: Option<PathBuf>,
    /// Trailer of a new movie: a video file, which is extracted and embedded now
    ///
    /// With --movie-file, the trailer of the only movie in it. Needs a model that reads trailers.
    #[arg(long, value_name = "VIDEO", help_heading = "Movies")]
    trailer: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Number of rated movies that are listed as reasons
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = numbers::whole::<usize>, help_heading = "Output")]
    pub reasons: usize,
}

/// See [`ModelKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModelArg {
    /// Stacked ensemble
    #[value(alias = "honest")]
    Ensemble,
    /// Classifier or ANN, as fitted
    Network,
}

/// A model, queried for one viewer.
pub struct Viewer {
    /// The model.
    pub session: ViewerSession,
    /// Facts about the model, for the output.
    pub facts: ModelFacts,
    /// Indices of the new movies.
    pub new: Vec<u32>,
    /// The ratings on the command line that take the place of ratings in the dataset.
    pub replaced: Vec<Replaced>,
}

/// A rating on the command line in place of one in the dataset.
#[derive(Debug, PartialEq, Serialize)]
pub struct Replaced {
    movie: String,
    name: String,
    /// In the dataset; it is not used.
    stored: Label,
    /// On the command line.
    given: Label,
}

impl Replaced {
    /// Compares `given`, by movie index, with the ratings of a user.
    fn of(dataset: &Dataset, user: u32, given: &[(u32, Label)]) -> Vec<Replaced> {
        let of_user = |(movie, given): &(u32, Label)| {
            let at =
                dataset.ratings.binary_search_by_key(&(user, *movie), |rating| (rating.user, rating.movie)).ok()?;
            let movie = dataset.movies.get(*movie as usize)?;
            let (id, name) = (movie.id.clone(), movie.name.clone());
            Some(Replaced { movie: id, name, stored: dataset.ratings[at].label, given: *given })
        };
        given.iter().filter_map(of_user).collect()
    }

    /// Returns a line for each of them.
    pub fn lines(all: &[Replaced]) -> String {
        let line = |Replaced { movie, name, stored, given }: &Replaced| match stored == given {
            true => format!("{name} ({movie}) is a {} in the dataset already\n", stored.name()),
            false => format!(
                "{name} ({movie}) is a {} in the dataset: the given {} takes its place in this answer\n",
                stored.name(),
                given.name()
            ),
        };
        all.iter().map(line).collect()
    }
}

/// Facts about the model that predicts.
#[derive(Serialize)]
pub struct ModelFacts {
    /// `ensemble`, `classifier` or `ann`.
    pub kind: &'static str,
    /// The modality of a network.
    pub modality: Option<String>,
    /// Its location: a folder or a key.
    pub location: String,
    /// The location, under its name of earlier versions.
    place: String,
    /// Its id in the store; `None` for a folder.
    pub id: Option<String>,
    /// When it was fitted, in seconds since 1970, if that is known.
    pub fitted_s: Option<i64>,
    /// The runs that fitted it.
    pub runs: Vec<String>,
    /// The name of the dataset that it was fitted on.
    pub dataset: String,
    /// SHA-256 of the dataset's normal form.
    pub dataset_content: String,
    #[serde(skip)]
    counts: String,
    /// When it was fitted, for people.
    #[serde(skip)]
    time: Option<String>,
    /// Whether it was trained on generated feedback.
    pub synthetic: bool,
    /// What could not be fitted.
    pub left_out: Vec<LeftOutPart>,
}

/// The prediction for one movie.
#[derive(Serialize)]
pub struct Answer {
    /// The movie's id.
    pub movie: String,
    /// Its title.
    pub name: String,
    /// Its year.
    pub year: Option<i32>,
    /// In class order.
    pub probabilities: PerClass<f32>,
    /// The most probable class.
    pub predicted: Label,
    /// The viewer's rating, which is not used in the prediction.
    pub rated: Option<Label>,
    /// Ratings of the movie by other viewers.
    pub ratings: u64,
    /// Doubt about the probability of like: about a standard deviation, larger for movies with few
    /// ratings.
    pub doubt: f32,
    /// Whether it came with --movie-file.
    pub new: bool,
    /// The reasons for the prediction.
    pub why: Explanation,
}

/// A loaded model with what is known of it.
pub struct Loaded {
    /// The model.
    pub served: LoadedModel,
    /// Which of its models answers.
    pub which: ModelKind,
    /// Facts about it, for the output.
    pub facts: ModelFacts,
}

impl ModelArgs {
    /// Loads the model.
    ///
    /// With `trailer`, a model that reads trailers answers by default, if there is one.
    pub async fn load(&self, settings: &Settings, trailer: bool) -> Result<Loaded> {
        let stored = match &self.model_dir {
            Some(folder) => fitted_model::in_folder(folder)?,
            None => {
                let store = store::open(&settings.store, &settings.s3).await?;
                let wanted = match (&self.run, &self.fitted) {
                    (Some(run), _) => Wanted::Run(run_id::find_fitted(store.as_ref(), run).await?),
                    (None, Some(id)) => Wanted::Id(id.clone()),
                    (None, None) => Wanted::Latest,
                };
                fitted_model::read(store.as_ref(), &wanted).await?
            }
        };
        let (location, fitted) = (stored.place, stored.fitted);
        let served = LoadedModel::read(&stored.files, stored.dataset)
            .map_err(|e| Error::from(e).context(format!("the model {location}")))?;
        let which = match self.model {
            None => default_kind(trailer, served.default_kind(), |kind| served.reads_trailers(kind)),
            Some(ModelArg::Ensemble) => ModelKind::Ensemble,
            Some(ModelArg::Network) => ModelKind::Network,
        };
        let (kind, modality) = match (which, &served.description.network) {
            (ModelKind::Network, Some(network)) => (network.cell.model.name(), Some(network.cell.modality.to_string())),
            _ => (Model::Ensemble.name(), None),
        };
        let dataset = served.dataset();
        let facts = ModelFacts {
            kind,
            modality,
            place: location.clone(),
            location,
            id: fitted.as_ref().map(Fitted::id),
            fitted_s: fitted.as_ref().map(|of| of.fitted_s).filter(|time| *time > 0),
            time: fitted.as_ref().and_then(Fitted::time),
            runs: fitted.map_or_else(Vec::new, |of| of.runs),
            dataset: served.description.card.dataset.clone(),
            dataset_content: served.description.card.dataset_content.clone(),
            counts: format!(
                "{} users, {} movies, {} ratings",
                dataset.users.len(),
                dataset.movies.len(),
                dataset.ratings.len()
            ),
            synthetic: dataset.synthetic,
            left_out: served.description.card.left_out.clone(),
        };
        Ok(Loaded { served, which, facts })
    }
}

/// Returns the model that answers where none is named: `usual`, or the network if a trailer is given
/// and only the network reads trailers.
fn default_kind(trailer: bool, usual: ModelKind, reads_trailers: impl Fn(ModelKind) -> bool) -> ModelKind {
    match trailer && !reads_trailers(usual) && reads_trailers(ModelKind::Network) {
        true => ModelKind::Network,
        false => usual,
    }
}

impl ModelFacts {
    /// Returns the options of `jhalak users` and `jhalak movies` that list the model's dataset.
    pub fn listed_by(&self) -> String {
        match &self.id {
            Some(id) => format!("--fitted {id}"),
            None => format!("--model-dir {}", self.location),
        }
    }

    /// Returns the line that states which model answered, and lines that name what it lacks.
    pub fn lines(&self) -> String {
        let modality = self.modality.as_ref().map_or_else(String::new, |modality| format!(" on {modality}"));
        let id = self.id.as_ref().map_or_else(|| format!(" in {}", self.location), |id| format!(" {id}"));
        let time = self.time.as_ref().map_or_else(String::new, |time| format!(" {time}"));
        let mut lines =
            format!("model: {}{modality}{id}, fitted{time} on {} ({})\n", self.kind, self.dataset, self.counts);
        for LeftOutPart { part, reason } in &self.left_out {
            lines.push_str(&format!("left out of it: {part}: {reason}\n"));
        }
        lines
    }
}

impl ViewerArgs {
    /// Returns the first option that describes a viewer or new movies.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--user", self.user.is_some()),
            ("--like", !self.like.is_empty()),
            ("--neutral", !self.neutral.is_empty()),
            ("--dislike", !self.dislike.is_empty()),
            ("--movie-file", self.movie_file.is_some()),
            ("--trailer", self.trailer.is_some()),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
    }

    /// Loads the model and opens the viewer's session.
    pub async fn open(&self, settings: &Settings) -> Result<Viewer> {
        if self.user.is_none() && self.like.is_empty() && self.neutral.is_empty() && self.dislike.is_empty() {
            return Err(Error::usage(
                "no viewer given: name one with --user ID, or describe a new one with --like, --neutral and --dislike",
            ));
        }
        let Loaded { served, which, facts } = self.model.load(settings, self.trailer.is_some()).await?;
        let mut input = self.session_input(&served, &facts.listed_by())?;
        let reads_trailers = served.reads_trailers(which);
        if let Some(file) = &self.trailer {
            if !reads_trailers {
                let other =
                    [ModelKind::Ensemble, ModelKind::Network].into_iter().find(|kind| served.reads_trailers(*kind));
                let way = match other {
                    Some(kind) => format!("use --model {}", kind.name()),
                    None => "fit one that does, as in `jhalak fit --dataset DIR --modality audio+video`".to_owned(),
                };
                return Err(Error::usage(format!(
                    "the {} of the model {} does not read trailers, so that --trailer has no effect: {way}",
                    which.name(),
                    facts.location
                )));
            }
            let (id, found) = trailer(file, &mut input.movies, served.dataset(), settings).await?;
            input.embeddings.insert(id, found);
        } else if reads_trailers && !input.movies.is_empty() {
            let store = store::open(&settings.store, &settings.s3).await?;
            for movie in &input.movies {
                let found = embeddings::of_movie(store.as_ref(), &movie.id, settings).await?;
                input.embeddings.insert(movie.id.clone(), found);
            }
        }
        let replaced =
            input.user.map_or_else(Vec::new, |user| Replaced::of(served.dataset(), user, &input.new_ratings));
        let known = served.dataset().movies.len() as u32;
        let new = (known..known + input.movies.len() as u32).collect();
        let session = served
            .session(input, which)
            .map_err(|e| Error::from(e).context(format!("the model {}", facts.location)))?;
        Ok(Viewer { session, facts, new, replaced })
    }

    /// `list`: the options that list the model's dataset, for messages.
    fn session_input(&self, served: &LoadedModel, list: &str) -> Result<SessionInput> {
        let dataset = served.dataset();
        let movies = match &self.movie_file {
            None => Vec::new(),
            Some(path) => {
                let name = path.display().to_string();
                let bytes = std::fs::read(path).map_err(|e| Error::from(e).context(format!("read {name}")))?;
                let NewMovies { movies, unread } = read_movies(&name, &bytes)?;
                if !unread.is_empty() {
                    tracing::warn!("{name}: ignoring {}", unread.join(", "));
                }
                let is_known = |genre: &&String| dataset.genres.contains(genre);
                let mut unknown: Vec<&String> =
                    movies.iter().flat_map(|m| &m.genres).filter(|g| !is_known(g)).collect();
                unknown.sort_unstable();
                unknown.dedup();
                if !unknown.is_empty() {
                    let unknown: Vec<&str> = unknown.into_iter().map(String::as_str).collect();
                    tracing::warn!(
                        "{name}: unknown genres {}; the model has {}",
                        unknown.join(", "),
                        dataset.genres.join(", ")
                    );
                }
                movies
            }
        };
        let user = self.user.as_deref().map(|id| user(dataset, id, list)).transpose()?;
        let mut new_ratings: Vec<(u32, Label)> = Vec::new();
        for (names, label) in
            [(&self.like, Label::Like), (&self.neutral, Label::Neutral), (&self.dislike, Label::Dislike)]
        {
            let found = names.iter().map(|names| listed(dataset, &movies, names, list)).collect::<Result<Vec<_>>>()?;
            for index in found.concat() {
                let id = dataset.movies.iter().chain(&movies).nth(index as usize).map_or("", |movie| movie.id.as_str());
                if new_ratings.iter().any(|(other, _)| *other == index) {
                    return Err(Error::usage(format!("{id} appears twice in --like, --neutral and --dislike")));
                }
                new_ratings.push((index, label));
            }
        }
        Ok(SessionInput { movies, user, new_ratings, ..SessionInput::default() })
    }
}

impl Viewer {
    /// Returns the answer for a movie and its predicted probabilities.
    pub fn answer(&mut self, movie: u32, probabilities: [f32; 3], reasons: usize) -> Result<Answer> {
        let why = self.session.explain(movie, reasons)?;
        let ratings = self.session.raters(movie);
        let of = &self.session.dataset().movies[movie as usize];
        Ok(Answer {
            movie: of.id.clone(),
            name: of.name.clone(),
            year: of.year,
            probabilities: probabilities.into(),
            predicted: Label::ALL[predicted_class(&probabilities)],
            rated: self.session.rated(movie),
            ratings,
            doubt: doubt(probabilities, ratings),
            new: self.new.contains(&movie),
            why,
        })
    }

    /// Returns the viewer's id, or None for a new viewer.
    pub fn id(&self, args: &ViewerArgs) -> Option<String> {
        args.user.as_ref().map(|_| self.session.dataset().users[self.session.user() as usize].id.clone())
    }

    /// Returns the index of a movie, by id or title.
    pub fn movie(&self, word: &str) -> Result<u32> {
        let (known, new) = self.session.dataset().movies.split_at(self.session.dataset().movies.len() - self.new.len());
        find_movie(known, new, word, &self.facts.listed_by())
    }
}

/// Extracts the trailer of the only new movie, which is added if there is none. Returns its id and its
/// embeddings by modality.
async fn trailer(
    file: &Path,
    movies: &mut Vec<Movie>,
    dataset: &Dataset,
    settings: &Settings,
) -> Result<(String, BTreeMap<String, Vec<f32>>)> {
    if movies.is_empty() {
        let mut id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        while dataset.movie_index(&id).is_some() {
            id.push_str("-new");
        }
        movies.push(Movie { name: id.clone(), id, ..Movie::default() });
    }
    let [movie] = movies.as_slice() else {
        return Err(Error::usage("--trailer is the trailer of one movie, and --movie-file has several"));
    };
    video_args::check(file)?;
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let (recipes, _) = recipes::recipes(settings, &registry)?;
    let stop = shutdown::on_signal()?;
    let extracted = extract_file::extract(file, &extract_file::primary(&recipes), settings, &stop).await?;
    let found = extracted.embeddings.into_iter().map(|(modality, vectors)| (modality.to_owned(), vectors.mean));
    Ok((movie.id.clone(), found.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::dataset::{Rating, User};

    #[test]
    fn given_ratings_that_replace_stored_ones_are_named() {
        let rating = |user, movie, label| Rating { user, movie, label, half_stars: None };
        let dataset = Dataset {
            name: "d".into(),
            synthetic: true,
            movies: ["m1", "m2"].map(|id| Movie { id: id.into(), name: format!("{id}!"), ..Movie::default() }).into(),
            users: ["a", "b"].map(|id| User { id: id.into(), ..User::default() }).into(),
            ratings: vec![rating(0, 0, Label::Like), rating(1, 1, Label::Like)],
            times: Vec::new(),
            genres: Vec::new(),
        };
        let found = Replaced::of(&dataset, 0, &[(0, Label::Dislike), (1, Label::Dislike), (7, Label::Like)]);
        assert_eq!(
            Replaced::lines(&found),
            "m1! (m1) is a like in the dataset: the given dislike takes its place in this answer\n"
        );
        let same = Replaced::lines(&Replaced::of(&dataset, 1, &[(1, Label::Like)]));
        assert_eq!(same, "m2! (m2) is a like in the dataset already\n");
    }

    #[test]
    fn a_trailer_changes_the_model_only_if_the_usual_one_does_not_read_it() {
        use ModelKind::{Ensemble, Network};
        let of = |trailer, usual, readers: &[ModelKind]| default_kind(trailer, usual, |kind| readers.contains(&kind));
        assert_eq!(of(true, Ensemble, &[Ensemble, Network]), Ensemble);
        assert_eq!(of(true, Ensemble, &[Ensemble]), Ensemble);
        assert_eq!(of(true, Ensemble, &[Network]), Network);
        assert_eq!(of(true, Ensemble, &[]), Ensemble);
        assert_eq!(of(false, Ensemble, &[Network]), Ensemble);
        assert_eq!(of(true, Network, &[Network]), Network);
    }
}
