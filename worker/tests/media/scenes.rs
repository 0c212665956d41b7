//! Scores and cuts equal PySceneDetect's.

use crate::support::{PICTURE, TONE, folder, made, real_videos, request};
use ffmpeg_next::codec::decoder::Opened;
use ffmpeg_next::frame;
use jhalak_worker::media::ffmpeg::decoder::{self, coded_size, feed};
use jhalak_worker::media::ffmpeg::demux::{DecodeStats, next_packet};
use jhalak_worker::media::ffmpeg::source::Source;
use jhalak_worker::media::scenes::kernels::Kernels;
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::scenes::score::FrameScorer;
use jhalak_worker::media::{DecodeReport, SceneSettings, decode};
use serde::Deserialize;
use std::path::Path;

/// PySceneDetect's scores and cuts, written by `tools/pyscenedetect_golden.py`.
#[derive(Deserialize)]
struct Golden {
    threshold: f64,
    min_scene_len: u32,
    cuts: Vec<u64>,
    scores: Vec<f64>,
}

fn scenes_of(video: &Path, out: &Path, settings: SceneSettings) -> (DecodeReport, SceneList) {
    let mut request = request(video, out);
    (request.keyframes, request.audio, request.scenes) = (None, None, Some(settings));
    let report = decode::run(&request).unwrap_or_else(|error| panic!("{}: {error}", video.display()));
    let json = std::fs::read(&report.scenes.as_ref().unwrap().json).unwrap();
    (report, serde_json::from_slice(&json).unwrap())
}

#[test]
fn every_score_and_every_cut_of_the_real_files_equals_pyscenedetects() {
    for video in real_videos() {
        let name = video.file_name().unwrap().to_str().unwrap();
        let golden = video.parent().unwrap().join(format!("golden/{name}.json"));
        let Some(golden) = std::fs::read(&golden).ok().and_then(|json| serde_json::from_slice::<Golden>(&json).ok())
        else {
            println!("skipped: PySceneDetect has no scores of {name}");
            continue;
        };
        let out = folder();
        let settings = SceneSettings { threshold: golden.threshold, min_scene_len: golden.min_scene_len };
        let (_, list) = scenes_of(&video, out.path(), settings);
        assert_eq!(list.scores.len(), golden.scores.len(), "{name}: frames");
        let differences = list.scores.iter().zip(&golden.scores).map(|(ours, theirs)| (ours - theirs).abs());
        let largest = differences.fold(0.0, f64::max);
        assert!(largest == 0.0, "{name}: largest difference {largest}");
        assert_eq!(list.cuts, golden.cuts, "{name}");
    }
}

#[test]
fn the_threshold_and_the_shortest_scene_can_be_set_within_their_ranges() {
    let files = folder();
    let colours = "-f lavfi -i testsrc2=s=320x180:r=25:d=4,negate=enable='mod(floor(t*5)\\,2)'";
    let video = made(files.path(), "flashes.mp4", &format!("{colours} -c:v mpeg4 -q:v 2"));
    let of = |threshold, min_scene_len| scenes_of(&video, files.path(), SceneSettings { threshold, min_scene_len }).1;
    assert_eq!(of(27.0, 5).cuts, (1..20).map(|n| n * 5).collect::<Vec<u64>>());
    assert_eq!(of(27.0, 0).cuts, of(27.0, 5).cuts);
    assert!(of(27.0, 6).cuts.len() < 10);
    assert!(of(255.0, 5).cuts.is_empty());
    assert_eq!(of(255.0, 5).scenes, [[0, 100]]);
    for threshold in [0.0, -1.0, 256.0, f64::NAN] {
        let mut request = request(&video, files.path());
        request.scenes = Some(SceneSettings { threshold, min_scene_len: 15 });
        let refused = decode::run(&request).unwrap_err();
        assert!(refused.to_string().contains("scenes.threshold"), "{refused}");
    }
}

#[test]
fn one_decode_gives_scenes_keyframes_and_sound() {
    let files = folder();
    let video = made(files.path(), "plain.mp4", &format!("{PICTURE} {TONE} -c:v libx264 -preset veryfast -c:a aac"));
    let alone = folder();
    let (_, list) = scenes_of(&video, alone.path(), SceneSettings::default());
    let mut all = request(&video, files.path());
    all.scenes = Some(SceneSettings::default());
    let report = decode::run(&all).unwrap();
    let scenes = report.scenes.unwrap();
    assert_eq!(std::fs::read(&scenes.json).unwrap(), std::fs::read(alone.path().join("scenes.json")).unwrap());
    assert_eq!((report.keyframes.len(), scenes.scenes, list.frames), (16, list.scenes.len() as u64, 100));
    assert!(std::fs::read_to_string(scenes.csv).unwrap().contains("Scene Number"));
}

/// Returns the scores by the reference path with the portable loops, and by the fastest path.
fn both_ways(video: &Path) -> [Vec<f64>; 2] {
    let mut source = Source::open(video).unwrap();
    let turn = source.video.opencv_orientation;
    let index = source.video.index;
    let portable = FrameScorer::with(turn, Kernels::portable(), true);
    let mut scorers = [FrameScorer::reference(turn), FrameScorer::new(turn), portable];
    let mut scores = [Vec::new(), Vec::new(), Vec::new()];
    let mut decoder = decoder::open(&source, index).unwrap_or_else(|refused| panic!("{}", refused.into_error("video")));
    let mut show = |frame: frame::Video, decoder: &Opened| {
        for (scorer, scores) in scorers.iter_mut().zip(&mut scores) {
            scores.push(scorer.score(&frame, coded_size(decoder))?);
        }
        Ok(())
    };
    let mut stats = DecodeStats::default();
    while let Some(packet) = next_packet(&mut source, &mut stats).unwrap() {
        if packet.stream() == index {
            feed(&mut decoder, Some(&packet), frame::Video::empty, &mut show, &mut stats.video_faults).unwrap();
        }
    }
    feed(&mut decoder, None, frame::Video::empty, &mut show, &mut stats.video_faults).unwrap();
    let [reference, fast, portable] = scores;
    assert!(fast == portable, "{}: loops differ", video.display());
    [reference, fast]
}

#[test]
fn the_short_path_gives_the_scores_of_the_reference_path_at_every_size() {
    let files = folder();
    let sizes =
        ["16x16", "40x300", "250x140", "256x144", "258x146", "270x480", "426x240", "512x288", "854x480", "1000x20"];
    let made = sizes.map(|size| {
        let source = format!("-f lavfi -i testsrc2=s={size}:r=25:d=0.4");
        made(files.path(), &format!("{size}.mp4"), &format!("{source} -c:v libx264 -preset ultrafast -pix_fmt yuv420p"))
    });
    let odd = ["321x180", "320x181", "427x239", "641x1"].map(|size| {
        let source = format!("-f lavfi -i testsrc2=s=640x360:r=25:d=0.4 -vf scale={}", size.replace('x', ":"));
        crate::support::made(files.path(), &format!("{size}.mkv"), &format!("{source} -c:v ffv1 -pix_fmt yuv420p"))
    });
    for video in made.iter().chain(&odd) {
        let [reference, fast] = both_ways(video);
        assert_eq!(reference.len(), 10);
        assert!(reference[1..].iter().any(|&score| score > 0.0), "{}: {reference:?}", video.display());
        assert!(reference == fast, "{}", video.display());
    }
}
