//! Real and generated files, damaged at random and decoded in the sandbox: each ends in a named
//! outcome and writes nothing outside its folder.

use crate::support::{EXE, PICTURE, TONE, folder, made, real_videos, request};
use futures::{StreamExt, stream};
use jhalak_common::random::SplitMix;
use jhalak_worker::media::{DecodeLimits, DecodeReport, DecodeRequest, MediaError, Outcome, sandbox};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Bytes taken from a real file: enough for damage to take effect.
const REAL_BYTES: usize = 400_000;

struct Dice(SplitMix);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.draw() % bound.max(1) as u64) as usize
    }
}

/// Returns complete files in every container and codec that trailers use, and the beginnings of the
/// real files.
fn seeds(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let short = format!("{PICTURE} {TONE} -t 1.2 -vf scale=160:90");
    let h264 = "-c:v libx264 -preset ultrafast -g 8";
    let kinds = [
        ("h264.mp4", format!("{short} {h264} -c:a aac -movflags +faststart")),
        ("fragments.mp4", format!("{short} {h264} -c:a aac -movflags frag_keyframe+empty_moov")),
        ("h264.mkv", format!("{short} {h264} -c:a libvorbis")),
        ("h264.ts", format!("{short} {h264} -c:a mp2")),
        ("mpeg2.mpg", format!("{short} -c:v mpeg2video -c:a mp2")),
        ("vp8.webm", format!("{short} -c:v libvpx -deadline realtime -c:a libvorbis")),
        ("vp9.webm", format!("{short} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus")),
        ("mpeg4.avi", format!("{short} -c:v mpeg4 -c:a mp3")),
        ("hevc.mp4", format!("{short} -c:v libx265 -preset ultrafast -x265-params log-level=none -c:a aac")),
        ("flv1.flv", format!("{short} -c:v flv1 -c:a mp3")),
        ("wmv2.asf", format!("{short} -c:v wmv2 -c:a wmav2")),
        ("theora.ogv", format!("{short} -c:v libtheora -c:a libvorbis")),
        ("prores.mov", format!("{short} -c:v prores_ks -c:a pcm_s16le")),
        ("picture.gif", format!("{PICTURE} -t 0.5 -vf scale=80:45")),
    ];
    let mut seeds: Vec<(String, Vec<u8>)> = kinds
        .into_iter()
        .map(|(name, arguments)| (name.to_owned(), std::fs::read(made(folder, name, &arguments)).unwrap()))
        .collect();
    for video in real_videos() {
        let mut bytes = std::fs::read(&video).unwrap();
        bytes.truncate(REAL_BYTES);
        if !bytes.is_empty() {
            seeds.push((video.file_name().unwrap().to_string_lossy().into_owned(), bytes));
        }
    }
    seeds
}

/// Damages one to eight places, half of them in the headers.
fn corrupt(bytes: &mut Vec<u8>, other: &[u8], dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        if bytes.is_empty() {
            return;
        }
        let reach = if dice.0.draw().is_multiple_of(2) { bytes.len().min(2048) } else { bytes.len() };
        let at = dice.below(reach);
        let longest = 1 << dice.below(13);
        let length = 1 + dice.below(longest);
        let end = (at + length).min(bytes.len());
        match dice.below(9) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = dice.0.draw() as u8,
            2 => {
                // Numbers that break lengths and counts.
                let number = [0u32, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x00ff_ffff][dice.below(7)];
                let number = if dice.0.draw().is_multiple_of(2) { number.to_be_bytes() } else { number.to_le_bytes() };
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            3 => bytes[at..end].iter_mut().for_each(|byte| *byte = dice.0.draw() as u8),
            4 => bytes[at..end].fill([0, 0xff][dice.below(2)]),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let copy = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            7 if !other.is_empty() => {
                let from = dice.below(other.len());
                let piece = other[from..(from + length).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(bytes.len() - dice.below(bytes.len() / 2)),
        }
    }
}

/// Requests everything, or only what is decoded by seeking.
fn asked(video: &Path, out: &Path, everything: bool) -> DecodeRequest {
    let mut request = request(video, out);
    if everything {
        request.scenes = Some(Default::default());
        request.scene_middle = Some(Default::default());
    }
    request
}

/// Returns the name of an outcome; none for an outcome that must not happen.
fn name(result: &Result<DecodeReport, MediaError>) -> Option<&'static str> {
    match result {
        Ok(report) if report.keyframes.len() != 16 => None,
        Ok(DecodeReport { outcome: Outcome::Complete, .. }) => Some("complete"),
        Ok(DecodeReport { outcome: Outcome::Short { .. }, .. }) => Some("short"),
        Err(MediaError::Permanent { message }) if !message.is_empty() => Some("refused"),
        Err(MediaError::MemoryExceeded { .. }) => Some("out of memory"),
        Err(MediaError::TimedOut { .. }) => Some("out of time"),
        // Contained, and reported with its signal.
        Err(MediaError::Crashed { .. }) => Some("crashed"),
        Err(_) => None,
    }
}

/// Damages a seed file for each of `numbers`, decodes it in a child and counts the outcomes.
async fn survive(numbers: std::ops::Range<u64>) -> BTreeMap<&'static str, usize> {
    let files = folder();
    let seeds = seeds(files.path());
    let limits = DecodeLimits { memory_mb: 512, cpu_s: 20, wall_s: 120, output_mb: 64 };
    let (seeds, limits) = (&seeds, &limits);
    let outcomes = stream::iter(numbers).map(|number| async move {
        let mut dice = Dice(SplitMix::new(number));
        let (seed, whole) = &seeds[dice.below(seeds.len())];
        let mut bytes = whole.clone();
        corrupt(&mut bytes, &seeds[dice.below(seeds.len())].1, &mut dice);
        let work = folder();
        let (video, out) = (work.path().join(seed), work.path().join("out"));
        std::fs::create_dir(&out).unwrap();
        std::fs::write(&video, &bytes).unwrap();
        let request = asked(&video, &out, dice.0.draw().is_multiple_of(2));
        let result = sandbox::decode(Path::new(EXE), &request, limits, &Default::default()).await;
        let name = name(&result);
        let left: Vec<PathBuf> = work.path().read_dir().unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left.len(), 2, "mutation {number} of {seed} wrote outside its folder: {left:?}");
        if name == Some("crashed") {
            println!("mutation {number} of {seed}: {result:?}");
        }
        name.unwrap_or_else(|| panic!("mutation {number} of {seed}: {result:?}"))
    });
    let mut counted = BTreeMap::new();
    let mut outcomes = std::pin::pin!(outcomes.buffer_unordered(2));
    while let Some(name) = outcomes.next().await {
        *counted.entry(name).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn damaged_files_end_in_named_outcomes() {
    let counted = survive(0..200).await;
    println!("{counted:?}");
    assert_eq!(counted.values().sum::<usize>(), 200);
    assert!(counted.contains_key("refused") && counted.contains_key("complete"), "{counted:?}");
}

/// Runs by `make fuzz-media`; MUTATIONS=FROM..TO chooses the mutations.
#[tokio::test]
#[ignore = "takes many minutes: make fuzz-media"]
async fn ten_thousand_damaged_files_end_in_named_outcomes() {
    let numbers = std::env::var("MUTATIONS").ok();
    let numbers = numbers.as_deref().and_then(|numbers| numbers.split_once("..")).unwrap_or(("1000", "11000"));
    let number = |text: &str| text.parse::<u64>().expect("MUTATIONS is FROM..TO");
    println!("{:?}", survive(number(numbers.0)..number(numbers.1)).await);
}
