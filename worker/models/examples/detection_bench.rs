//! CPU time of detection, for `scripts/bench/detection.py`: reads a number of rounds per line of
//! stdin, and writes one line of JSON for each.
//!
//!     detection_bench REGISTRY MODELS_FOLDER ONNXRUNTIME MODEL PICTURE.jpg

use std::io::{BufRead, Write};
use std::path::Path;

use jhalak_common::models::{Registry, Role};
use jhalak_common::settings::Settings;
use jhalak_media::picture::jpeg_decoder;
use jhalak_models::detect::ObjectDetector;
use jhalak_models::detect::input::InputWriter;
use jhalak_models::embed::picture_input;
use jhalak_models::inference::Models;
use serde_json::json;

/// Returns the CPU time of one round over all threads, in milliseconds.
fn cpu_ms<T>(rounds: u32, mut work: impl FnMut() -> T) -> f64 {
    let now = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
    };
    let start = now();
    (0..rounds).for_each(|_| drop(std::hint::black_box(work())));
    (now() - start) / f64::from(rounds)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [registry, folder, library, model, file] = arguments.as_slice() else {
        return Err("use: detection_bench REGISTRY MODELS_FOLDER ONNXRUNTIME MODEL PICTURE.jpg".into());
    };
    let mut settings = Settings::default();
    (settings.models.folder, settings.models.onnxruntime) = (folder.into(), library.into());
    let registry = Registry::load(Some(Path::new(registry)))?;
    let entry = registry.model(model, Role::Detector)?.clone();
    let built_in = Registry::load(None)?;
    let embedder = built_in.model(&settings.models.video, Role::ImageEmbedding)?;
    let picture_input = embedder.picture.clone().ok_or("the embedder sees no pictures")?;
    let mut detector = ObjectDetector::open(&Models::open(&settings, registry)?, &entry)?;
    let jpeg = std::fs::read(file)?;
    let decode = || jpeg_decoder::decode(&jpeg).map_err(jhalak_common::Error::from);
    let shown = decode()?;
    let mut how = entry.picture.clone().ok_or("the detector sees no pictures")?;
    (how.width, how.height) = (416, 416);
    let mut writer = InputWriter::new(&how);
    let mut letterboxed = vec![0.0; writer.len()];
    let mut stretched = vec![0.0; 3 * 224 * 224];
    for line in std::io::stdin().lock().lines() {
        let rounds: u32 = line?.trim().parse()?;
        let answer = json!({
            "letterbox_416_ms": cpu_ms(rounds, || writer.write(&shown, &mut letterboxed).map(|_| ())),
            "stretch_224_ms": cpu_ms(rounds, || picture_input::write(&shown, &picture_input, &mut stretched)),
            "decode_ms": cpu_ms(rounds, decode),
            "detect_ms": cpu_ms(rounds, || decode().and_then(|picture| detector.detect(&[picture]))),
        });
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
