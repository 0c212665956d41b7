//! The architectures of the paper, tiny and with random weights, against PyTorch on the same
//! weights; batches, chunks and layouts against the unbatched, whole input. `tools/export_models.py
//! golden` writes the files in `seeded/`.
//!
//! `scripts/setup.sh run` fetches ONNX Runtime; without it the tests print a line and are skipped.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};

use jhalak_common::models::{Model, Registry};
use jhalak_common::settings::{InferenceSettings, ModelSettings, Settings};
use jhalak_worker::embed::{audio, video};
use jhalak_worker::inference::{Models, Tensor};
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::picture::jpeg_encoder;
use serde_json::Value;

/// Maximum difference from PyTorch, on values of about 1.
const PEER: f64 = 1e-4;
/// Maximum difference between batched and single, chunked and whole.
const SAME: f64 = 1e-5;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeded")
}

fn settings(inference: InferenceSettings) -> Option<Settings> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.local/onnxruntime/libonnxruntime.so");
    if !library.is_file() {
        println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", library.display());
        return None;
    }
    let models = ModelSettings { folder: folder(), onnxruntime: library, ..ModelSettings::default() };
    Some(Settings { models, inference, ..Settings::default() })
}

fn registry() -> Registry {
    Registry::load(Some(&folder().join("models.toml"))).unwrap()
}

/// Opens the models with each entry changed by `change`.
fn models_with(inference: InferenceSettings, change: impl Fn(&mut Model)) -> Option<Models> {
    let mut registry = registry();
    registry.models.iter_mut().for_each(change);
    Some(Models::open(&settings(inference)?, registry).unwrap())
}

fn models() -> Option<Models> {
    models_with(InferenceSettings::default(), |_| {})
}

fn named<'a>(models: &'a Models, name: &str) -> &'a Model {
    models.registry().models.iter().find(|m| m.name == name).unwrap()
}

fn answers() -> Value {
    serde_json::from_slice(&std::fs::read(folder().join("answers.json")).unwrap()).unwrap()
}

fn furthest(ours: &[f32], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max)
}

fn apart(one: &[f32], other: &[f32]) -> f64 {
    furthest(one, &other.iter().map(|v| f64::from(*v)).collect::<Vec<_>>())
}

/// The formula of `tools/export_golden.py`.
fn tensor(shape: Vec<usize>, start: usize) -> Tensor {
    let count = shape.iter().product();
    let data =
        (0..count).map(|i: usize| ((i * 7_919 + start) % 1_009) as f64 / 1_009.0 - 0.5).map(|v| v as f32).collect();
    Tensor { shape, data }
}

/// The formula of `tools/export_golden.py`.
fn sound(count: i32) -> Vec<u8> {
    let mut state: u32 = 12_345;
    (0..count)
        .flat_map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let period = 40 + 20 * (i / 8_000);
            let triangle = ((2 * (i % period) - period).abs() * 8_000).div_euclid(period) - 4_000;
            let noise = ((state >> 20) as i32 - 2_048).div_euclid(4);
            i16::try_from(triangle + noise).unwrap().to_le_bytes()
        })
        .collect()
}

#[test]
fn networks_match_pytorch() {
    let Some(models) = models() else { return };
    let answers = answers();
    let tensors = answers["tensors"].as_object().unwrap();
    assert!(tensors.len() >= 5);
    for (name, golden) in tensors {
        let shapes: Vec<Vec<usize>> = serde_json::from_value(golden["inputs"].clone()).unwrap();
        let theirs: Vec<f64> = serde_json::from_value(golden["values"].clone()).unwrap();
        let inputs = shapes.into_iter().enumerate().map(|(start, shape)| tensor(shape, start)).collect();
        let output = models.session(named(&models, name)).unwrap().run_all(inputs).unwrap().remove(0);
        assert_eq!(serde_json::json!(output.shape), golden["shape"], "{name}");
        let apart = furthest(&output.data, &theirs);
        assert!(apart <= PEER, "{name} is {apart} from PyTorch");
        assert!(theirs.iter().fold(0f64, |m, v| m.max(v.abs())) > 0.05, "{name}: an answer near zero proves nothing");
    }
}

#[test]
fn sound_in_chunks_of_any_size_matches_pytorch_on_the_whole() {
    let answers = answers();
    let bytes = sound(50_123);
    let sum: i64 = bytes.chunks_exact(2).map(|b| i64::from(i16::from_le_bytes([b[0], b[1]]))).sum();
    assert_eq!(sum, answers["sound"]["sum"].as_i64().unwrap());
    let sounds = answers["sounds"].as_object().unwrap();
    assert_eq!(sounds.len(), 3);
    let embed = |name: &str, chunk: usize| {
        let models = models_with(InferenceSettings::default(), |model| {
            let Some(waveform) = &mut model.waveform else { return };
            // Chunks of the moments count frames of the first layer.
            waveform.chunk_frames = if model.name.ends_with("moments") { chunk * 7 } else { chunk };
            waveform.margin_frames = waveform.margin_frames.min((chunk - 1) / 2);
        })?;
        Some(audio::embed(Cursor::new(&bytes), named(&models, name), &models).unwrap().unwrap())
    };
    for (name, golden) in sounds {
        let theirs: Vec<f64> = serde_json::from_value(golden["mean"].clone()).unwrap();
        let Some(whole) = embed(name, 1_000) else { return };
        assert_eq!(whole.windows as u64, golden["frames"].as_u64().unwrap(), "{name}");
        let from_peer = furthest(&whole.mean, &theirs);
        assert!(from_peer <= PEER, "{name} is {from_peer} from PyTorch");
        if name.ends_with("context") {
            // A vector depends on the whole sound: chunks change its value, as documented; each
            // frame still counts once.
            assert_eq!(embed(name, 60).unwrap().windows, whole.windows);
            continue;
        }
        for chunk in [1, 2, 13, 100, 155] {
            let cut = embed(name, chunk).unwrap();
            assert_eq!(cut.windows, whole.windows, "{name} in chunks of {chunk}");
            let apart = apart(&cut.mean, &whole.mean);
            assert!(apart <= SAME, "{name} in chunks of {chunk} is {apart} from the whole");
        }
    }
}

#[test]
fn sound_of_any_length_gives_a_vector_and_empty_sound_none() {
    let Some(models) = models() else { return };
    for name in ["seeded-tiny-wav2vec2-base", "seeded-tiny-wav2vec2-layer-norm", "seeded-tiny-wav2vec2-base-context"] {
        let model = named(&models, name);
        for (samples, frames) in [(1, 1), (399, 1), (400, 1), (719, 1), (720, 2), (1_040, 3)] {
            let embedded = audio::embed(Cursor::new(sound(samples)), model, &models).unwrap().unwrap();
            assert_eq!(embedded.windows, frames, "{name}, {samples} samples");
        }
        assert_eq!(audio::embed(Cursor::new(Vec::new()), model, &models).unwrap(), None, "{name}");
        let silence = audio::embed(Cursor::new(vec![0; 20_000]), model, &models).unwrap().unwrap();
        assert!(silence.mean.iter().all(|v| v.is_finite()), "{name}: silence has no variance to divide by");
    }
}

/// Builds an archive as decoding writes it: `count` pictures and `padding` black ones.
fn keyframes(count: usize, padding: usize) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut member = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    for n in 0..count {
        let rgb: Vec<u8> = (0..60 * 40 * 3).map(|i| ((i * (n + 3) + i / 180 * 11) % 256) as u8).collect();
        member(
            &format!("a-{n:02}.jpg"),
            &jpeg_encoder::encode(&Picture { width: 60, height: 40, rgb: rgb.into() }, 95).unwrap(),
        );
        member(&format!("a-{n:02}.json"), b"{\"frame\":1}\n");
    }
    for n in count..count + padding {
        let rgb = vec![0; 60 * 40 * 3];
        member(
            &format!("a-{n:02}.jpg"),
            &jpeg_encoder::encode(&Picture { width: 60, height: 40, rgb: rgb.into() }, 95).unwrap(),
        );
        member(&format!("a-{n:02}.json"), b"{\"padding\":true}\n");
    }
    archive.into_inner().unwrap()
}

#[test]
fn clips_have_the_layout_of_the_entry_and_missing_frames_are_zero() {
    let Some(models) = models() else { return };
    let embed_padded = |name: &str, frames: usize, padding: usize| {
        let model = named(&models, name);
        video::embed(&keyframes(frames, padding), model, &models.session(model).unwrap()).unwrap()
    };
    let embed = |name: &str, frames: usize| embed_padded(name, frames, 0);
    let (time, channel) = ("seeded-tiny-timesformer-k600", "seeded-tiny-timesformer-k600-ncthw");
    for frames in [1, 3, 4, 6] {
        let (one, other) = (embed(time, frames), embed(channel, frames));
        assert_eq!((one.seen, one.mean.len()), (frames.min(4), 32));
        assert!(apart(&one.mean, &other.mean) <= SAME, "the same network, fed in both orders");
    }
    assert!(apart(&embed(time, 3).mean, &embed(time, 4).mean) > 1e-3, "one more frame changes the clip");
    assert_eq!(embed(time, 4).mean, embed(time, 6).mean, "a clip of 4 frames takes the first 4");
    // Each picture alone, then the mean.
    let each = embed("seeded-tiny-resnet50", 3);
    for name in [time, "seeded-tiny-resnet50"] {
        assert_eq!(embed_padded(name, 3, 1).mean, embed(name, 3).mean, "{name}: padding is not a picture");
        let zeros = embed_padded(name, 0, 4);
        assert_eq!((zeros.seen, zeros.mean.len()), (0, embed(name, 3).mean.len()), "{name}: a clip of zeros");
        let zero = named(&models, name).picture.clone().unwrap();
        let clip = named(&models, name).clip.as_ref().map_or(vec![1, 3], |clip| clip.clip_shape(&zero)[..3].to_vec());
        let shape: Vec<usize> = clip.into_iter().chain([zero.height as usize, zero.width as usize]).collect();
        let data = vec![0.0; shape.iter().product()];
        let session = models.session(named(&models, name)).unwrap();
        assert_eq!(zeros.mean, session.run(Tensor { shape, data }).unwrap().data, "{name}");
    }
    assert_eq!((each.seen, each.mean.len(), each.frames.unwrap().len()), (3, 2_048, 3 * 2_048));
}

#[test]
fn requests_of_jobs_in_flight_are_batched_and_each_gets_its_own_rows() {
    const JOBS: usize = 8;
    let inference = InferenceSettings { batch: JOBS, wait_ms: 10_000, ..InferenceSettings::default() };
    let Some(models) = models_with(inference, |_| {}) else { return };
    let Some(alone) = models_with(InferenceSettings { batch: 1, ..InferenceSettings::default() }, |_| {}) else {
        return;
    };
    for name in ["seeded-tiny-timesformer-k600", "seeded-tiny-resnet50", "seeded-tiny-wav2vec2-layer-norm"] {
        let (session, single) =
            (models.session(named(&models, name)).unwrap(), alone.session(named(&alone, name)).unwrap());
        let mut shape: Vec<usize> =
            session.contract().inputs[0].shape.iter().map(|&n| usize::try_from(n).unwrap_or(2_000)).collect();
        shape[0] = 1;
        let start = Arc::new(Barrier::new(JOBS));
        let jobs: Vec<_> = (0..JOBS)
            .map(|job| {
                let (session, start, input) = (session.clone(), start.clone(), tensor(shape.clone(), job * 37));
                std::thread::spawn(move || {
                    start.wait();
                    session.run(input).unwrap()
                })
            })
            .collect();
        for (job, together) in jobs.into_iter().enumerate() {
            let (together, one) = (together.join().unwrap(), single.run(tensor(shape.clone(), job * 37)).unwrap());
            assert_eq!(together.shape, one.shape, "{name}");
            assert!(apart(&together.data, &one.data) <= SAME, "{name}, job {job}");
        }
        assert_eq!((session.inferences(), single.inferences()), (1, JOBS as u64), "{name}");
    }
}

#[test]
fn a_request_that_fails_in_a_batch_fails_alone() {
    let inference = InferenceSettings { batch: 2, wait_ms: 10_000, ..InferenceSettings::default() };
    let Some(models) = models_with(inference, |_| {}) else { return };
    let session = models.session(named(&models, "not-a-number")).unwrap();
    // The square root of minus the picture: finite only for a black one.
    let black = Tensor { shape: vec![1, 3, 8, 8], data: vec![0.0; 192] };
    let white = Tensor { shape: vec![1, 3, 8, 8], data: vec![1.0; 192] };
    let other = session.clone();
    let good = std::thread::spawn(move || other.run(black));
    let error = session.run(white).unwrap_err();
    assert_eq!(good.join().unwrap().unwrap().data, [0.0; 3]);
    for words in ["not-a-number", "NaN", "`vector`"] {
        assert!(error.chain().contains(words), "{words} is missing in: {}", error.chain());
    }
}

#[test]
fn a_file_with_a_fixed_batch_accepts_any_number_of_rows() {
    let Some(models) = models() else { return };
    let session = models.session(named(&models, "fixed-batch")).unwrap();
    let input = tensor(vec![5, 3, 8, 8], 0);
    let output = session.run(input.clone()).unwrap();
    assert_eq!(output.shape, [5, 3]);
    for (row, picture) in output.data.chunks_exact(3).zip(input.data.chunks_exact(192)) {
        let mean: Vec<f64> =
            picture.chunks_exact(64).map(|c| c.iter().map(|v| f64::from(*v)).sum::<f64>() / 64.0).collect();
        assert!(furthest(row, &mean) <= SAME);
    }
}

/// Each case breaks an entry and lists what the error must contain.
#[test]
fn an_entry_that_does_not_fit_its_file_is_refused_by_name_and_field() {
    use jhalak_common::models::{Layout, TensorFacts, Tensors};
    let (image, clip, heard) = ("seeded-tiny-resnet50", "seeded-tiny-timesformer-k600", "seeded-tiny-wav2vec2-base");
    let facts = |name: &str, shape: Option<Vec<i64>>| {
        Tensors(vec![TensorFacts { name: Some(name.into()), shape, ..TensorFacts::default() }])
    };
    type Change<'a> = Box<dyn Fn(&mut Model) + 'a>;
    let cases: Vec<(&str, Change, &[&str])> = vec![
        (image, Box::new(|m| m.input = facts("picture", None)), &["`picture`", "`image`"]),
        (image, Box::new(|m| m.output = facts("logits", None)), &["`logits`", "`features`"]),
        (image, Box::new(|m| m.input = facts("image", Some(vec![-1, 3, 224, 224]))), &["input.shape", "224", "64"]),
        (image, Box::new(|m| m.picture.as_mut().unwrap().width = 224), &["picture.width", "224", "`image`", "64"]),
        (image, Box::new(|m| m.picture.as_mut().unwrap().layout = Layout::Nhwc), &[".layout", "[-1, 64, 64, 3]"]),
        (image, Box::new(|m| m.dimension = Some(1_000)), &["dimension", "1000", "2048"]),
        (clip, Box::new(|m| m.clip.as_mut().unwrap().frames = 16), &["clip.frames", "16"]),
        (heard, Box::new(|m| m.waveform.as_mut().unwrap().moments = None), &["`moments`", "2 inputs"]),
        ("unpooled", Box::new(|_| {}), &["`vector`", "not one vector"]),
        ("two-outputs", Box::new(|_| {}), &["output.name", "`vector`", "`other`"]),
    ];
    for (name, change, words) in cases {
        let Some(models) = models_with(InferenceSettings::default(), |m| {
            if m.name == name {
                change(m)
            }
        }) else {
            return;
        };
        let error = models.session(named(&models, name)).map(drop).unwrap_err().chain();
        for word in words.iter().chain(&[name]) {
            assert!(error.contains(word), "{word} is missing in: {error}");
        }
    }
    // Fields left out are read from the file.
    let Some(models) = models_with(InferenceSettings::default(), |m| {
        (m.dimension, m.bytes, m.input, m.output) = (None, None, Tensors::default(), Tensors::default());
    }) else {
        return;
    };
    for name in [image, clip, heard, "fixed-batch"] {
        models.session(named(&models, name)).unwrap();
    }
    let two_frames = audio::embed(Cursor::new(sound(720)), named(&models, heard), &models).unwrap().unwrap();
    assert_eq!((two_frames.windows, two_frames.mean.len()), (2, 16));
}

#[test]
fn a_wrong_chunk_layout_is_refused_with_the_fields_to_check() {
    let name = "seeded-tiny-wav2vec2-layer-norm";
    let Some(models) = models_with(InferenceSettings::default(), |m| {
        if let (true, Some(w)) = (m.name == name, &mut m.waveform) {
            w.hop_samples = 160;
        }
    }) else {
        return;
    };
    let error = audio::embed(Cursor::new(sound(16_000)), named(&models, name), &models).unwrap_err().chain();
    assert!(error.contains(name) && error.contains("waveform.frame_samples"), "{error}");
}

/// Synthetic sound of any length that needs no memory.
struct Hum {
    place: u64,
    length: u64,
}

impl Read for Hum {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = (self.length - self.place).min(buffer.len() as u64) as usize;
        for (n, byte) in buffer[..count].iter_mut().enumerate() {
            let place = self.place + n as u64;
            *byte = if place.is_multiple_of(2) { (place / 2 * 37 % 251) as u8 } else { 3 };
        }
        self.place += count as u64;
        Ok(count)
    }
}

impl Seek for Hum {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.place = match to {
            SeekFrom::Start(n) => n,
            SeekFrom::End(n) => self.length.saturating_add_signed(n),
            SeekFrom::Current(n) => self.place.saturating_add_signed(n),
        };
        Ok(self.place)
    }
}

#[test]
fn memory_does_not_grow_with_the_length_of_sound_or_the_number_of_requests() {
    let Some(models) = models() else { return };
    let models = Arc::new(models);
    let peak = || jhalak_worker::media::usage::so_far().peak_memory_mb;
    let eight_jobs = |minutes: u64| {
        let jobs: Vec<_> = (0..8)
            .map(|_| {
                let models = models.clone();
                std::thread::spawn(move || {
                    let hum = Hum { place: 0, length: minutes * 60 * 16_000 * 2 };
                    audio::embed(hum, named(&models, "seeded-tiny-wav2vec2-base"), &models).unwrap().unwrap().windows
                })
            })
            .collect();
        jobs.into_iter().map(|job| job.join().unwrap()).sum::<usize>()
    };
    // The peak of eight threads depends on their timing: warm up often enough to reach it.
    for _ in 0..4 {
        eight_jobs(2);
    }
    let before = peak();
    assert!(eight_jobs(16) > 8 * 16 * 60 * 49);
    // 14 more minutes for 8 sounds are 430 MB as float samples alone.
    let grown = peak() - before;
    assert!(grown <= 100, "{grown} MB more for sound of eight times the length");
}
