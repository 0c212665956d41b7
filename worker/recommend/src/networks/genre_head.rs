//! The paper's genre heads: a small network from a raw embedding to the movie's genres, whose layer
//! of 512 units is the embedding.

use crate::RecommendError;
use crate::features::embedding::EmbeddingTable;
use jhalak_common::evaluation::Edition;
use jhalak_nn::{
    Activation, CheckpointStore, FitSettings, History, LayerNorm, Linear, Mlp, Optimiser, OptimizerState, Parameter,
    Random, Schedule, Trainable, binary_cross_entropy, fit_resumed, seeded, shuffle,
};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;

/// Streams of the head's seed.
const WEIGHTS: u64 = 0;
const VALIDATION: u64 = 1;
/// Movies of an embedding batch.
const BATCH: usize = 64;

/// The two heads of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// Linear to 512, LayerNorm, Linear to the genres; the embedding is the output of the first
    /// layer.
    Video,
    /// Three layers of 512 with tanh, one to the genres; the embedding is the output of the third.
    Audio,
}

/// Size and training of a head.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSettings {
    /// Which head.
    pub kind: HeadKind,
    /// Length of the embedding: 512.
    pub width: usize,
    /// Its training settings.
    pub fit: FitSettings,
    /// Share of the movies that chooses the epoch to keep; 0 keeps the last one.
    pub validation: f64,
}

impl HeadSettings {
    /// Returns the published settings. Video: Adam; in the notebook OneCycle up to 0.1, batch 1, 40
    /// epochs; in the paper's text 100 epochs (rate and batch are not printed: 1e-3 and 16, as for
    /// audio). Audio, in both editions: Adam at 1e-3, batch 16, 100 epochs, a tenth for validation.
    /// The loss is binary cross entropy in both: the text's "categorical" cannot fit movies of
    /// several genres.
    #[must_use]
    pub const fn published(kind: HeadKind, edition: Edition) -> Self {
        let optimiser = Optimiser::adam();
        match (kind, edition) {
            (HeadKind::Video, Edition::Paper) => {
                let schedule = Schedule::Constant { rate: 1e-3 };
                let fit = FitSettings { optimiser, schedule, batch: 16, epochs: 100, patience: None };
                Self { kind, width: 512, fit, validation: 0.0 }
            }
            (HeadKind::Video, Edition::Notebook) => {
                let schedule = Schedule::OneCycle { max_rate: 0.1 };
                let fit = FitSettings { optimiser, schedule, batch: 1, epochs: 40, patience: None };
                Self { kind, width: 512, fit, validation: 0.0 }
            }
            (HeadKind::Audio, _) => {
                let schedule = Schedule::Constant { rate: 1e-3 };
                let fit = FitSettings { optimiser, schedule, batch: 16, epochs: 100, patience: None };
                Self { kind, width: 512, fit, validation: 0.1 }
            }
        }
    }
}

/// A genre head.
#[derive(Clone, Debug)]
pub enum GenreHead {
    /// See [`HeadKind::Video`].
    Video(Box<VideoHead>),
    /// See [`HeadKind::Audio`].
    Audio(Mlp),
}

/// Linear, LayerNorm, Linear.
#[derive(Clone, Debug)]
pub struct VideoHead {
    first: Linear,
    norm: LayerNorm,
    last: Linear,
}

/// Buffers of forward and backward passes.
#[derive(Clone, Debug, Default)]
struct Buffers {
    input: Vec<f32>,
    hidden: Vec<f32>,
    normalised: Vec<f32>,
    logits: Vec<f32>,
    gradient: Vec<f32>,
    dhidden: Vec<f32>,
}

/// Trains a head on `movies` (indexes of rows, which must exist) to predict their genres.
///
/// Both tables have one row for each movie of the dataset. The result depends on `seed` alone.
/// `resume` holds the checkpoint store and the checkpoint's name.
///
/// # Errors
/// A movie without a row, or a training that fails.
pub fn fit_head(
    raw: &EmbeddingTable,
    genres: &EmbeddingTable,
    movies: &[u32],
    settings: &HeadSettings,
    seed: u64,
    stop: &AtomicBool,
    resume: (&dyn CheckpointStore, &str),
) -> Result<(GenreHead, History), RecommendError> {
    if settings.width == 0 {
        return Err(RecommendError::Setting { setting: "head.width", reason: "must be at least 1".to_owned() });
    }
    if !(0.0..=0.5).contains(&settings.validation) {
        return Err(RecommendError::Setting { setting: "head.validation", reason: "must lie in [0, 0.5]".to_owned() });
    }
    if let Some(movie) = movies.iter().find(|&&movie| raw.row(movie).is_none() || genres.row(movie).is_none()) {
        return Err(RecommendError::Embedding {
            table: "head",
            reason: format!("movie {movie} to train on has no row"),
        });
    }
    let head = GenreHead::new(settings, raw.dim, genres.dim, &mut seeded(seed, WEIGHTS));
    let mut order = movies.to_vec();
    shuffle(&mut order, &mut seeded(seed, VALIDATION));
    let held = (settings.validation * order.len() as f64).ceil() as usize;
    let (validation, train) = order.split_at(held.min(order.len()));
    let mut training = HeadTraining { head, raw, genres, buffers: Buffers::default(), targets: Vec::new() };
    let history = fit_resumed(&mut training, train, validation, &settings.fit, seed, stop, resume)?;
    Ok((training.head, history))
}

impl GenreHead {
    /// Initialises a head from `inputs` numbers to `genres`.
    #[must_use]
    pub fn new(settings: &HeadSettings, inputs: usize, genres: usize, random: &mut Random) -> Self {
        let width = settings.width;
        match settings.kind {
            HeadKind::Video => {
                let first = Linear::new(inputs, width, random);
                Self::Video(Box::new(VideoHead {
                    first,
                    norm: LayerNorm::new(width),
                    last: Linear::new(width, genres, random),
                }))
            }
            HeadKind::Audio => {
                Self::Audio(Mlp::new(&[inputs, width, width, width, genres], Activation::Tanh, false, random))
            }
        }
    }

    /// Embeds every movie that has a row in `raw`.
    #[must_use]
    pub fn embed(&mut self, raw: &EmbeddingTable) -> EmbeddingTable {
        let present: Vec<u32> =
            (0..raw.rows.len()).filter_map(|i| u32::try_from(i).ok()).filter(|&i| raw.row(i).is_some()).collect();
        let mut out = EmbeddingTable { dim: 0, rows: vec![None; raw.rows.len()].into() };
        let mut buffers = Buffers::default();
        for movies in present.chunks(BATCH) {
            gather(raw, movies, &mut buffers.input);
            self.forward(&mut buffers, movies.len());
            let embedding = match self {
                Self::Video(_) => buffers.hidden.as_slice(),
                Self::Audio(layers) => layers.layer_output(2),
            };
            out.dim = embedding.len() / movies.len();
            for (row, &movie) in embedding.chunks_exact(out.dim).zip(movies) {
                out.rows[movie as usize] = Some(row.to_vec());
            }
        }
        out
    }

    /// Visits every parameter by name, always in the same order.
    pub fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        match self {
            Self::Video(head) => {
                let VideoHead { first, norm, last } = head.as_mut();
                first.parameters("first", visit);
                norm.parameters("norm", visit);
                last.parameters("last", visit);
            }
            Self::Audio(layers) => layers.parameters("dense", visit),
        }
    }

    /// Writes the logits to `buffers.logits`.
    fn forward(&mut self, buffers: &mut Buffers, rows: usize) {
        match self {
            Self::Video(head) => {
                let VideoHead { first, norm, last } = head.as_mut();
                buffers.hidden.resize(rows * first.outputs(), 0.0);
                buffers.normalised.resize(rows * first.outputs(), 0.0);
                buffers.logits.resize(rows * last.outputs(), 0.0);
                first.forward(&buffers.input, rows, &mut buffers.hidden);
                norm.forward(&buffers.hidden, rows, &mut buffers.normalised, first.outputs());
                last.forward(&buffers.normalised, rows, &mut buffers.logits);
            }
            Self::Audio(layers) => {
                buffers.logits.clear();
                buffers.logits.extend_from_slice(layers.forward(&buffers.input, rows));
            }
        }
    }

    /// Takes the gradient by the logits from `buffers.logits`.
    fn backward(&mut self, buffers: &mut Buffers, rows: usize, optimizer: &mut OptimizerState) {
        let Buffers { input, normalised, logits, gradient, dhidden, .. } = buffers;
        match self {
            Self::Video(head) => {
                let VideoHead { first, norm, last } = head.as_mut();
                gradient.resize(rows * first.outputs(), 0.0);
                dhidden.resize(rows * first.outputs(), 0.0);
                last.backward(normalised, logits, rows, Some((gradient, false)), optimizer);
                norm.backward(gradient, first.outputs(), rows, dhidden, optimizer);
                first.backward(input, dhidden, rows, None, optimizer);
            }
            Self::Audio(layers) => layers.backward(input, logits, rows, None, optimizer),
        }
    }
}

/// A head with its movies.
struct HeadTraining<'a> {
    head: GenreHead,
    raw: &'a EmbeddingTable,
    genres: &'a EmbeddingTable,
    buffers: Buffers,
    targets: Vec<f32>,
}

impl Trainable for HeadTraining<'_> {
    fn step(&mut self, samples: &[u32], optimizer: &mut OptimizerState) -> (f64, f64) {
        let sums = self.evaluate(samples); // leaves the gradient in the logits' place
        self.head.backward(&mut self.buffers, samples.len(), optimizer);
        sums
    }

    fn evaluate(&mut self, samples: &[u32]) -> (f64, f64) {
        gather(self.raw, samples, &mut self.buffers.input);
        gather(self.genres, samples, &mut self.targets);
        self.head.forward(&mut self.buffers, samples.len());
        binary_cross_entropy(&mut self.buffers.logits, &self.targets)
    }

    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.head.parameters(visit);
    }
}

/// Copies the rows of these movies to `out`.
fn gather(table: &EmbeddingTable, movies: &[u32], out: &mut Vec<f32>) {
    out.clear();
    movies.iter().for_each(|&movie| out.extend_from_slice(table.row(movie).unwrap_or(&[])));
}
