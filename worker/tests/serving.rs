//! The ONNX files of a fitted model give the answers of the model itself, in ONNX Runtime.
//!
//! The library is the one that `scripts/setup.sh run` fetched; without it the test is skipped and
//! says so.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use jhalak_common::dataset::{Dataset, Label, Movie, Rating, User};
use jhalak_common::evaluation::{CellSpec, EmbeddingSource, FitSpec, Modality, Model, Split, UserEmbedding};
use jhalak_worker::recommend::features::embedding::{EmbeddingTable, Features};
use jhalak_worker::recommend::serving::{Check, Files, FitRequest, fit_all};
use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;

/// The tolerance for ONNX Runtime, which adds in another order.
const AGREEMENT: f32 = 1e-5;

/// Forty viewers with one liked and one disliked genre of four, and thirty movies.
fn dataset() -> Dataset {
    let genres: Vec<String> = ["Action", "Comedy", "Drama", "Music"].map(str::to_owned).to_vec();
    let movie = |i: usize| Movie { id: format!("tt{i:03}"), genres: vec![genres[i % 4].clone()], ..Movie::default() };
    let user = |i: usize| User { id: format!("u{i:03}"), ..User::default() };
    let rating = |user: u32, movie: u32| {
        let label = match (user + movie) % 4 {
            0 => Label::Like,
            1 => Label::Dislike,
            _ => Label::Neutral,
        };
        Rating { user, movie, label, half_stars: None }
    };
    let rated = |user: u32| (0..30).filter(move |movie| (user * 5 + movie * 3) % 7 < 3).map(move |m| rating(user, m));
    Dataset {
        name: "made".into(),
        synthetic: true,
        movies: (0..30).map(movie).collect(),
        users: (0..40).map(user).collect(),
        ratings: (0..40).flat_map(rated).collect(),
        times: Vec::new(),
        genres,
    }
}

/// Raw embeddings of two sizes; one movie has no sound.
fn features() -> Features {
    let table = |dim: usize, factor: usize| EmbeddingTable {
        dim,
        rows: (0..30)
            .map(|m| Some((0..dim).map(|i| ((m * factor + i * i) % 17) as f32 / 8.0 - 1.0).collect()))
            .collect(),
    };
    let mut audio = table(12, 5);
    audio.rows[4] = None;
    Features { video: Some(table(20, 3)), audio: Some(audio), ..Features::default() }
}

fn session(environment: &Environment, bytes: &[u8]) -> Session {
    Session::builder(environment).unwrap().commit_from_memory(bytes).unwrap()
}

/// Runs an ONNX file on rows of named inputs.
fn run(environment: &Environment, bytes: &[u8], inputs: &[(&str, &[Vec<f32>])], output: &str) -> Vec<f32> {
    let mut session = session(environment, bytes);
    let tensors: Vec<(String, Tensor<f32>)> = inputs
        .iter()
        .map(|(name, rows)| {
            let shape = [rows.len(), rows[0].len()];
            ((*name).to_owned(), Tensor::from_array((shape, rows.concat())).unwrap())
        })
        .collect();
    let outputs = session.run(tensors).unwrap();
    outputs[output].try_extract_tensor::<f32>().unwrap().1.to_vec()
}

fn assert_close(ours: &[f32], theirs: &[f32], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (place, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= AGREEMENT * b.abs().max(1.0), "{what}, number {place}: {a} against {b}");
    }
}

fn fit(modality: Modality, model: Model) -> Files {
    let dataset = dataset();
    let mut cell = CellSpec::strict(Split::Pairs, modality, model, UserEmbedding::All, true);
    cell.training.fit.epochs = 6;
    if modality != Modality::Genre {
        cell.embedding = EmbeddingSource::GenreHead;
    }
    let spec = FitSpec { network: Some(cell), ensembles: Vec::new(), trailers: None, seed: 1, left_out: vec![] };
    let (content, features) = ("hash".to_owned(), features());
    let request = FitRequest { dataset: &dataset, content, features: &features, tables: Vec::new(), spec: &spec };
    fit_all(&request, 1, &AtomicBool::new(false), |_| {}).unwrap()
}

#[test]
fn onnx_runtime_gives_the_fitted_models_answers() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local/onnxruntime/libonnxruntime.so");
    if !library.is_file() {
        println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", library.display());
        return;
    }
    let environment = ort::init_from(&library).unwrap().with_telemetry(false).build().unwrap();
    let models = [Model::Classifier { heads: 4 }, Model::Ann];
    for modality in [Modality::Genre, Modality::AudioVideo] {
        for model in models {
            let files = fit(modality, model);
            let what = format!("{modality} {}", model.name());
            let check: Check = serde_json::from_slice(&files["check.json"]).unwrap();
            assert_eq!(check.probabilities.len(), 16, "{what}");
            let inputs: Vec<(&str, &[Vec<f32>])> =
                check.inputs.iter().map(|(name, rows)| (name.as_str(), rows.as_slice())).collect();
            let theirs = run(&environment, &files["model.onnx"], &inputs, "probabilities");
            assert_close(check.probabilities.as_flattened(), &theirs, &what);
            let spread =
                check.probabilities.iter().map(|p| p[2]).fold((1.0_f32, 0.0_f32), |s, p| (s.0.min(p), s.1.max(p)));
            assert!(
                spread.1 - spread.0 > 0.01,
                "{what}: the answers differ, so that agreement says something: {spread:?}"
            );

            let raw = features();
            for (name, table) in [("video", raw.video.unwrap()), ("audio", raw.audio.unwrap())] {
                let Some(head) = files.get(&format!("head-{name}.onnx")) else {
                    assert_eq!(modality, Modality::Genre, "{what}");
                    continue;
                };
                let rows: Vec<Vec<f32>> = table.rows.iter().flatten().cloned().collect();
                let theirs = run(&environment, head, &[("raw", &rows)], "embedding");
                let tensors = safetensors::SafeTensors::deserialize(&files["embeddings.safetensors"]).unwrap();
                let ours: Vec<f32> = tensors
                    .tensor(name)
                    .unwrap()
                    .data()
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b))
                    .collect();
                let there: Vec<f32> = ours
                    .chunks_exact(512)
                    .zip(table.rows.iter())
                    .filter(|(_, raw)| raw.is_some())
                    .flat_map(|(row, _)| row.to_vec())
                    .collect();
                assert_close(&there, &theirs, &format!("{what}, head of {name}"));
            }
        }
    }
}
