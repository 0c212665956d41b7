//! Embeddings match a Python pipeline on the same models; `golden/` holds the golden answers and
//! the programs that made them.
//!
//! `scripts/setup.sh run` fetches the models; without them the tests print a line and are skipped.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::Cursor;
use std::path::{Path, PathBuf};

use jhalak_common::hash;
use jhalak_common::models::{Model, Registry, Role};
use jhalak_common::settings::{ModelSettings, Settings};
use jhalak_worker::embed::{audio, picture_input};
use jhalak_worker::inference::{Models, Tensor};
use jhalak_worker::media::picture::resample;
use serde_json::Value;
use support::formula_picture;

/// Maximum difference relative to the largest element: the reference runs the same library,
/// possibly on another processor.
const AGREEMENT: f64 = 1e-4;

fn settings() -> Option<Settings> {
    let local = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local");
    let settings = ModelSettings {
        folder: local.join("models"),
        onnxruntime: local.join("onnxruntime/libonnxruntime.so"),
        ..ModelSettings::default()
    };
    if settings.onnxruntime.is_file() {
        return Some(Settings { models: settings, ..Settings::default() });
    }
    println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", settings.onnxruntime.display());
    None
}

fn models(settings: &Settings) -> (Models, Registry) {
    let registry = Registry::load(None).unwrap();
    (Models::open(settings, registry.clone()).unwrap(), registry)
}

fn golden(name: &str) -> Value {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn assert_close(ours: &[f32], theirs: &Value, agreement: f64, what: &str) {
    let theirs: Vec<f64> = serde_json::from_value(theirs.clone()).unwrap();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let scale = theirs.iter().fold(0f64, |m, v| m.max(v.abs()));
    for (place, (a, b)) in ours.iter().zip(&theirs).enumerate() {
        assert!((f64::from(*a) - b).abs() <= agreement * scale, "{what}, number {place}: {a} against {b}");
    }
}

fn image_model(registry: &Registry) -> Model {
    registry.model("efficientnet-lite0", Role::ImageEmbedding).unwrap().clone()
}

#[test]
fn pictures_are_resized_bit_for_bit_like_pillow() {
    let golden = golden("resample_pillow.json");
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 40);
    for case in cases {
        let pair = |name: &str| serde_json::from_value::<(u32, u32)>(case[name].clone()).unwrap();
        let ((columns, rows), (width, height)) = (pair("source"), pair("target"));
        let source = formula_picture(columns.into(), rows.into());
        let filter = match case["filter"].as_str().unwrap() {
            "bilinear" => resample::Filter::Bilinear,
            "bicubic" => resample::Filter::Bicubic,
            _ => resample::Filter::Nearest,
        };
        let part = match case["part"].as_str().unwrap() {
            "whole" => resample::whole(&source),
            _ => resample::middle(&source, width, height),
        };
        let ours = hash::of_bytes(&resample::resize(&source, part, width, height, filter)).to_string();
        assert_eq!(ours, case["sha256"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn picture_embeddings_match_the_reference() {
    let Some(settings) = settings() else { return };
    let (models, registry) = models(&settings);
    let model = image_model(&registry);
    let how = model.picture.clone().unwrap();
    let golden = golden("image_efficientnet_lite0.json");
    for (case, width, height) in
        [("exact_224", 224, 224), ("stretch_320x180_pillow", 320, 180), ("stretch_1280x720_pillow", 1280, 720)]
    {
        let mut input = vec![0.0; 3 * 224 * 224];
        picture_input::write(&formula_picture(width, height), &how, &mut input).unwrap();
        let theirs: Vec<Vec<f32>> =
            serde_json::from_value(golden[case]["tensor_first8_of_each_channel"].clone()).unwrap();
        for (channel, values) in theirs.iter().enumerate() {
            assert_eq!(input[channel * 224 * 224..][..values.len()], values[..], "{case}, channel {channel}");
        }
        let sum: f64 = input.iter().map(|v| f64::from(v * 128.0 + 127.0)).sum();
        assert_eq!(sum, golden[case]["rgb_sum"].as_f64().unwrap(), "{case}: the sum of all pixels");
        let session = models.session(&model).unwrap();
        let output = session.run(Tensor { shape: vec![1, 3, 224, 224], data: input }).unwrap();
        assert_close(&output.data, &golden[case]["features"], AGREEMENT, case);
    }
}

#[test]
fn sound_embeddings_match_the_reference() {
    let Some(settings) = settings() else { return };
    let (models, registry) = models(&settings);
    let embedding = registry.model("speech-embedding", Role::AudioEmbedding).unwrap();
    let golden = golden("audio_openwakeword.json");

    let samples = signal();
    assert_eq!(samples.iter().map(|&s| i64::from(s)).sum::<i64>(), golden["signal_sum"].as_i64().unwrap());
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    // 53 windows: one chunk, as the peer computed it.
    let ours = audio::embed(Cursor::new(bytes.as_slice()), embedding, &models).unwrap().unwrap();
    assert_eq!(ours.windows, 53);
    assert_close(&ours.mean, &golden["embedding_mean"], AGREEMENT, "the mean over the windows");

    // Long sound is processed in chunks without losing a window; sound shorter than a window gives
    // one; empty sound gives none.
    let long = audio::embed(Cursor::new(bytes.repeat(7)), embedding, &models).unwrap().unwrap();
    assert_eq!(long.windows, ((7 * 80_000 - 512) / 160 + 1 - 76) / 8 + 1);
    let short = audio::embed(Cursor::new(&bytes[..2_000]), embedding, &models).unwrap().unwrap();
    assert_eq!((short.windows, short.mean.len()), (1, 96));
    assert_eq!(audio::embed(Cursor::new(&[][..]), embedding, &models).unwrap(), None);
}

/// The formula of `golden/audio_golden.py`: five seconds.
fn signal() -> Vec<i16> {
    let mut state: u32 = 12_345;
    (0..80_000i32)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 20) as i32 - 2_048;
            let period = 40 + 20 * (i / 8_000);
            let phase = i % period;
            let triangle = (2 * phase - period).abs() * 8_000 / period - 4_000;
            i16::try_from(triangle + noise / 4).unwrap()
        })
        .collect()
}

#[test]
fn a_batch_gives_the_vectors_of_single_pictures() {
    let Some(settings) = settings() else { return };
    let (models, registry) = models(&settings);
    let model = image_model(&registry);
    let (how, session) = (model.picture.clone().unwrap(), models.session(&model).unwrap());
    let area = 3 * 224 * 224;
    let mut batch = vec![0.0; 4 * area];
    for (n, input) in batch.chunks_exact_mut(area).enumerate() {
        picture_input::write(&formula_picture(200 + 40 * n as i64, 150), &how, input).unwrap();
    }
    let together = session.run(Tensor { shape: vec![4, 3, 224, 224], data: batch.clone() }).unwrap().data;
    for (input, expected) in batch.chunks_exact(area).zip(together.chunks_exact(1280)) {
        let alone = session.run(Tensor { shape: vec![1, 3, 224, 224], data: input.to_vec() }).unwrap().data;
        let difference = alone.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(difference <= 1e-5, "batched and single differ by {difference}");
    }
}

#[test]
fn a_wrong_shape_is_an_error_that_names_the_model() {
    let Some(settings) = settings() else { return };
    let (models, registry) = models(&settings);
    let session = models.session(&image_model(&registry)).unwrap();
    let error = session.run(Tensor { shape: vec![1, 3, 100, 100], data: vec![0.0; 30_000] }).unwrap_err();
    assert!(error.chain().contains("efficientnet-lite0") && error.chain().contains("[1, 3, 100, 100]"), "{error}");
}
