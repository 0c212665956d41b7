//! Time has one source: the same packets give the same keyframes, scenes and times in any
//! container, with or without a duration in the header, and a varying rate is reported with the
//! real times.

use crate::support::{PICTURE, TONE, ffmpeg, folder, made, request};
use jhalak_worker::media::frame_visitor::{FramePosition, FrameVisitor};
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::{DecodeReport, FrameSettings, MediaError, Position, decode};
use std::path::{Path, PathBuf};

/// The result of a decode, apart from the container.
#[derive(Debug, PartialEq)]
struct Seen {
    keyframes: Vec<u64>,
    middles: Vec<u64>,
    cuts: Vec<u64>,
    frames: u64,
}

fn seen(video: &Path, position: Position, scenes: bool) -> (Seen, DecodeReport, Option<SceneList>) {
    let out = folder();
    let mut request = request(video, out.path());
    request.audio = None;
    request.keyframes.as_mut().unwrap().position = position;
    if scenes {
        (request.scenes, request.scene_middle) = (Some(Default::default()), Some(Default::default()));
    }
    let report = decode::run(&request).unwrap_or_else(|error| panic!("{}: {error}", video.display()));
    let list: Option<SceneList> =
        report.scenes.as_ref().map(|scenes| serde_json::from_slice(&std::fs::read(&scenes.json).unwrap()).unwrap());
    let numbers = |keyframes: &[jhalak_worker::media::Keyframe]| keyframes.iter().map(|k| k.frame).collect();
    let seen = Seen {
        keyframes: numbers(&report.keyframes),
        middles: report.scene_middle.as_ref().map(|set| numbers(&set.keyframes)).unwrap_or_default(),
        cuts: list.as_ref().map(|list| list.cuts.clone()).unwrap_or_default(),
        frames: report.video.frames.unwrap(),
    };
    (seen, report, list)
}

/// Copies the packets of `video` into the container that `name` ends in.
fn remuxed(folder: &Path, video: &Path, name: &str, more: &str) -> PathBuf {
    ffmpeg(folder, &format!("-fflags +genpts -i {} -map 0 -c copy {more} -bitexact {name}", video.display()));
    folder.join(name)
}

#[test]
fn the_same_packets_give_the_same_frames_in_every_container() {
    let files = folder();
    // Cuts every 23 frames; 96 frames at 30000/1001 a second, whose targets lie exactly on frames.
    let cuts = |rate: &str, frames: u32| {
        format!(
            "-f lavfi -i testsrc2=s=176x144:r={rate}:d=30,negate=enable='mod(floor(n/23)\\,2)' {TONE} -frames:v {frames}"
        )
    };
    let h264 = "-c:v libx264 -preset ultrafast -bf 2 -g 12 -c:a mp2";
    let xvid = "-c:v mpeg4 -bf 2 -g 12 -q:v 4 -c:a mp2";
    let plain = "-c:v mpeg4 -g 12 -q:v 4 -c:a mp2";
    let sources = [
        ("h264", "mkv", format!("{} {h264}", cuts("30000/1001", 96))),
        ("h264-100", "mp4", format!("{} {h264}", cuts("25", 100))),
        ("h264-60", "mp4", format!("{} {h264}", cuts("60000/1001", 160))),
        ("xvid", "avi", format!("{} {xvid}", cuts("25", 100))),
        ("plain", "avi", format!("{} {plain}", cuts("24000/1001", 112))),
    ];
    for (name, extension, arguments) in sources {
        let source = made(files.path(), &format!("{name}.{extension}"), &arguments);
        let mut all = vec![source.clone()];
        for (container, more) in [("mp4", ""), ("mkv", ""), ("avi", ""), ("ts", ""), ("flv", "-an")] {
            let takes = container != "flv" || name.starts_with("h264");
            let annex_b = name.starts_with("h264") && container == "avi";
            let more = if annex_b { "-bsf:v h264_mp4toannexb" } else { more };
            if takes && container != extension {
                all.push(remuxed(files.path(), &source, &format!("{name}-copy.{container}"), more));
            }
        }
        for position in [Position::Start, Position::Middle] {
            let (expected, first, _) = seen(&all[0], position, true);
            let real = first.video.duration_s;
            assert!(expected.cuts.len() >= 3, "{name}: {expected:?}");
            for video in &all {
                let (whole, report, list) = seen(video, position, true);
                assert_eq!(whole, expected, "{}", video.display());
                let (sought, ..) = seen(video, position, false);
                assert_eq!(sought.keyframes, expected.keyframes, "{}", video.display());
                let (list, first) = (list.unwrap(), &report.keyframes[0]);
                assert!(!list.rate_varies && list.shown_s[0][0] == 0.0, "{}", video.display());
                assert!(position == Position::Middle || first.time_s == 0.0, "{}: {first:?}", video.display());
                assert!((report.video.duration_s - real).abs() < 0.005, "{}: {report:?}", video.display());
            }
        }
    }
}

#[test]
fn vp8_and_vp9_give_the_same_frames_in_webm_mkv_and_avi() {
    let files = folder();
    for codec in ["libvpx", "libvpx-vp9"] {
        let coder = format!("-c:v {codec} -deadline realtime -cpu-used 8 -auto-alt-ref 1 -lag-in-frames 8 -g 30");
        let source = made(files.path(), &format!("{codec}.webm"), &format!("{PICTURE} {coder}"));
        let (expected, ..) = seen(&source, Position::Start, true);
        for container in ["mkv", "mp4", "avi"] {
            if container != "mkv" && codec == "libvpx" {
                continue;
            }
            let copy = remuxed(files.path(), &source, &format!("{codec}-copy.{container}"), "");
            assert_eq!(seen(&copy, Position::Start, true).0, expected, "{}", copy.display());
        }
    }
}

/// Checks that `copies` have the keyframes and the length of `source`, by seeking and by a full
/// decode, and the given evenness.
fn assert_same(source: &Path, copies: &[PathBuf], rate_varies: bool, seconds: f64) {
    let (expected, ..) = seen(source, Position::Start, true);
    for video in [source.to_path_buf()].iter().chain(copies) {
        for scenes in [true, false] {
            let (found, report, list) = seen(video, Position::Start, scenes);
            assert_eq!(found.keyframes, expected.keyframes, "{} {scenes}", video.display());
            assert_eq!(report.video.rate_varies, rate_varies, "{} {scenes}: {report:?}", video.display());
            let length = report.video.duration_s;
            assert!((length - seconds).abs() < 0.005, "{} {scenes}: {report:?}", video.display());
            let end = list.map(|list| list.shown_s.last().unwrap()[1]);
            assert!(end.is_none_or(|end| (end - length).abs() < 0.005), "{}: {end:?}", video.display());
            let last = report.keyframes.last().unwrap();
            assert!(last.target_s < length, "{}: {last:?}", video.display());
        }
    }
}

#[test]
fn a_last_frame_cut_by_the_end_of_the_sound_is_a_frame() {
    let files = folder();
    for rate in [24, 30] {
        let picture = format!("-f lavfi -i testsrc2=s=160x90:r={rate}:d=5 -f lavfi -i sine=d=5:r=48000");
        let coder = "-c:v libx264 -preset ultrafast -bf 0 -c:a libopus";
        let source = made(files.path(), &format!("opus{rate}.mkv"), &format!("{picture} {coder}"));
        let copy = remuxed(files.path(), &source, &format!("opus{rate}.mp4"), "");
        assert_same(&source, &[copy], false, 5.0);
    }
}

#[test]
fn packets_before_the_first_key_packet_of_a_recording_are_not_time() {
    let files = folder();
    let picture = "-f lavfi -i testsrc2=s=160x90:r=25:d=8 -f lavfi -i sine=d=8";
    for (name, coder, frames) in
        [("h264", "-c:v libx264 -preset ultrafast -g 25 -bf 2", 80), ("mpeg2", "-c:v mpeg2video -g 12 -bf 2", 80)]
    {
        let whole = made(files.path(), &format!("{name}.ts"), &format!("{picture} {coder} -c:a mp2"));
        let bytes = std::fs::read(&whole).unwrap();
        // From inside a group of pictures.
        let packets: Vec<&[u8]> = bytes.chunks_exact(188).collect();
        let cut = files.path().join(format!("{name}-cut.ts"));
        std::fs::write(&cut, packets[packets.len() * 2 / 5..].concat()).unwrap();
        let copy = remuxed(files.path(), &cut, &format!("{name}-cut.mkv"), "");
        let (of_copy, report, _) = seen(&copy, Position::Start, true);
        assert!(of_copy.frames >= frames && of_copy.frames < 150, "{name}: {report:?}");
        assert_same(&copy, &[cut], false, of_copy.frames as f64 / 25.0);
    }
}

#[test]
fn a_varying_rate_has_the_same_keyframes_in_every_container_with_milliseconds() {
    let files = folder();
    // One frame of eight in 240 a second, at random.
    let source = "-f lavfi -i testsrc2=s=96x64:r=240:d=4 -vf \"select=eq(n\\,0)+gt(random(1)\\,0.88)\"";
    let source = source.replace('"', "");
    let coder = "-vsync vfr -enc_time_base 1:90000 -c:v libx264 -preset ultrafast -bf 2 -video_track_timescale 90000";
    let mp4 = made(files.path(), "varying.mp4", &format!("{source} {coder}"));
    let copies = ["varying.mkv", "varying.ts"].map(|name| remuxed(files.path(), &mp4, name, ""));
    let (expected, report, _) = seen(&mp4, Position::Start, true);
    assert!(report.video.rate_varies && expected.frames > 60, "{report:?}");
    for copy in &copies {
        for scenes in [true, false] {
            let (found, ..) = seen(copy, Position::Start, scenes);
            assert_eq!(found.keyframes, expected.keyframes, "{}", copy.display());
        }
    }
}

#[test]
fn a_gap_after_the_first_frame_of_an_avi_with_timestamps_is_not_time() {
    let files = folder();
    for rate in ["24", "30000/1001", "60"] {
        let picture = format!("-f lavfi -i testsrc2=s=96x64:r={rate} -f lavfi -i sine=r=48000:d=4");
        let coder = "-frames:v 90 -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libopus";
        let name = rate.replace('/', "-");
        let source = made(files.path(), &format!("{name}.webm"), &format!("{picture} {coder}"));
        let copy = remuxed(files.path(), &source, &format!("{name}.avi"), "-c:a mp2");
        let (numerator, denominator) = rate.split_once('/').unwrap_or((rate, "1"));
        let rate = numerator.parse::<f64>().unwrap() / denominator.parse::<f64>().unwrap();
        assert_same(&source, &[copy], false, 90.0 / rate);
    }
}

/// Counts frames and notes the last one's time.
struct Last(f64);

impl FrameVisitor for &mut Last {
    fn visit(&mut self, position: FramePosition, _: Picture) -> Result<(), MediaError> {
        self.0 = position.time_s;
        Ok(())
    }
}

/// Checks that every command finds the length `seconds`.
fn assert_length(video: &Path, seconds: f64, last_s: f64) {
    for scenes in [false, true] {
        let report = seen(video, Position::Start, scenes).1;
        assert!((report.video.duration_s - seconds).abs() < 0.002, "{} {scenes}: {report:?}", video.display());
    }
    let out = folder();
    let mut only = request(video, out.path());
    (only.keyframes, only.audio, only.scenes) = (None, None, Some(Default::default()));
    let report = decode::run(&only).unwrap();
    assert!((report.video.duration_s - seconds).abs() < 0.002, "{}: {report:?}", video.display());
    (only.scenes, only.frames) = (None, Some(FrameSettings { stride: 1 }));
    let mut last = Last(-1.0);
    let mut visitor = &mut last;
    let hooks = decode::Hooks { detector: None, visitor: Some(&mut visitor) };
    let report = decode::run_with(&only, &mut |_, _| {}, hooks).unwrap();
    assert!((report.video.duration_s - seconds).abs() < 0.002, "{}: {report:?}", video.display());
    assert!((last.0 - last_s).abs() < 0.002, "{}: {}", video.display(), last.0);
}

#[test]
fn a_file_without_a_duration_has_the_length_of_its_packets() {
    let files = folder();
    let webm = "-c:v libvpx -deadline realtime -live 1 -f webm";
    let live = made(files.path(), "live.webm", &format!("{PICTURE} {webm}"));
    assert_length(&live, 4.0, 3.96);
    let gif = made(files.path(), "motion.gif", &format!("{PICTURE} -t 2 -vf scale=64:36"));
    assert_length(&gif, 2.0, 1.96);
    let png = made(files.path(), "motion.apng", &format!("{PICTURE} -t 1 -vf scale=64:36 -plays 0"));
    assert_length(&png, 1.0, 0.96);
    // The name and the contents of an animated PNG differ.
    let named = files.path().join("motion.png");
    std::fs::copy(&png, &named).unwrap();
    assert_length(&named, 1.0, 0.96);
}

#[test]
fn times_begin_at_the_first_frame_in_late_and_early_files() {
    let files = folder();
    let h264 = "-c:v libx264 -preset ultrafast -bf 2";
    let source = made(files.path(), "plain.mp4", &format!("{PICTURE} {TONE} {h264} -c:a aac"));
    let (expected, ..) = seen(&source, Position::Start, true);
    for (name, more) in [
        ("late.ts", "-output_ts_offset 3600"),
        ("late.mkv", "-output_ts_offset 100"),
        ("negative.mkv", "-output_ts_offset -1 -avoid_negative_ts disabled"),
        ("pieces.mp4", "-movflags frag_keyframe+empty_moov"),
    ] {
        let video = remuxed(files.path(), &source, name, more);
        let (found, report, _) = seen(&video, Position::Start, true);
        assert_eq!(found, expected, "{name}");
        assert!((report.keyframes[0].time_s, report.video.duration_s.round()) == (0.0, 4.0), "{name}: {report:?}");
    }
}

#[test]
fn a_varying_rate_is_reported_and_scenes_have_the_real_times() {
    let files = folder();
    // 50 frames at 25 a second, then 50 at 12.5: 2 s + 4 s, with a cut every 25 frames.
    let source = "-f lavfi -i testsrc2=s=176x144:r=25:d=4,negate=enable='mod(floor(n/25)\\,2)'";
    let times = "-vf settb=1/1000,setpts='if(lt(N\\,50)\\,N*40\\,2000+(N-50)*80)' -vsync passthrough";
    let video = made(files.path(), "varying.mkv", &format!("{source} {times} -c:v libx264 -preset ultrafast"));
    let (_, report, list) = seen(&video, Position::Start, true);
    let list = list.unwrap();
    assert!(report.video.rate_varies && list.rate_varies, "{report:?}");
    assert_eq!(list.cuts, [25, 50, 75]);
    let starts: Vec<f64> = list.shown_s.iter().map(|shown| (shown[0] * 1e3).round() / 1e3).collect();
    assert_eq!(starts, [0.0, 1.0, 2.0, 4.0]);
    let end = list.shown_s[3][1];
    assert!((5.92..=6.01).contains(&end) && end <= report.video.duration_s + 1e-9, "{end} of {report:?}");
    assert!(
        list.csv()
            .lines()
            .nth(1)
            .unwrap()
            .ends_with("Real Start Time (seconds),Real End Time (seconds),Real Length (seconds)")
    );
}

#[test]
fn avi_files_of_encoders_that_lag_or_count_fields_have_the_times_of_their_frames() {
    let files = folder();
    let cuts = "-f lavfi -i testsrc2=s=176x144:r=25:d=4,negate=enable='mod(floor(n/23)\\,2)'";
    // The first B-frame comes two empty chunks after the first frame.
    let gap = made(files.path(), "gap.avi", &format!("{cuts} -c:v libxvid -bf 2 -g 12 -q:v 4"));
    let h264 = made(files.path(), "h264.mp4", &format!("{cuts} -c:v libx264 -preset ultrafast -bf 2 -g 12"));
    // The header of this one states fields a second.
    let fields = remuxed(files.path(), &h264, "fields.avi", "");
    for (video, shown) in [(&gap, None), (&fields, Some(25.0))] {
        let (seen, report, list) = seen(video, Position::Start, true);
        let (list, info) = (list.unwrap(), &report.video);
        let length = seen.frames as f64 / 25.0;
        assert!(!info.rate_varies && (info.duration_s - length).abs() < 1e-6, "{}: {info:?}", video.display());
        assert_eq!(info.shown_fps, shown, "{}", video.display());
        let end = list.shown_s.last().unwrap()[1];
        assert!((end - length).abs() < 1e-6, "{}: {end}", video.display());
        let expected = list.cuts.iter().map(|&cut| cut as f64 / 25.0);
        let starts = list.shown_s.iter().skip(1).map(|shown| shown[0]);
        assert!(starts.zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{}: {:?}", video.display(), list.shown_s);
    }
}

#[test]
fn images_that_are_not_read_are_refused_by_name() {
    let files = folder();
    let source = "-f lavfi -i testsrc2=s=64x64:r=10:d=0.5";
    // The headers alone: FFmpeg here writes neither.
    let mut webp = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0".to_vec();
    webp.resize(64, 0);
    std::fs::write(files.path().join("moving.webp"), webp).unwrap();
    let tiff = made(files.path(), "plain.tiff", &format!("{source} -frames:v 1 -compression_algo raw"));
    let mut bytes = std::fs::read(&tiff).unwrap();
    // The entry of the compression: tag 259, type 3, one value.
    let at = bytes.windows(8).position(|w| w == [3, 1, 3, 0, 1, 0, 0, 0]).unwrap();
    let picture = |file: &Path| {
        let mut only = request(file, files.path());
        (only.keyframes, only.audio, only.frames) = (None, None, Some(FrameSettings { stride: 1 }));
        let mut last = Last(-1.0);
        let mut visitor = &mut last;
        let hooks = decode::Hooks { detector: None, visitor: Some(&mut visitor) };
        decode::run_with(&only, &mut |_, _| {}, hooks).map(|report| report.is_picture)
    };
    assert_eq!(picture(&tiff), Ok(true));
    bytes[at + 8] = 7;
    std::fs::write(&tiff, &bytes).unwrap();
    let made_as = |name: &str, arguments: &str| made(files.path(), name, &format!("{source} -frames:v 1 {arguments}"));
    made_as("plain.ppm", "");
    made_as("plain.pgm", "");
    made_as("plain.tga", "");
    made_as("plain.jp2", "");
    std::fs::write(files.path().join("plain.jxl"), b"\xff\x0a\0\0\0\0").unwrap();
    for (file, words) in [
        ("moving.webp", "animated WebP"),
        ("plain.tiff", "TIFF with JPEG compression"),
        ("plain.ppm", "a PNM image"),
        ("plain.pgm", "a PNM image"),
        ("plain.tga", "a TGA image"),
        ("plain.jp2", "a JPEG 2000 image"),
        ("plain.jxl", "a JPEG XL image"),
    ] {
        let file = files.path().join(file);
        let refused = [picture(&file).unwrap_err(), decode::run(&request(&file, files.path())).unwrap_err()];
        assert!(refused.iter().all(|error| error.to_string().contains(words)), "{refused:?}");
    }
}

#[test]
fn a_sound_file_has_sound_if_only_sound_is_requested() {
    let files = folder();
    for name in ["tone.wav", "tone.mp3", "tone.flac", "tone.ogg", "tone.aiff"] {
        let coder = if name.ends_with("ogg") { "-c:a libvorbis" } else { "" };
        let sound = made(files.path(), name, &format!("{TONE} {coder}"));
        let mut only = request(&sound, files.path());
        only.keyframes = None;
        let report = decode::run(&only).unwrap_or_else(|error| panic!("{name}: {error}"));
        let is_right =
            matches!(&report.audio, Some(jhalak_worker::media::AudioTrack::Present { samples: 60_000.., .. }));
        assert!(is_right && report.video.codec.is_empty(), "{name}: {report:?}");
        let refused = decode::run(&request(&sound, files.path())).unwrap_err();
        assert!(refused.to_string().contains("no video stream"), "{name}: {refused}");
    }
}

#[test]
fn trailers_of_other_containers_are_read() {
    let files = folder();
    let h264 = "-c:v libx264 -preset ultrafast";
    for (name, coder) in [
        ("a.ts", h264),
        ("a.m2ts", h264),
        ("a.flv", h264),
        ("a.3gp", "-c:v mpeg4"),
        ("a.mxf", "-c:v mpeg2video"),
        ("a.wmv", "-c:v wmv2"),
        ("a.ogv", "-c:v libtheora"),
        ("a.vob", "-c:v mpeg2video"),
        ("A.TS", h264),
        ("misnamed.mp4", "-c:v libvpx -deadline realtime -f webm"),
    ] {
        let video = made(files.path(), name, &format!("{PICTURE} {coder}"));
        let (found, report, _) = seen(&video, Position::Start, true);
        assert_eq!((found.frames, found.keyframes.len()), (100, 16), "{name}");
        assert!((report.video.duration_s - 4.0).abs() < 0.01, "{name}: {report:?}");
    }
}

/// The file of a case in ../shared/cases; prints why the test is skipped if it is missing.
fn case(name: &str) -> Option<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = above.map(|a| a.join("shared/cases").join(name)).find(|file| file.is_file());
    if found.is_none() {
        println!("skipped: no ../shared/cases/{name} here");
    }
    found
}

#[test]
fn reported_files_have_the_right_times() {
    let Some(live) = case("webm-without-duration/live.webm") else { return };
    assert_length(&live, 8.0, 7.96);
    let Some(avi) = case("avi-b-frames/xvid_bf.avi") else { return };
    let Some(mkv) = case("avi-b-frames/xvid_remux.mkv") else { return };
    let (of_avi, ..) = seen(&avi, Position::Start, true);
    assert_eq!(of_avi.keyframes[..5], [0, 12, 25, 37, 50]);
    assert_eq!(of_avi, seen(&mkv, Position::Start, true).0);
    let Some(vfr) = case("vfr/softtelecine.mkv") else { return };
    let (_, report, list) = seen(&vfr, Position::Start, true);
    let list = list.unwrap();
    let real: Vec<i64> = list.shown_s.iter().map(|shown| (shown[0] * 1e3).round() as i64).collect();
    assert!([0, 1_680, 3_320, 5_440].iter().all(|time| real.contains(time)), "{real:?}");
    assert_eq!(list.shown_s.last().map(|shown| (shown[1] * 1e3).round()), Some(7_520.0));
    assert!(list.rate_varies && report.video.rate_varies && (report.video.duration_s - 7.52).abs() < 1e-6);
    let Some(tiff) = case("jpeg-in-tiff/jpeg.tiff") else { return };
    let out = folder();
    let refused = decode::run(&request(&tiff, out.path())).unwrap_err();
    assert!(refused.to_string().contains("JPEG compression"), "{refused}");
}
