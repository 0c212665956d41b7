//! Keyframes: the right frames, with the pixels of the `ffmpeg` program, in an archive of
//! reproducible bytes.

use crate::support::{PICTURE, TONE, decoded, ffmpeg, ffmpeg_reads, ffprobe, folder, made, members, real_videos};
use jhalak_worker::media::picture::jpeg_decoder;
use jhalak_worker::media::{DecodeReport, Keyframe, Outcome};
use std::path::Path;

/// Returns ffmpeg's frames with these numbers as RGB.
fn peer_frames(video: &Path, numbers: &[u64]) -> Vec<u8> {
    let select: Vec<String> = numbers.iter().map(|n| format!("eq(n,{n})")).collect();
    let select = select.join("+").replace(',', "\\,");
    ffmpeg_reads(
        video,
        &format!("-i {{}} -map 0:v:0 -vf select={select} -vsync passthrough -pix_fmt rgb24 -f rawvideo -"),
    )
}

/// Checks that every picture equals ffmpeg's byte for byte, and that the JPEG is close to it.
fn agrees(video: &Path) -> DecodeReport {
    let out = folder();
    let (report, pictures) = decoded(video, out.path());
    assert_eq!(report.keyframes.len(), 16, "{}", video.display());
    let mut numbers: Vec<u64> = report.keyframes.iter().map(|k| k.frame).collect();
    numbers.dedup();
    let peer = peer_frames(video, &numbers);
    let mut rest = peer.as_slice();
    for (keyframe, picture) in report.keyframes.iter().zip(&pictures) {
        if keyframe.repeats.is_some() {
            continue;
        }
        let (frame, after) = rest.split_at_checked(picture.rgb.len()).expect("as many bytes as from ffmpeg");
        let differing = frame.iter().zip(&picture.rgb[..]).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 0, "{}: bytes of frame {}", video.display(), keyframe.frame);
        rest = after;
    }
    assert!(rest.is_empty(), "{}: ffmpeg has larger frames", video.display());

    let members = members(report.keyframes_tar.as_deref().unwrap());
    assert_eq!(members.len(), 32);
    for (index, picture) in pictures.iter().enumerate() {
        assert_eq!(members[2 * index].0, format!("tt0240200-{index:02}.jpg"));
        assert_eq!(members[2 * index + 1].0, format!("tt0240200-{index:02}.json"));
        let stored: Keyframe = serde_json::from_slice(&members[2 * index + 1].1).unwrap();
        assert_eq!(stored, report.keyframes[index]);
        let seen = jpeg_decoder::decode(&members[2 * index].1).unwrap();
        assert_eq!((seen.width, seen.height), (picture.width, picture.height));
        let pixels = &seen.rgb;
        let total: u64 = pixels.iter().zip(&picture.rgb[..]).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        let mean = total as f64 / pixels.len() as f64;
        assert!(mean < 2.0, "{}: mean JPEG error {mean} of 255", video.display());
    }
    report
}

/// Checks that every keyframe is the last frame at or before its target, by `ffprobe`'s timestamps.
/// At a varying rate the targets are spread as if the last frame lasted as long as the others on
/// average, and times are compared in whole milliseconds.
fn chooses_by_timestamp(video: &Path, report: &DecodeReport) {
    let stream = ffprobe(video, "-select_streams v:0 -show_entries stream=start_pts,duration_ts");
    // Files with programs list their streams twice.
    let [Some(start), Some(duration), ..] = stream[..] else { panic!("{}: no duration", video.display()) };
    let shown = ffprobe(video, "-select_streams v:0 -show_entries frame=best_effort_timestamp");
    let ticks = |frame: usize| shown[frame].unwrap() - start;
    let (last, count) = (report.keyframes.last().unwrap(), shown.len() as i64);
    let unit = if report.video.rate_varies { last.time_s * 1e3 / ticks(last.frame as usize) as f64 } else { 1.0 };
    let whole = |ticks: i64| (ticks as f64 * unit).round() as i64;
    let spread = (2 * whole(ticks(shown.len() - 1)) * count + count - 1) / (2 * (count - 1)).max(1);
    let length = if report.video.rate_varies { spread } else { duration };
    for (i, keyframe) in report.keyframes.iter().enumerate() {
        let at_or_before = |pts: &Option<i64>| whole(pts.unwrap() - start) <= i as i64 * length / 16;
        let expected = shown.iter().rposition(at_or_before).unwrap_or(0);
        assert_eq!(keyframe.frame as usize, expected, "{}: keyframe {i}", video.display());
    }
}

/// Generated files: name and encoder settings.
const KINDS: [(&str, &str); 11] = [
    ("plain.mp4", "-c:v libx264 -preset veryfast -c:a aac"),
    ("bt709.mp4", "-c:v libx264 -preset veryfast -colorspace bt709 -color_primaries bt709 -color_trc bt709"),
    ("full_range.mp4", "-c:v libx264 -preset veryfast -pix_fmt yuvj420p"),
    ("tenbit.mp4", "-c:v libx264 -preset veryfast -pix_fmt yuv420p10le"),
    ("p444.mp4", "-c:v libx264 -preset veryfast -pix_fmt yuv444p"),
    ("p422.mkv", "-c:v libx264 -preset veryfast -pix_fmt yuv422p -c:a pcm_s16le"),
    ("odd.mkv", "-vf scale=321:181 -c:v ffv1 -pix_fmt yuv420p"),
    ("vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"),
    ("hevc10.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le"),
    ("interlaced.ts", "-c:v mpeg2video -flags +ildct+ilme -c:a mp2"),
    ("packed.avi", "-c:v mpeg4 -bf 2 -c:a mp3"),
];

#[test]
fn pictures_equal_those_of_ffmpeg_in_every_kind_of_file() {
    let files = folder();
    for (name, settings) in KINDS {
        agrees(&made(files.path(), name, &format!("{PICTURE} {TONE} {settings}")));
    }
}

#[test]
fn pictures_equal_those_of_ffmpeg_when_rotated() {
    let files = folder();
    made(files.path(), "plain.mp4", &format!("{PICTURE} -c:v libx264 -preset veryfast"));
    for degrees in [90, 180, 270] {
        let name = format!("turned{degrees}.mp4");
        ffmpeg(files.path(), &format!("-i plain.mp4 -c copy -metadata:s:v:0 rotate={degrees} {name}"));
        agrees(&files.path().join(&name));
        let (report, pictures) = decoded(&files.path().join(&name), files.path());
        let expected = if degrees == 180 { (320, 180) } else { (180, 320) };
        assert_eq!((report.video.width, report.video.height), expected);
        assert_eq!((pictures[0].width, pictures[0].height), expected);
    }
}

#[test]
fn pictures_and_choices_equal_those_of_ffmpeg_on_real_files() {
    for video in real_videos() {
        // Files that FFmpeg cannot open or that have no video belong to the tests of hostile files.
        if ffprobe(&video, "-select_streams v:0 -show_entries stream=width").first().is_none_or(Option::is_none) {
            continue;
        }
        let report = agrees(&video);
        let has_length = ffprobe(&video, "-select_streams v:0 -show_entries stream=duration_ts")[0].is_some();
        let late = ffprobe(&video, "-select_streams v:0 -read_intervals %+#1 -show_entries packet=pts")[0] > Some(1000);
        if has_length && !late {
            chooses_by_timestamp(&video, &report);
        }
    }
}

#[test]
fn frames_are_chosen_by_time_at_a_varying_rate_and_with_a_late_start() {
    let files = folder();
    let plain = made(files.path(), "plain.mp4", &format!("{PICTURE} -c:v libx264 -preset veryfast"));
    chooses_by_timestamp(&plain, &agrees(&plain));
    let uneven = "-vf select='not(mod(n\\,7))+gt(n\\,60)' -vsync vfr -c:v libx264 -preset veryfast";
    let uneven = made(files.path(), "vfr.mp4", &format!("{PICTURE} {uneven}"));
    chooses_by_timestamp(&uneven, &agrees(&uneven));
    let late = made(files.path(), "late.ts", &format!("{PICTURE} -c:v libx264 -preset veryfast -output_ts_offset 100"));
    let report = agrees(&late);
    chooses_by_timestamp(&late, &report);
    assert_eq!(report.keyframes[8].frame, 50);
    assert!((report.keyframes[8].time_s - 2.0).abs() < 1e-3);
}

#[test]
fn without_a_duration_keyframes_are_spread_over_all_frames() {
    let files = folder();
    // A stream cannot be rewound to write its duration: no duration in the header, none in the
    // stream.
    let live = format!("{PICTURE} -c:v libvpx -deadline realtime -f webm -");
    std::fs::write(files.path().join("live.webm"), ffmpeg(files.path(), &live)).unwrap();
    made(files.path(), "raw.h264", &format!("{PICTURE} -c:v libx264 -preset veryfast"));
    for name in ["live.webm", "raw.h264"] {
        let (report, _) = decoded(&files.path().join(name), files.path());
        assert_eq!(report.outcome, Outcome::Complete, "{name}");
        assert_eq!(report.video.announced_s, None, "{name}");
        let frames: Vec<u64> = report.keyframes.iter().map(|k| k.frame).collect();
        assert_eq!(frames, (0..16).map(|i| i * 100 / 16).collect::<Vec<u64>>(), "{name}");
        agrees(&files.path().join(name));
    }
}

#[test]
fn a_video_of_one_frame_gives_sixteen_keyframes_marked_as_repeats() {
    let files = folder();
    let one = "-f lavfi -i testsrc2=s=64x48:r=25:d=0.04 -frames:v 1 -c:v libx264 -pix_fmt yuv420p";
    let (report, pictures) = decoded(&made(files.path(), "one.mp4", one), files.path());
    assert_eq!((report.keyframes.len(), pictures.len()), (16, 16));
    assert_eq!(report.outcome, Outcome::Complete);
    assert_eq!(report.keyframes[0].repeats, None);
    assert!(report.keyframes[1..].iter().all(|k| k.repeats == Some(0) && k.frame == 0));
}

#[test]
fn each_frame_keeps_its_size_if_the_size_changes_inside_the_file() {
    let files = folder();
    made(files.path(), "small.ts", "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset veryfast");
    made(files.path(), "large.ts", "-f lavfi -i testsrc2=s=320x240:r=25:d=2 -c:v libx264 -preset veryfast");
    let mut glued = std::fs::read(files.path().join("small.ts")).unwrap();
    glued.extend(std::fs::read(files.path().join("large.ts")).unwrap());
    std::fs::write(files.path().join("glued.ts"), glued).unwrap();
    let (report, pictures) = decoded(&files.path().join("glued.ts"), files.path());
    assert_eq!(report.keyframes.len(), 16);
    assert_eq!(report.video.frames, Some(100));
    assert!(pictures.iter().any(|p| p.width == 160) && pictures.iter().any(|p| p.width == 320));
}

#[test]
fn the_archive_has_the_same_bytes_on_every_run() {
    let files = folder();
    let video = made(files.path(), "plain.mp4", &format!("{PICTURE} -c:v libx264 -preset veryfast"));
    let archives: Vec<Vec<u8>> = (0..2)
        .map(|_| {
            let out = folder();
            std::fs::read(decoded(&video, out.path()).0.keyframes_tar.unwrap()).unwrap()
        })
        .collect();
    assert!(archives[0] == archives[1]);
    let mut archive = tar::Archive::new(archives[0].as_slice());
    for entry in archive.entries().unwrap() {
        let header = entry.unwrap().header().clone();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        assert_eq!((header.mtime().unwrap(), owner, header.mode().unwrap()), (0, (0, 0), 0o644));
    }
}
