//! The keyframes of a run are FFmpeg's own frames at the equal-interval times.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use jhalak_tests::dataset::Made;
use jhalak_tests::programs::{command, files, run};
use jhalak_tests::repository;
use serde_json::Value;
use turbojpeg::PixelFormat;

/// JPEG at quality 95 without chroma subsampling: mean error of a channel, of 255.
const MEAN_ERROR: f64 = 2.0;

fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in tar::Archive::new(archive).entries().expect("a tar") {
        let mut entry = entry.expect("a member");
        let name = entry.path().expect("a name").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("in memory");
        found.push((name, bytes));
    }
    found
}

/// All frames' times and the frame numbered `frame` as RGB, by the ffmpeg programs.
fn peer_frame(video: &Path, frame: u64) -> Vec<u8> {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(video);
    ffmpeg.args([
        "-vf",
        &format!("select=eq(n\\,{frame})"),
        "-vsync",
        "0",
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]);
    ffmpeg.output().expect("the ffmpeg program is installed").stdout
}

fn peer_times(video: &Path) -> (f64, Vec<f64>) {
    let probe = |what: &str| {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "error", "-select_streams", "v:0", "-show_entries", what, "-of", "csv=p=0"]).arg(video);
        String::from_utf8(ffprobe.output().expect("the ffprobe program is installed").stdout).expect("numbers")
    };
    let number = |text: &str| text.trim().trim_end_matches(',').parse::<f64>().ok();
    let duration =
        number(probe("stream=duration").lines().next().unwrap_or_default()).expect("an MP4 says its duration");
    (duration, probe("frame=pts_time").lines().filter_map(number).collect())
}

#[test]
fn sixteen_keyframes_are_ffmpegs_own_frames_at_their_times() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (dataset, store) = (folder.path().join("data"), folder.path().join("store"));
    Made::new(&dataset, true);
    // Real films where `make setup` put them.
    for (clip, as_movie) in [("tt9900002", 2), ("tt9900009", 4)] {
        let from = repository().join(format!(".local/demo/dataset/trailers/{clip}.mp4"));
        let to = dataset.join(format!("trailers/{}.mp4", jhalak_tests::dataset::id(as_movie)));
        std::fs::copy(&from, to).expect("`scripts/setup.sh test` made the demo's clips");
    }
    let ended = run(command("jhalak", &store).args(["run", "--quiet", "--dataset"]).arg(&dataset));
    assert_eq!(ended.code, Some(0), "{}", ended.err);

    let archives: Vec<(String, Vec<u8>)> =
        files(&store).into_iter().filter(|(name, _)| name.ends_with("keyframes.tar")).collect();
    assert_eq!(archives.len(), 5);
    for (name, archive) in archives {
        let movie = name.split('/').nth(3).and_then(|folder| folder.split('@').next()).expect("a subject").to_string();
        let video: PathBuf = dataset.join(format!("trailers/{movie}.mp4"));
        let (duration, times) = peer_times(&video);
        let members = members(&archive);
        assert_eq!(members.len(), 32, "{movie}: 16 pictures and their facts");
        for (index, pair) in members.chunks(2).enumerate() {
            assert_eq!(pair[0].0, format!("{movie}-{index:02}.jpg"));
            let facts: Value = serde_json::from_slice(&pair[1].1).expect("JSON");
            let target = duration * index as f64 / 16.0;
            let shown = times.iter().rposition(|&t| t - times[0] <= target + 1e-6).unwrap_or(0);
            assert_eq!(facts["frame"], shown, "{movie}: keyframe {index} at {target} s");
            let ours = turbojpeg::decompress(&pair[0].1, PixelFormat::RGB).expect("a JPEG").pixels;
            let theirs = peer_frame(&video, shown as u64);
            assert_eq!(ours.len(), theirs.len(), "{movie}: the size of keyframe {index}");
            let error: f64 =
                ours.iter().zip(&theirs).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>() / ours.len() as f64;
            assert!(error < MEAN_ERROR, "{movie}: keyframe {index} differs by {error:.2} a channel");
        }
    }
}
