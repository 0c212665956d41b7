//! Keyframes by seeking equal those of a full decode.

use crate::support::{PICTURE, TONE, ffmpeg, folder, made, real_videos, request};
use jhalak_worker::media::{DecodeReport, DecodeRequest, Outcome, Position, SceneSettings, decode};
use std::path::Path;

/// Returns the reports of the same request by seeking (without scenes) and by a full decode (with
/// scenes), after checking that both wrote the same outputs.
fn both_ways(video: &Path, change: impl Fn(&mut DecodeRequest)) -> Option<[DecodeReport; 2]> {
    let outs = [folder(), folder()];
    let reports = [None, Some(SceneSettings::default())].into_iter().zip(&outs).map(|(scenes, out)| {
        let mut request = request(video, out.path());
        change(&mut request);
        request.scenes = scenes;
        decode::run(&request).ok()
    });
    let reports: Vec<_> = reports.collect();
    let [Some(sought), Some(whole)] = &reports[..] else {
        assert!(reports.iter().all(Option::is_none), "{}: only one of the two fails", video.display());
        return None;
    };
    let name = video.display();
    assert_eq!(sought.keyframes, whole.keyframes, "{name}");
    assert_eq!(sought.video, whole.video, "{name}");
    assert_eq!(sought.outcome, whole.outcome, "{name}");
    for file in ["keyframes.tar", "audio.s16le"] {
        let [ours, theirs] = outs.each_ref().map(|out| std::fs::read(out.path().join(file)).ok());
        assert!(ours == theirs, "{name}: {file}");
    }
    let [Some(sought), Some(whole)]: [Option<DecodeReport>; 2] = reports.try_into().unwrap() else { return None };
    Some([sought, whole])
}

/// Returns the share of frames that were decoded.
fn share([sought, whole]: &[DecodeReport; 2]) -> f64 {
    assert_eq!(Some(whole.usage.frames_decoded), whole.video.frames);
    sought.usage.frames_decoded as f64 / whole.usage.frames_decoded as f64
}

#[test]
fn seeking_equals_a_full_decode_on_real_files() {
    for video in real_videos() {
        if let Some(reports) = both_ways(&video, |_| {}) {
            println!("{}: {:.2} of the frames", video.display(), share(&reports));
        }
    }
}

/// Name, encoder settings, and whether seeking must decode fewer frames.
const KINDS: [(&str, &str, bool); 17] = [
    ("short_gops.mp4", "-c:v libx264 -preset veryfast -g 12 -bf 3", true),
    ("pyramid.mkv", "-c:v libx264 -preset veryfast -g 40 -bf 8 -b_strategy 0 -x264-params b-pyramid=normal", true),
    ("open_gops.ts", "-c:v libx264 -preset veryfast -g 12 -bf 3 -x264-params open-gop=1", true),
    ("refresh.mkv", "-c:v libx264 -preset veryfast -g 12 -x264-params intra-refresh=1:bframes=0", false),
    ("one_gop.mp4", "-c:v libx264 -preset veryfast -g 1000 -bf 2 -sc_threshold 0", true),
    ("no_references.mp4", "-c:v libx264 -preset ultrafast -g 1000 -bf 0", false),
    (
        "hevc_open.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=12:open-gop=1:bframes=4",
        true,
    ),
    ("hevc10.mkv", "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=20 -pix_fmt yuv420p10le", true),
    ("vp8.webm", "-c:v libvpx -deadline realtime -g 10 -auto-alt-ref 1 -lag-in-frames 10", true),
    ("vp8_one_gop.webm", "-c:v libvpx -deadline good -cpu-used 5 -g 1000 -auto-alt-ref 1 -lag-in-frames 16", false),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline good -cpu-used 5 -g 16 -auto-alt-ref 1 -lag-in-frames 16", true),
    ("mpeg2.ts", "-c:v mpeg2video -q:v 4 -g 12 -bf 2 -c:a mp2", true),
    ("interlaced.ts", "-c:v mpeg2video -q:v 4 -g 12 -flags +ildct+ilme -c:a mp2", true),
    ("mpeg4.mp4", "-c:v mpeg4 -q:v 4 -g 12 -bf 2", true),
    ("packed.avi", "-c:v mpeg4 -q:v 4 -g 12 -bf 2 -c:a mp3", false),
    ("intra.avi", "-c:v mjpeg -q:v 4 -c:a mp3", true),
    ("other.mkv", "-c:v ffv1 -g 5 -c:a pcm_s16le", false),
];

#[test]
fn seeking_equals_a_full_decode_in_every_kind_of_file() {
    let files = folder();
    for (name, settings, is_shorter) in KINDS {
        let video = made(files.path(), name, &format!("{PICTURE} {TONE} -pix_fmt yuv420p {settings}"));
        let reports = both_ways(&video, |_| {}).unwrap();
        println!("{name}: {:.2} of the frames", share(&reports));
        assert_eq!(share(&reports) < 0.9, is_shorter, "{name}: {:.2} of the frames", share(&reports));
        let other = both_ways(&video, |request| {
            let keyframes = request.keyframes.as_mut().unwrap();
            (keyframes.count, keyframes.position) = (3, Position::Middle);
            request.audio = None;
        });
        assert!(share(&other.unwrap()) <= share(&reports) + 0.01, "{name}");
    }
}

#[test]
fn seeking_equals_a_full_decode_on_truncated_concatenated_and_edited_files() {
    let files = folder();
    let settings = "-c:v libx264 -preset veryfast -g 12 -bf 3 -c:a aac";
    let mp4 = made(files.path(), "whole.mp4", &format!("{PICTURE} {TONE} {settings} -movflags +faststart"));
    let ts = made(files.path(), "whole.ts", &format!("{PICTURE} {TONE} {settings}"));
    let webm = made(files.path(), "whole.webm", &format!("{PICTURE} -c:v libvpx -deadline realtime -g 10"));
    let edited = files.path().join("edited.mp4");
    ffmpeg(files.path(), "-ss 1.3 -i whole.mp4 -c copy edited.mp4");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(files.path().join(name), bytes).unwrap();
        files.path().join(name)
    };
    let mut all = vec![edited];
    for (whole, extension) in [(&mp4, "mp4"), (&ts, "ts"), (&webm, "webm")] {
        let bytes = std::fs::read(whole).unwrap();
        all.push(write(&format!("cut.{extension}"), &bytes[..bytes.len() * 7 / 10]));
        let mut damaged = bytes.clone();
        let (from, to) = (damaged.len() * 5 / 10, damaged.len() * 52 / 100);
        damaged[from..to].iter_mut().enumerate().for_each(|(n, byte)| *byte ^= (n * 91) as u8);
        all.push(write(&format!("damaged.{extension}"), &damaged));
        all.push(write(&format!("glued.{extension}"), &bytes.repeat(2)));
    }
    for video in all {
        let name = video.file_name().unwrap().to_str().unwrap().to_owned();
        // Only a full decode reports frames lost to damage, so the reports differ.
        if name.starts_with("damaged") {
            let out = folder();
            let report = decode::run(&request(&video, out.path())).unwrap();
            assert_eq!(report.keyframes.len(), 16, "{name}");
            continue;
        }
        let reports = both_ways(&video, |_| {}).unwrap();
        println!("{name}: {:.2} of the frames, {:?}", share(&reports), reports[0].outcome);
        // A transport stream declares no duration.
        let is_short = name == "cut.mp4" || name == "cut.webm";
        assert_eq!(is_short, matches!(reports[0].outcome, Outcome::Short { .. }), "{name}");
    }
}
