//! Detection against the reference of `tools/detect_reference.py`: the same files and pictures,
//! with the golden answers of `golden/detector_golden.py`.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_common::models::{Registry, Role};
use jhalak_common::settings::Settings;
use jhalak_worker::detect::nms::intersection_over_union;
use jhalak_worker::detect::{ObjectDetector, Thresholds};
use jhalak_worker::inference::Models;
use jhalak_worker::media::Object;
use jhalak_worker::media::picture::Picture;
use serde_json::Value;
use support::formula_picture;

/// Minimum intersection over union of matching boxes.
const OVERLAP: f32 = 0.98;
/// Maximum difference of matching scores.
const SCORE: f64 = 0.01;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/detector")
}

/// Returns settings with models in `folder`; prints why the test is skipped if ONNX Runtime is
/// missing.
fn settings(folder: PathBuf, registry: Option<PathBuf>) -> Option<Settings> {
    let mut settings = Settings::default();
    settings.models.onnxruntime = root().join(".local/onnxruntime/libonnxruntime.so");
    (settings.models.folder, settings.models.registry) = (folder, registry);
    if settings.models.onnxruntime.is_file() {
        return Some(settings);
    }
    println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", settings.models.onnxruntime.display());
    None
}

fn detector(settings: &Settings, name: &str) -> jhalak_common::Result<ObjectDetector> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let model = registry.model(name, Role::Detector)?.clone();
    let detector = ObjectDetector::open(&Models::open(settings, registry)?, &model)?;

    Ok(detector.with(Thresholds { score: 0.25, overlap: 0.45 }))
}

fn golden(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(golden_folder().join(file)).unwrap()).unwrap()
}

/// Decodes a frame with the program ffmpeg.
fn frame(video: &Path, number: u64, width: u32, height: u32) -> Picture {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(video)
        .args(["-vf", &format!("select=eq(n\\,{number})"), "-vsync", "0", "-frames:v", "1"])
        .args(["-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .expect("the ffmpeg program is installed");
    assert_eq!(output.stdout.len(), (width * height * 3) as usize, "{} frame {number}", video.display());
    Picture { width, height, rgb: output.stdout.into() }
}

/// Checks that both sides have the same objects by class, score and box. Objects so near the
/// threshold that the last digit decides may be on one side only.
fn assert_same(ours: &[Object], case: &Value) {
    let theirs = case["objects"].as_array().unwrap();
    let what = format!("{} {} {} {}x{}", case["model"], case["video"], case["frame"], case["width"], case["height"]);
    let near = |score: f64| (score - 0.25).abs() < 1e-3;
    let mut left: Vec<&Object> = ours.iter().collect();
    for object in theirs {
        let edges: [f32; 4] = serde_json::from_value(object["box"].clone()).unwrap();
        let (class, score) = (object["class"].as_u64().unwrap(), object["score"].as_f64().unwrap());
        let agrees = |o: &&Object| {
            let b = o.bounds;
            u64::from(o.class) == class
                && (f64::from(o.confidence) - score).abs() <= SCORE
                && intersection_over_union(&[b.left, b.top, b.right, b.bottom], &edges) >= OVERLAP
        };
        match left.iter().position(agrees) {
            Some(place) => {
                left.remove(place);
            }
            None => assert!(near(score), "{what}: {object} is missing in {ours:?}"),
        }
    }
    left.retain(|o| !near(f64::from(o.confidence)));
    assert!(left.is_empty(), "{what}: the reference lacks {left:?}");
}

#[test]
fn each_output_layout_is_decoded_as_the_reference_does() {
    let folder = golden_folder();
    let Some(settings) = settings(folder.clone(), Some(folder.join("detectors.toml"))) else { return };
    let mut boxes = 0;
    for case in golden("detections.json")["formula"].as_array().unwrap() {
        let mut detector = detector(&settings, case["model"].as_str().unwrap()).unwrap();
        let picture = formula_picture(case["width"].as_i64().unwrap(), case["height"].as_i64().unwrap());
        let found = detector.detect(&[picture]).unwrap();
        boxes += found[0].len();
        assert_same(&found[0], case);
    }
    assert!(boxes > 300, "{boxes} boxes were compared");
}

#[test]
fn objects_in_real_frames_match_the_reference() {
    let Some(settings) = settings(root().join(".local/models"), None) else { return };
    let mut detector = detector(&settings, "nanodet-g").unwrap();
    compare(&mut detector, &golden("detections.json")["real"], "nanodet-g", &root().join(".local/demo/sources"));
}

#[test]
fn objects_in_frames_of_shared_trailers_match_the_reference() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|a| a.join("shared")).find(|s| s.is_dir());
    let Some(shared) = shared else {
        println!("skipped: no ../shared with a YOLOX-Nano and real trailers here");
        return;
    };
    let entry = golden_folder().join("yolox_nano.toml");
    let Some(yolox) = settings(shared.join("models"), Some(entry)) else { return };
    let Some(own) = settings(root().join(".local/models"), None) else { return };
    for (settings, name) in [(yolox, "yolox-nano"), (own, "nanodet-g")] {
        let mut detector = detector(&settings, name).unwrap();
        compare(&mut detector, &golden("shared.json"), name, &shared.join("data/trailers"));
    }
}

fn compare(detector: &mut ObjectDetector, cases: &Value, model: &str, videos: &Path) {
    let side = |case: &Value, name: &str| u32::try_from(case[name].as_u64().unwrap()).unwrap();
    for case in cases.as_array().unwrap().iter().filter(|case| case["model"] == model) {
        let video = videos.join(case["video"].as_str().unwrap());
        if !video.is_file() {
            println!("skipped: {} is missing", video.display());
            continue;
        }
        let picture = frame(&video, case["frame"].as_u64().unwrap(), side(case, "width"), side(case, "height"));
        assert_same(&detector.detect(&[picture]).unwrap()[0], case);
    }
}

#[test]
fn a_batch_of_pictures_gives_the_objects_of_each_picture_alone() {
    let folder = golden_folder();
    let Some(settings) = settings(folder.clone(), Some(folder.join("detectors.toml"))) else { return };
    let pictures = [(64, 64), (200, 113), (31, 17)].map(|(w, h)| formula_picture(w, h));
    for name in ["yolov5", "yolov8", "nanodet", "end-to-end"] {
        let mut detector = detector(&settings, name).unwrap();
        let together = detector.detect(&pictures).unwrap();
        for (picture, together) in pictures.iter().zip(&together) {
            let alone = detector.detect(std::slice::from_ref(picture)).unwrap().remove(0);
            assert_eq!(alone.len(), together.len(), "{name}");
            for (a, b) in alone.iter().zip(together) {
                assert!(a.class == b.class && (a.confidence - b.confidence).abs() <= 1e-5, "{name}: {a:?} and {b:?}");
            }
        }
        assert!(detector.detect(&[]).unwrap().is_empty());
    }
}

#[test]
fn pictures_of_any_size_without_objects_are_valid() {
    let Some(settings) = settings(root().join(".local/models"), None) else { return };
    let mut detector = detector(&settings, "nanodet-g").unwrap();
    for (width, height) in [(1, 1), (1, 4000), (8192, 2), (5000, 5000)] {
        let grey = Picture { width, height, rgb: vec![114; (width * height * 3) as usize].into() };
        assert!(detector.detect(&[grey]).unwrap()[0].is_empty(), "{width}x{height}");
    }
}

/// Each case replaces `from` with `to` in a valid entry and lists what the error must contain.
#[test]
fn entries_that_do_not_fit_their_file_are_refused_with_advice() {
    let folder = golden_folder();
    let entries = std::fs::read_to_string(folder.join("detectors.toml")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let registry = scratch.path().join("models.toml");
    let Some(settings) = settings(folder, Some(registry.clone())) else { return };
    for (name, from, to, words) in [
        (
            "yolov5",
            "decode = \"yolov5\"",
            "decode = \"yolov8\"",
            &["yolov5.onnx", "output0", "looks like `yolov5`"][..],
        ),
        ("yolov8", "output0", "boxes", &["the model yolov8", "`boxes`", "output0"]),
        ("yolov8", "width = 96", "width = 320", &["the model yolov8", "320", "96"]),
        ("yolov8", "labels = \"coco\"", "labels = [\"cat\"]", &["detector.labels to 80 names"]),
        ("yolov8", "labels = \"coco\"", "labels = \"voc\"", &["`voc`", "known set"]),
        ("yolox", "decode = \"yolox\"", "decode = \"yolox\", strides = [8, 16]", &["detector.strides"]),
        ("nanodet", "layout = \"nhwc\"", "layout = \"nchw\"", &["picture.layout"]),
        ("few-classes", "\"apple\", ", "", &["few-classes", "for 3 classes set detector.labels to 3 names"]),
        ("end-to-end", "decode = \"end-to-end\"", "decode = \"end-to-end\", threshold = 2.0", &["detector.threshold"]),
        ("end-to-end", "decode = \"end-to-end\"", "decode = \"yolov9000\"", &["yolov9000", "end-to-end"]),
        ("end-to-end", "resize = \"letterbox\"", "resize = \"crop\"", &["picture.resize", "letterbox"]),
        ("yolov5", "sha256 = \"", "sha256 = \"0000", &["line 9", "sha256"]),
    ] {
        let start = entries.find(&format!("name = \"{name}\"")).unwrap();
        let (before, entry) = entries.split_at(start);
        std::fs::write(&registry, format!("{before}{}", entry.replacen(from, to, 1))).unwrap();
        let error = detector(&settings, name).err().unwrap_or_else(|| panic!("{name} with {to} was taken")).chain();
        for word in words {
            assert!(error.contains(word), "{name} with {to}: {error}");
        }
    }
}

#[test]
fn a_file_with_another_checksum_is_refused() {
    let folder = golden_folder();
    let scratch = tempfile::tempdir().unwrap();
    let Some(settings) = settings(scratch.path().to_path_buf(), Some(folder.join("detectors.toml"))) else { return };
    for content in [&b"<html>not a network</html>"[..], b""] {
        std::fs::write(scratch.path().join("yolov5.onnx"), content).unwrap();
        let error = detector(&settings, "yolov5").err().unwrap().chain();
        assert!(error.contains("yolov5") && error.contains("SHA-256"), "{error}");
    }
}

#[test]
fn a_file_that_is_not_onnx_is_refused_despite_a_matching_checksum() {
    let scratch = tempfile::tempdir().unwrap();
    let registry = scratch.path().join("models.toml");
    let content = b"PK\x03\x04 this is an archive";
    std::fs::write(scratch.path().join("odd.onnx"), content).unwrap();
    let digest = jhalak_common::hash::of_bytes(content);
    let entry = format!(
        "version = 1\n[[model]]\nname = \"odd\"\nrole = \"detector\"\nfile = \"odd.onnx\"\nsha256 = \"{digest}\"\n\
         picture = {{ resize = \"letterbox\" }}\ndetector = {{ decode = \"yolov8\" }}\n"
    );
    std::fs::write(&registry, entry).unwrap();
    let Some(settings) = settings(scratch.path().to_path_buf(), Some(registry)) else { return };
    let error = detector(&settings, "odd").err().unwrap().chain();
    assert!(error.contains("the model odd") && error.contains("odd.onnx"), "{error}");
}

#[test]
fn a_nan_output_is_an_error_that_names_the_model_the_output_and_the_node() {
    let folder = golden_folder();
    let Some(settings) = settings(folder.clone(), Some(folder.join("detectors.toml"))) else { return };
    let mut detector = detector(&settings, "no-numbers").unwrap();
    let error = detector.detect(&[formula_picture(64, 64)]).unwrap_err().chain();
    assert!(error.contains("no-numbers") && error.contains("output0") && error.contains("NaN"), "{error}");
    assert!(error.contains("`output0` (Sqrt)"), "the error names the node: {error}");
}
