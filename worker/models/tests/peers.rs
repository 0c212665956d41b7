//! Detectors as other libraries export them, and the boxes that those libraries find: the entry
//! that `models add` suggests gives the same. `tools/detector_peers.py` writes the files in
//! `peers/`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::{Path, PathBuf};

use jhalak_common::settings::Settings;
use jhalak_media::picture::Picture;
use jhalak_models::detect::suggest::suggest;
use jhalak_onnx::file_facts;
use serde::Deserialize;

/// Largest difference of a score.
const SCORE: f32 = 2e-3;
/// Largest difference of an edge, in pixels of the picture.
const EDGE: f32 = 0.5;
/// Scores this near to the threshold may be on either side of it.
const NEAR: f32 = 3e-3;

#[derive(Deserialize)]
struct Answers {
    peers: std::collections::BTreeMap<String, Peer>,
}

#[derive(Deserialize)]
struct Peer {
    exporter: String,
    found: Vec<Found>,
}

#[derive(Deserialize, Debug)]
struct Found {
    class: u32,
    score: f32,
    #[serde(rename = "box")]
    edges: [f32; 4],
}

/// The picture of `tools/detector_peers.py`.
fn picture() -> Picture {
    let (width, height) = (150u32, 100u32);
    let pixel = |x: u32, y: u32| [x / 9 * 53 + y, y / 7 * 91 + x, x / 13 * y / 11 * 37].map(|v| (v % 256) as u8);
    let rgb: Vec<u8> = (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect();
    Picture { width, height, rgb: rgb.into() }
}

#[test]
fn suggested_entries_give_the_boxes_of_the_exporters_own_libraries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let mut settings = Settings::default();
    settings.models.onnxruntime =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.local/onnxruntime/libonnxruntime.so");
    settings.models.folder.clone_from(&folder);
    if !settings.models.onnxruntime.is_file() {
        println!("skipped: {} is missing; `scripts/setup.sh run` fetches it", settings.models.onnxruntime.display());
        return;
    }
    let answers: Answers = serde_json::from_slice(&std::fs::read(folder.join("answers.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for (name, peer) in &answers.peers {
        let file = PathBuf::from(format!("{name}.onnx"));
        let bytes = std::fs::read(folder.join(&file)).unwrap();
        let facts = file_facts::of(&bytes).unwrap();
        let suggested = suggest(&settings, name, file, jhalak_common::hash::of_bytes(&bytes), &facts);
        let found =
            suggested.and_then(|mut s| Ok((s.model.detector.clone(), s.detector.detect(&[picture()])?.remove(0))));
        let (section, found) = match found {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{name}: {}", error.chain()));
                continue;
            }
        };
        let mut left: Vec<_> = found.iter().collect();
        let (mut score_off, mut edge_off) = (0f32, 0f32);
        for wanted in &peer.found {
            let [l, t, r, b] = wanted.edges;
            // Peers clip to the picture, or do not.
            let wanted_edges = [l.clamp(0.0, 150.0), t.clamp(0.0, 100.0), r.clamp(0.0, 150.0), b.clamp(0.0, 100.0)];
            if wanted_edges[2] <= wanted_edges[0] || wanted_edges[3] <= wanted_edges[1] {
                // Outside the picture.
                continue;
            }
            let off = |o: &&jhalak_media::Object| {
                let edges = [o.bounds.left, o.bounds.top, o.bounds.right, o.bounds.bottom];
                edges.iter().zip(wanted_edges).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
            };
            let is_it = |o: &&jhalak_media::Object| {
                o.class == wanted.class && (o.confidence - wanted.score).abs() <= SCORE && off(o) <= EDGE
            };
            match left.iter().position(is_it) {
                Some(at) => {
                    let own = left.remove(at);
                    score_off = score_off.max((own.confidence - wanted.score).abs());
                    edge_off = edge_off.max(off(&own));
                }
                None if (wanted.score - 0.25).abs() < NEAR => {}
                None => wrong.push(format!("{name}: lacks {wanted:?}")),
            }
        }
        // Ultralytics drops the boxes of segmentation models whose mask is empty: masks are not
        // read.
        left.retain(|o| (o.confidence - 0.25).abs() >= NEAR && !name.contains("-seg"));
        if !left.is_empty() {
            wrong.push(format!("{name}: {left:?} too many"));
        }
        println!(
            "{name} ({}): {} boxes as `{}`, scores off by {score_off:.1e}, edges by {edge_off:.2} pixels",
            peer.exporter,
            found.len(),
            section.map(|s| s.decode.name()).unwrap_or_default(),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(answers.peers.len() >= 15);
}
