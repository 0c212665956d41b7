//! Encodes and decodes the files of a fitted model.
//!
//! | file | holds |
//! |---|---|
//! | `model.json` | the model card for programs, and what a reader needs first |
//! | `README.md` | the model card for people |
//! | `model.safetensors` | every weight of the network and of its genre heads |
//! | `embeddings.safetensors` | the network's embedding of each movie, and which movies have one |
//! | `statistics.json` | mean and scale of each input, label counts, genre vocabulary |
//! | `model.onnx` | the network, with standardisation |
//! | `head-NAME.onnx` | the genre head of a modality, from a raw embedding to the network's input |
//! | `check.json` | inputs of a few pairs, and the probabilities that any runtime must return |
//! | `honest-pairs.msgpack` | the ensemble for known viewers and movies |
//! | `honest-movies.msgpack` | the ensemble for unrated movies |
//! | `honest-users.msgpack` | the ensemble for new viewers |
//! | `watch.msgpack` | weights between movies, for lists of what is watched next |
//!
//! The ensemble files hold members and stack; features are learned again from the dataset.

use super::description::{Card, Description, NetworkDescription, SideDescription, VERSION};
use super::export;
use super::network::{FittedNetwork, Head, Side, empty_network, head_kind, names};
use crate::RecommendError;
use crate::ensemble::{ColdStart, StoredEnsemble};
use crate::features::embedding::EmbeddingTable;
use crate::networks::genre_head::{GenreHead, HeadSettings};
use crate::ranking::WatchModel;
use jhalak_common::dataset::Dataset;
use jhalak_common::hash;
use jhalak_nn::{Parameter, seeded};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The file to read first.
pub const MODEL: &str = "model.json";
const CARD: &str = "README.md";
const WEIGHTS: &str = "model.safetensors";
const EMBEDDINGS: &str = "embeddings.safetensors";
const STATISTICS: &str = "statistics.json";
const ONNX: &str = "model.onnx";
const CHECK: &str = "check.json";
const ENSEMBLES: [&str; 3] = ["honest-pairs.msgpack", "honest-movies.msgpack", "honest-users.msgpack"];

const WATCH: &str = "watch.msgpack";

/// Number of pairs in `check.json`.
const CHECKED: usize = 16;

/// The files of a model by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// `statistics.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Statistics {
    version: u32,
    /// Ratings of dislike, neutral, like.
    label_counts: [u64; 3],
    /// The genre vocabulary, in the order of genre vectors.
    genres: Vec<String>,
    /// Inputs of each modality; empty lists where they are not standardised.
    inputs: BTreeMap<String, InputStatistics>,
}

/// Standardisation of one modality: the network reads `(x - mean) * scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InputStatistics {
    movie_mean: Vec<f32>,
    movie_scale: Vec<f32>,
    user_mean: Vec<f32>,
    user_scale: Vec<f32>,
}

/// `check.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Inputs of `model.onnx` by name, one row for each pair.
    pub inputs: BTreeMap<String, Vec<Vec<f32>>>,
    /// Outputs: dislike, neutral, like.
    pub probabilities: Vec<[f32; 3]>,
}

/// Encodes the files of fitted models.
///
/// # Errors
/// [`RecommendError::Stored`]: a value that does not serialise, which is a bug.
pub fn encode(
    dataset: &Dataset,
    card: &Card,
    network: Option<&mut FittedNetwork>,
    ensembles: &[StoredEnsemble],
    watch: Option<&WatchModel>,
) -> Result<Files, RecommendError> {
    let mut files = Files::new();
    let described = network.as_ref().map(|fitted| NetworkDescription {
        cell: fitted.spec.clone(),
        sides: fitted.sides.iter().map(describe).collect(),
        training: fitted.training.clone(),
    });
    for stored in ensembles {
        let name = match stored.cold_start() {
            ColdStart::None => ENSEMBLES[0],
            ColdStart::Item => ENSEMBLES[1],
            ColdStart::User { .. } => ENSEMBLES[2],
        };
        files.insert(name.into(), rmp_serde::to_vec_named(stored).map_err(broken)?);
    }
    if let Some(watch) = watch {
        files.insert(WATCH.into(), rmp_serde::to_vec_named(watch).map_err(broken)?);
    }
    if let Some(fitted) = network {
        files.insert(WEIGHTS.into(), weights(fitted, metadata(card)?)?);
        files.insert(EMBEDDINGS.into(), embeddings(fitted, metadata(card)?)?);
        files.insert(STATISTICS.into(), json(&statistics(dataset, fitted))?);
        files.insert(CHECK.into(), json(&check(dataset, fitted))?);
        files.insert(ONNX.into(), export::network(fitted));
        for side in 0..fitted.sides.len() {
            if let Some(head) = export::head(fitted, side) {
                files.insert(format!("head-{}.onnx", fitted.sides[side].name), head);
            }
        }
    }
    let readme = card.markdown(described.as_ref()).into_bytes();
    let hashes = files.iter().map(|(name, bytes)| (name.clone(), hash::of_bytes(bytes))).collect();
    let description = Description { version: VERSION, card: card.clone(), network: described, files: hashes };
    files.insert(MODEL.into(), json(&description)?);
    files.insert(CARD.into(), readme);
    Ok(files)
}

/// Reads `model.json`, and checks the hashes of the files that it lists.
///
/// # Errors
/// A file that is missing, damaged or of another version.
pub fn description(files: &Files) -> Result<Description, RecommendError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } = read(files, MODEL)?;
    if version > VERSION {
        let reason =
            format!("has version {version}, and this program reads only {VERSION}: use a newer program, or fit again");
        return Err(damaged(MODEL, &reason));
    }
    if version < VERSION {
        return Err(damaged(MODEL, "was written by an older program: fit again"));
    }
    let description: Description = read(files, MODEL)?;
    for (name, hash) in &description.files {
        let bytes = files.get(name).ok_or_else(|| damaged(name, "is missing"))?;
        if hash::of_bytes(bytes) != *hash {
            return Err(damaged(name, "is not what was fitted: fit again"));
        }
    }
    Ok(description)
}

/// Reads the network.
///
/// # Errors
/// A file that is missing or damaged.
pub fn network(files: &Files, description: &NetworkDescription) -> Result<FittedNetwork, RecommendError> {
    let spec = description.cell.clone();
    let bytes = files.get(EMBEDDINGS).ok_or_else(|| damaged(EMBEDDINGS, "is missing"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(EMBEDDINGS, &e.to_string()))?;
    let statistics: Statistics = read(files, STATISTICS)?;
    let mut sides = Vec::new();
    for (&name, side) in names(spec.modality).iter().zip(&description.sides) {
        let numbers = floats(&tensors, name).ok_or_else(|| damaged(EMBEDDINGS, &format!("has no tensor {name}")))?;
        let there = tensors.tensor(&format!("{name}.there")).map_err(|e| damaged(EMBEDDINGS, &e.to_string()))?;
        let rows = numbers.chunks_exact(side.dim.max(1)).zip(there.data());
        let rows = rows.map(|(row, &there)| (there == 1).then(|| row.to_vec())).collect();
        let head = match (side.raw_dim, head_kind(&spec, name)) {
            (Some(inputs), Some(kind)) => {
                let settings = HeadSettings::published(kind, spec.edition);
                let head = GenreHead::new(&settings, inputs, statistics.genres.len(), &mut seeded(0, 0));
                Some(Head { kind, head, inputs })
            }
            _ => None,
        };
        let inputs = statistics.inputs.get(name).ok_or_else(|| damaged(STATISTICS, &format!("has no {name}")))?;
        let pairs = |mean: &[f32], scale: &[f32]| mean.iter().copied().zip(scale.iter().copied()).collect();
        let scaling = [pairs(&inputs.movie_mean, &inputs.movie_scale), pairs(&inputs.user_mean, &inputs.user_scale)];
        if scaling.iter().any(|s: &Vec<_>| !s.is_empty() && s.len() != side.dim) {
            return Err(damaged(STATISTICS, &format!("does not have {} numbers of {name}", side.dim)));
        }
        sides.push(Side { name, head, table: EmbeddingTable { dim: side.dim, rows }, scaling });
    }
    let dims: Vec<usize> = sides.iter().map(|side| side.table.dim).collect();
    let network = empty_network(&spec, &dims)?;
    let mut fitted = FittedNetwork { spec, sides, network, training: description.training.clone() };
    let bytes = files.get(WEIGHTS).ok_or_else(|| damaged(WEIGHTS, "is missing"))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| damaged(WEIGHTS, &e.to_string()))?;
    let mut wrong = None;
    fitted.parameters(&mut |name, parameter| match floats(&tensors, name) {
        Some(numbers) if numbers.len() == parameter.value.len() => parameter.value = numbers,
        _ => wrong = Some(name.to_owned()),
    });
    match wrong {
        Some(name) => Err(damaged(WEIGHTS, &format!("has no tensor {name} of the right shape"))),
        None => Ok(fitted),
    }
}

/// Reads the ensembles that `model.json` lists, and ignores files of an earlier fit.
///
/// # Errors
/// A damaged file.
pub fn ensembles(files: &Files, description: &Description) -> Result<Vec<StoredEnsemble>, RecommendError> {
    let named = ENSEMBLES.iter().filter(|name| description.files.contains_key(**name));
    let stored = named.filter_map(|name| files.get(*name).map(|bytes| (name, bytes)));
    stored.map(|(name, bytes)| rmp_serde::from_slice(bytes).map_err(|e| damaged(name, &e.to_string()))).collect()
}

/// Reads the model of what is watched next; `None` for a fit by an earlier program.
///
/// # Errors
/// A damaged file, or one of another catalogue.
pub fn watch(files: &Files, description: &Description, movies: usize) -> Result<Option<WatchModel>, RecommendError> {
    let Some(bytes) = files.get(WATCH).filter(|_| description.files.contains_key(WATCH)) else { return Ok(None) };
    let model: WatchModel = rmp_serde::from_slice(bytes).map_err(|e| damaged(WATCH, &e.to_string()))?;
    model.check(movies).map_err(|reason| damaged(WATCH, &reason))?;
    Ok(Some(model))
}

fn describe(side: &Side) -> SideDescription {
    let raw_dim = side.head.as_ref().map(|head| head.inputs);
    SideDescription { name: side.name.to_owned(), dim: side.table.dim, raw_dim }
}

fn weights(fitted: &mut FittedNetwork, about: HashMap<String, String>) -> Result<Vec<u8>, RecommendError> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    fitted.parameters(&mut |name: &str, parameter: &mut Parameter| {
        tensors.push((name.to_owned(), vec![parameter.value.len()], bytes(&parameter.value)));
    });
    // A linear weight has as many outputs as its bias; weight and bias of a layer norm are equally
    // long.
    let lengths: BTreeMap<String, usize> = tensors.iter().map(|(name, shape, _)| (name.clone(), shape[0])).collect();
    for (name, shape, _) in &mut tensors {
        let bias = name.strip_suffix(".weight").and_then(|layer| lengths.get(&format!("{layer}.bias")));
        if let Some(&outputs) = bias.filter(|&&outputs| outputs > 0 && shape[0] > outputs) {
            *shape = vec![outputs, shape[0] / outputs];
        }
    }
    let mut views = Vec::new();
    for (name, shape, data) in &tensors {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), data).map_err(broken)?));
    }
    safetensors::serialize(views, Some(about)).map_err(broken)
}

fn embeddings(fitted: &FittedNetwork, about: HashMap<String, String>) -> Result<Vec<u8>, RecommendError> {
    let mut files = Vec::new();
    let mut there = Vec::new();
    for Side { name, table, .. } in &fitted.sides {
        let mut numbers = Vec::with_capacity(table.rows.len() * table.dim * size_of::<f32>());
        for row in table.rows.iter() {
            match row {
                Some(row) => row.iter().for_each(|x| numbers.extend_from_slice(&x.to_le_bytes())),
                None => numbers.resize(numbers.len() + table.dim * size_of::<f32>(), 0),
            }
        }
        files.push(((*name).to_owned(), vec![table.rows.len(), table.dim], numbers));
        let flags = table.rows.iter().map(|row| u8::from(row.is_some())).collect::<Vec<u8>>();
        there.push((format!("{name}.there"), vec![table.rows.len()], flags));
    }
    let mut views = Vec::new();
    for (name, shape, data) in &files {
        views.push((name, TensorView::new(Dtype::F32, shape.clone(), data).map_err(broken)?));
    }
    for (name, shape, data) in &there {
        views.push((name, TensorView::new(Dtype::U8, shape.clone(), data).map_err(broken)?));
    }
    safetensors::serialize(views, Some(about)).map_err(broken)
}

/// Returns the metadata of a safetensors file: the card of the model, under one key, so that the
/// order of the bytes never changes.
fn metadata(card: &Card) -> Result<HashMap<String, String>, RecommendError> {
    Ok(HashMap::from([("jhalak".to_owned(), serde_json::to_string(card).map_err(broken)?)]))
}

fn statistics(dataset: &Dataset, fitted: &FittedNetwork) -> Statistics {
    let of = |side: &Side| {
        let split = |which: usize| side.scaling[which].iter().copied().unzip();
        let ((movie_mean, movie_scale), (user_mean, user_scale)) = (split(0), split(1));
        (side.name.to_owned(), InputStatistics { movie_mean, movie_scale, user_mean, user_scale })
    };
    Statistics {
        version: VERSION,
        label_counts: dataset.label_counts(),
        genres: dataset.genres.clone(),
        inputs: fitted.sides.iter().map(of).collect(),
    }
}

/// Returns the inputs of a few pairs, evenly spread over the ratings, and their predictions.
fn check(dataset: &Dataset, fitted: &mut FittedNetwork) -> Check {
    let ratings: Vec<_> = dataset.ratings.iter().filter(|rating| fitted.has(rating.movie)).copied().collect();
    let mut check = Check { inputs: BTreeMap::new(), probabilities: Vec::new() };
    let step = (ratings.len() / CHECKED).max(1);
    for rating in ratings.iter().step_by(step).take(CHECKED) {
        let (inputs, samples) = fitted.inputs(dataset, rating.user, &[rating.movie]);
        for (i, side) in fitted.sides.iter().enumerate() {
            let (movie, gl, user) = inputs.parts(i, samples[0]);
            let mut put = |name: String, row: &[f32]| check.inputs.entry(name).or_default().push(row.to_vec());
            put(format!("{}_movie", side.name), movie);
            put(format!("{}_user", side.name), user);
            if i == 0 {
                put("gl".to_owned(), &[gl]);
            }
        }
        check.probabilities.extend(fitted.predict(dataset, rating.user, &[rating.movie]));
    }
    check
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Option<Vec<f32>> {
    let tensor = tensors.tensor(name).ok().filter(|tensor| tensor.dtype() == Dtype::F32)?;
    Some(tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, RecommendError> {
    serde_json::to_vec_pretty(value).map_err(broken)
}

fn read<T: DeserializeOwned>(files: &Files, name: &str) -> Result<T, RecommendError> {
    let bytes = files.get(name).ok_or_else(|| damaged(name, "is missing"))?;
    serde_json::from_slice(bytes).map_err(|e| damaged(name, &e.to_string()))
}

fn damaged(name: &str, reason: &str) -> RecommendError {
    RecommendError::Stored { file: name.to_owned(), reason: reason.to_owned() }
}

fn broken(error: impl std::fmt::Display) -> RecommendError {
    RecommendError::Stored { file: "of the model".to_owned(), reason: format!("does not serialise: {error}") }
}
