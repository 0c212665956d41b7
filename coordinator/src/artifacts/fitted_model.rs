//! The fitted model: stores, finds and reads it, in the store or in a folder.

use std::collections::BTreeMap;
use std::path::Path;

use futures::TryStreamExt;
use jhalak_common::artifact::{self, ArtifactKey, ArtifactKind, COMMIT_VERSION, CommitRecord, Subject, check_version};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::LeftOutPart;
use jhalak_common::hash::{self, Hash};
use jhalak_common::run::{self, RUN_VERSION, dataset_key};
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::console::files::cannot_write;

/// The record that names the model fitted last.
const LATEST: &str = "models/latest.json";
/// The folder with a record of each fitted model.
const FITTED: &str = "models/fitted/";
/// The file name of the dataset in a model folder.
pub const DATASET_FILE: &str = "dataset.json";
/// Maximum size of a model file that is read from a folder, in bytes.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A stored model and the dataset that it was fitted on.
pub struct Stored {
    /// The files of the model by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The dataset.
    pub dataset: Dataset,
    /// The location, for people.
    pub place: String,
    /// Its record in the store; `None` for a folder.
    pub fitted: Option<Fitted>,
}

#[derive(Serialize, Deserialize)]
struct Latest {
    version: u32,
    recipe: Hash,
    subject: Subject,
}

/// The record of a fitted model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    version: u32,
    /// How it was fitted.
    pub recipe: Hash,
    /// The dataset.
    pub subject: Subject,
    /// When it was fitted first, in seconds since 1970; 0 if that is not known.
    pub fitted_s: i64,
    /// The runs that fitted it.
    #[serde(default)]
    pub runs: Vec<String>,
}

impl Fitted {
    fn of(key: &ArtifactKey, fitted_s: i64) -> Self {
        let (recipe, subject) = (key.recipe, key.subject.clone());
        Fitted { version: RUN_VERSION, recipe, subject, fitted_s, runs: Vec::new() }
    }

    /// Returns the short name: of the recipe and of the dataset's content.
    #[must_use]
    pub fn id(&self) -> String {
        let (recipe, content) = (self.recipe.short(), self.subject.content.short());
        format!("{}-{}", &recipe[..8], &content[..8])
    }

    /// Returns when it was fitted, for people.
    #[must_use]
    pub fn time(&self) -> Option<String> {
        let time = jiff::Timestamp::from_second(self.fitted_s).ok().filter(|_| self.fitted_s > 0)?;
        Some(time.strftime("%Y-%m-%d %H:%M UTC").to_string())
    }

    /// Returns the key of its files.
    #[must_use]
    pub fn key(&self) -> ArtifactKey {
        ArtifactKey { kind: ArtifactKind::Model, recipe: self.recipe, subject: self.subject.clone() }
    }

    fn record(&self) -> String {
        format!("{FITTED}{}.json", self.id())
    }
}

/// Which fitted model a query wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The one fitted last.
    Latest,
    /// The one of a run, by its id.
    Run(String),
    /// The one with this id, or with an id that begins like this.
    Id(String),
}

/// Makes this model the default of `predict` and `recommend`, and records it. Warns where that
/// replaces the default model of another dataset.
pub async fn point_to(store: &dyn ObjectStore, key: &ArtifactKey, run: Option<&str>) -> Result<()> {
    let mut fitted = Fitted::of(key, jiff::Timestamp::now().as_second());
    if let Some(earlier) = run::get_json::<Fitted>(store, &fitted.record()).await? {
        (fitted.fitted_s, fitted.runs) = (earlier.fitted_s, earlier.runs);
    }
    fitted.runs.extend(run.filter(|run| !fitted.runs.iter().any(|known| known == run)).map(str::to_owned));
    run::put_json(store, &fitted.record(), &fitted).await?;
    let earlier: Option<Latest> = run::get_json(store, LATEST).await?;
    if let Some(earlier) = earlier.filter(|earlier| earlier.subject.id != key.subject.id) {
        let key = ArtifactKey { kind: ArtifactKind::Model, recipe: earlier.recipe, subject: earlier.subject };
        let earlier = Fitted::of(&key, 0);
        tracing::warn!(
            "predict and recommend answer from the model of the dataset {} now; for the one of the dataset {} use --fitted {}",
            fitted.subject.id,
            earlier.subject.id,
            earlier.id()
        );
    }
    let latest = Latest { version: RUN_VERSION, recipe: key.recipe, subject: key.subject.clone() };
    run::put_json(store, LATEST, &latest).await
}

/// Returns the records of the fitted models, newest first, and which of them is the default.
pub async fn all(store: &dyn ObjectStore) -> Result<(Vec<Fitted>, Option<String>)> {
    let mut found = Vec::new();
    let mut keys = store.list(FITTED);
    while let Some(object) = keys.try_next().await? {
        found.extend(run::get_json::<Fitted>(store, &object.key).await?);
    }
    let latest: Option<Latest> = run::get_json(store, LATEST).await?;
    let latest = latest
        .map(|of| Fitted::of(&ArtifactKey { kind: ArtifactKind::Model, recipe: of.recipe, subject: of.subject }, 0));
    // A model fitted by an earlier program has no record of its own.
    if let Some(latest) = latest.as_ref().filter(|latest| !found.iter().any(|one: &Fitted| one.id() == latest.id())) {
        found.push(latest.clone());
    }
    found.sort_by(|a, b| b.fitted_s.cmp(&a.fitted_s).then_with(|| a.id().cmp(&b.id())));
    Ok((found, latest.map(|latest| latest.id())))
}

/// Reads a fitted model.
///
/// # Errors
/// NotFound when nothing of that kind was fitted; InvalidInput when an id fits several models, or a
/// file or record is damaged.
pub async fn read(store: &dyn ObjectStore, wanted: &Wanted) -> Result<Stored> {
    open(store, &find(store, wanted).await?).await
}

/// Reads the dataset that a fitted model was fitted on.
///
/// # Errors
/// Those of [`read`].
pub async fn dataset(store: &dyn ObjectStore, wanted: &Wanted) -> Result<Dataset> {
    let place = dataset_key(&find(store, wanted).await?.subject.content);
    let bytes = store.get(&place).await.map_err(|e| e.context("the dataset of the fitted model"))?;
    parse(&bytes, &place)
}

/// The parts of a fitted model.
#[derive(Debug, Default)]
pub struct Parts {
    /// Its models, as `classifier on genre` and `ensemble for pairs`.
    pub models: Vec<String>,
    /// What could not be fitted.
    pub left_out: Vec<LeftOutPart>,
}

/// Returns the parts of a fitted model; none if it cannot be read.
///
/// # Errors
/// The store's, except for a record or card that is missing or damaged.
pub async fn parts_of(store: &dyn ObjectStore, fitted: &ArtifactKey) -> Result<Parts> {
    fn unreadable<T>(e: Error) -> Result<Option<T>> {
        match e.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidInput => Ok(None),
            _ => Err(e),
        }
    }
    let Some(record) = artifact::committed(store, fitted).await.or_else(unreadable)? else {
        return Ok(Parts::default());
    };
    let card = artifact::read_file(store, &record, "model.json").await.map(Some).or_else(unreadable)?;
    let card: Option<serde_json::Value> = card.and_then(|card| serde_json::from_slice(&card).ok());
    Ok(card.map_or_else(Parts::default, |card| Parts {
        models: models_in(&card),
        left_out: serde_json::from_value(card["left_out"].clone()).unwrap_or_default(),
    }))
}

fn models_in(card: &serde_json::Value) -> Vec<String> {
    let cell = &card["network"]["cell"];
    let network =
        cell["model"].as_str().map(str::to_owned).or_else(|| cell["model"]["kind"].as_str().map(str::to_owned));
    let on =
        cell["modality"].as_str().map_or_else(String::new, |modality| format!(" on {}", modality.replace('_', "+")));
    let mut models: Vec<String> = network.map(|network| format!("{network}{on}")).into_iter().collect();
    let ensembles = card["honest"].as_array().into_iter().flatten();
    models.extend(ensembles.filter_map(|one| Some(format!("ensemble for {}", one["regime"]["kind"].as_str()?))));
    models
}

/// Finds the record of a fitted model.
async fn find(store: &dyn ObjectStore, wanted: &Wanted) -> Result<Fitted> {
    let (found, default) = all(store).await?;
    let list = "list them with `jhalak models ls --fitted`";
    let fitted = match wanted {
        Wanted::Latest => default.and_then(|id| found.iter().find(|one| one.id() == id)).ok_or_else(|| nothing(store)),
        Wanted::Run(run) => {
            let fits = |one: &&Fitted| one.runs.iter().any(|known| known == run);
            found.iter().find(fits).ok_or_else(|| {
                Error::not_found(format!("the run {run} has no fitted model in {}: {list}", store.url()))
            })
        }
        Wanted::Id(id) => {
            let fits: Vec<&Fitted> = found.iter().filter(|one| !id.is_empty() && one.id().starts_with(id)).collect();
            match fits.as_slice() {
                [one] => Ok(*one),
                [] => Err(Error::not_found(format!("no fitted model {id} in {}: {list}", store.url()))),
                several => {
                    let ids: Vec<String> = several.iter().map(|one| one.id()).collect();
                    Err(Error::invalid(format!(
                        "several fitted models begin with {id}: name one of {}",
                        ids.join(", ")
                    )))
                }
            }
        }
    };
    fitted.cloned()
}

fn nothing(store: &dyn ObjectStore) -> Error {
    Error::not_found(format!(
        "the store {} has no fitted model: start `jhalak fit --dataset DIR` with this store first, or name a folder with --model-dir",
        store.url()
    ))
}

async fn open(store: &dyn ObjectStore, fitted: &Fitted) -> Result<Stored> {
    let key = fitted.key();
    let record = artifact::committed(store, &key).await?.ok_or_else(|| nothing(store))?;
    let mut files = BTreeMap::new();
    for file in &record.files {
        files.insert(file.name.clone(), artifact::read_file(store, &record, &file.name).await?.to_vec());
    }
    let place = dataset_key(&key.subject.content);
    let bytes = store.get(&place).await.map_err(|e| e.context("the dataset of the fitted model"))?;
    let dataset = parse(&bytes, &place)?;
    let place = format!("{}/{}", store.url().trim_end_matches('/'), key.folder());
    Ok(Stored { files, dataset, place, fitted: Some(fitted.clone()) })
}

/// Reads the fitted model at this folder, which a report names by its address in the store.
///
/// # Errors
/// NotFound if the store has no such model; InvalidInput if a file or record is damaged.
pub async fn at(store: &dyn ObjectStore, folder: &str) -> Result<Stored> {
    let missing = || Error::not_found(format!("the store {} has no model at {folder}: fit it again", store.url()));
    let place = folder.find("artifacts/model/").map(|at| folder[at..].trim_end_matches('/')).ok_or_else(missing)?;
    let key = format!("{place}/commit.json");
    let bytes = store.get(&key).await.map_err(|e| if e.kind() == ErrorKind::NotFound { missing() } else { e })?;
    let damaged = |e| Error::invalid(format!("{key} is damaged: fit the model again")).with_source(e);
    let value = serde_json::from_slice(&bytes).map_err(damaged)?;
    check_version(&value, COMMIT_VERSION, &key)?;
    let record: CommitRecord = serde_json::from_value(value).map_err(damaged)?;
    let mut files = BTreeMap::new();
    for file in &record.files {
        files.insert(file.name.clone(), artifact::read_file(store, &record, &file.name).await?.to_vec());
    }
    let place = dataset_key(&record.subject.content);
    let bytes = store.get(&place).await.map_err(|e| e.context("the dataset of the fitted model"))?;
    Ok(Stored { files, dataset: parse(&bytes, &place)?, place: folder.to_owned(), fitted: None })
}

/// Reads the model in a folder that `jhalak fit --out` wrote.
///
/// # Errors
/// InvalidInput when a file is missing or damaged, or when the model was fitted on another dataset.
pub fn in_folder(folder: &Path) -> Result<Stored> {
    let cannot = |e: std::io::Error| {
        let kind =
            if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::InvalidInput } else { Error::from(e).kind() };
        Error::new(
            kind,
            format!("the model folder {} cannot be read: `jhalak fit --out DIR` writes one", folder.display()),
        )
    };
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_file() && path.metadata().is_ok_and(|meta| meta.len() <= MAX_FILE_BYTES) {
            let bytes = std::fs::read(&path).map_err(|e| Error::from(e).context(path.display().to_string()))?;
            files.insert(name.to_owned(), bytes);
        }
    }
    let place = folder.join(DATASET_FILE);
    let bytes = files.remove(DATASET_FILE).ok_or_else(|| {
        Error::invalid(format!("{} is missing: `jhalak fit --out DIR` writes it with the model", place.display()))
    })?;
    let dataset = parse(&bytes, &place.display().to_string())?;
    let fitted_on = files
        .get("model.json")
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok())
        .and_then(|model| model["dataset_content"].as_str().map(str::to_owned));
    if fitted_on.is_some_and(|content| content != hash::of_bytes(&bytes).to_string()) {
        return Err(Error::invalid(format!(
            "{} is not the dataset that the model was fitted on: fit again",
            place.display()
        )));
    }
    Ok(Stored { files, dataset, place: folder.display().to_string(), fitted: None })
}

/// Whether a file of this name may be one of a stored model.
fn is_of_model(name: &str) -> bool {
    let known = [DATASET_FILE, "model.json", "README.md", "model.safetensors", "embeddings.safetensors", "model.onnx"];
    let ensemble = name.starts_with("honest-") && name.ends_with(".msgpack");
    let head = name.starts_with("head-") && name.ends_with(".onnx");
    known.contains(&name) || ["statistics.json", "check.json", "watch.msgpack"].contains(&name) || ensemble || head
}

/// Creates the folder for a model if it is missing, and returns the names of an earlier model's
/// files in it.
///
/// # Errors
/// InvalidInput if it holds anything else than a model; otherwise the error of the file system.
pub fn check_folder(folder: &Path) -> Result<Vec<String>> {
    let within = |e: std::io::Error| cannot_write(folder, e);
    std::fs::create_dir_all(folder).map_err(within)?;
    let entries = std::fs::read_dir(folder).map_err(within)?.collect::<Result<Vec<_>, _>>().map_err(within)?;
    let names: Vec<String> = entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let is_model = names.is_empty() || names.iter().any(|name| name == DATASET_FILE);
    match names.iter().find(|name| !is_model || !is_of_model(name)) {
        None => Ok(names),
        Some(other) => Err(Error::invalid(format!(
            "{} holds other files than a model, such as {other}: name an empty folder",
            folder.display()
        ))),
    }
}

/// Writes the files of a model and its dataset into a folder, and creates the folder. An earlier
/// model in it is replaced, and its further files are removed.
///
/// # Errors
/// Those of [`check_folder`].
pub fn write_folder(folder: &Path, files: &BTreeMap<String, Vec<u8>>, dataset: &[u8]) -> Result<()> {
    let within = |e: std::io::Error| cannot_write(folder, e);
    for earlier in check_folder(folder)? {
        if earlier != DATASET_FILE && !files.contains_key(&earlier) {
            std::fs::remove_file(folder.join(&earlier)).map_err(within)?;
        }
    }
    for (name, bytes) in files {
        std::fs::write(folder.join(name), bytes).map_err(within)?;
    }
    std::fs::write(folder.join(DATASET_FILE), dataset).map_err(within)
}

fn parse(bytes: &[u8], place: &str) -> Result<Dataset> {
    serde_json::from_slice(bytes).map_err(|e| Error::invalid(format!("{place} is damaged: fit again")).with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::empty_store;

    fn key(dataset: &str, seed: &str) -> ArtifactKey {
        let subject = Subject { id: dataset.into(), content: hash::of_bytes(dataset.as_bytes()) };
        ArtifactKey { kind: ArtifactKind::Model, recipe: hash::of_bytes(seed.as_bytes()), subject }
    }

    #[tokio::test]
    async fn the_model_fitted_last_is_the_default_and_each_run_is_recorded_once() {
        let (_folder, store) = empty_store();
        let store = store.as_ref();
        let (first, second) = (key("films", "1"), key("shows", "2"));
        for (key, run) in [(&first, Some("a")), (&second, None), (&first, Some("a")), (&first, Some("b"))] {
            point_to(store, key, run).await.expect("room on disk");
        }
        let (found, default) = all(store).await.expect("a store");
        let of = |key: &ArtifactKey| found.iter().find(|one| one.key() == *key).expect("a record");
        assert_eq!((found.len(), default), (2, Some(of(&first).id())));
        assert_eq!((&of(&first).runs, &of(&second).runs), (&vec!["a".to_owned(), "b".to_owned()], &Vec::new()));
        assert!(of(&first).time().is_some());

        let missing = async |wanted: Wanted| read(store, &wanted).await.map(|_| ()).expect_err("no files").to_string();
        assert!(missing(Wanted::Run("c".into())).await.contains("the run c has no fitted model"));
        assert!(missing(Wanted::Id("no-such".into())).await.contains("no fitted model no-such"));
        assert!(missing(Wanted::Id(String::new())).await.contains("no fitted model"));
    }

    #[test]
    fn a_folder_without_its_dataset_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let refused = |folder: &Path| in_folder(folder).map(|_| ()).expect_err("not a model").to_string();
        assert!(refused(&folder.path().join("none")).contains("`jhalak fit --out DIR` writes one"));
        assert!(refused(folder.path()).contains("dataset.json is missing"));
        std::fs::write(folder.path().join("notes.txt"), "mine").expect("room on disk");
        let error = write_folder(folder.path(), &BTreeMap::new(), b"{}").expect_err("a folder of others").to_string();
        assert!(error.contains("name an empty folder"), "{error}");
    }

    #[test]
    fn a_model_folder_holds_one_model_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("m");
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), vec![1])).collect();
        let held = || {
            let entries = std::fs::read_dir(&place).expect("a folder").map(|e| e.expect("readable").file_name());
            entries.map(|name| name.to_string_lossy().into_owned()).collect::<std::collections::BTreeSet<_>>()
        };
        let first: BTreeMap<_, _> = files(&["model.json", "model.onnx", "honest-users.msgpack", "head-video.onnx"]);
        write_folder(&place, &first, b"{}").expect("a new folder");
        write_folder(&place, &files(&["model.json", "honest-pairs.msgpack"]), b"{}").expect("an earlier model");
        assert_eq!(held(), ["dataset.json", "honest-pairs.msgpack", "model.json"].map(str::to_owned).into());
        std::fs::write(place.join("notes.txt"), "mine").expect("room on disk");
        assert!(write_folder(&place, &first, b"{}").expect_err("a file of others").to_string().contains("notes.txt"));
        let file = folder.path().join("m/model.json");
        assert_eq!(check_folder(&file).expect_err("a file").kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn every_file_of_a_model_is_known_as_one() {
        for name in include_str!("../../../worker/recommend/src/serving/files.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split('`').next())
        {
            assert!(is_of_model(name), "{name}");
        }
    }
}
