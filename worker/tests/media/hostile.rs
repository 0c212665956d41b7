//! Broken and malicious files end in a named outcome, with FFmpeg's message.

use crate::support::{EXE, PICTURE, TONE, ffmpeg, folder, made, real_videos, request};
use jhalak_worker::media::{DecodeReport, MediaError, Outcome, sandbox};
use std::path::Path;

async fn outcome(video: &Path, out: &Path) -> Result<DecodeReport, MediaError> {
    sandbox::decode(Path::new(EXE), &request(video, out), &Default::default(), &Default::default()).await
}

async fn refusal(video: &Path) -> String {
    let out = folder();
    match outcome(video, out.path()).await {
        Err(MediaError::Permanent { message }) => message,
        other => panic!("{}: {other:?}", video.display()),
    }
}

#[tokio::test]
async fn files_that_are_not_videos_are_refused_for_good_with_ffmpegs_message() {
    let files = folder();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(files.path().join(name), bytes).unwrap();
        files.path().join(name)
    };
    assert!(refusal(&write("empty.mp4", b"")).await.contains("is empty"));
    let page = refusal(&write("page.mp4", b"<html><body>Not found</body></html>")).await;
    assert!(page.contains("Invalid data found") && !page.contains("0x"), "{page}");
    let noise: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    refusal(&write("noise.mp4", &noise)).await;
    assert!(refusal(&files.path().join("absent.mp4")).await.contains("No such file"));
    assert!(refusal(files.path()).await.contains("not a regular file"));
    let sound = made(files.path(), "sound.mp4", &format!("{TONE} -c:a aac"));
    assert!(refusal(&sound).await.contains("no video stream"));
    let whole = std::fs::read(made(files.path(), "whole.mp4", &format!("{PICTURE} -c:v mpeg4"))).unwrap();
    let headless = refusal(&write("headless.mp4", &whole[..whole.len() / 2])).await;
    assert!(headless.contains("moov atom not found"), "{headless}");
}

#[tokio::test]
async fn cover_art_does_not_count_as_video() {
    let files = folder();
    made(files.path(), "cover.png", "-f lavfi -i testsrc2=s=64x64:d=0.04 -frames:v 1");
    made(files.path(), "song.mp3", &format!("{TONE} -c:a mp3"));
    let both = "-i song.mp3 -i cover.png -map 0:a -map 1:v -c copy -disposition:v:0 attached_pic";
    let video = made(files.path(), "song.mp4", both);
    assert!(refusal(&video).await.contains("no video stream"));
}

#[tokio::test]
async fn playlists_and_scripts_cannot_open_other_files_or_urls() {
    let files = folder();
    made(files.path(), "secret.ts", &format!("{PICTURE} -c:v mpeg2video"));
    let secret = files.path().join("secret.ts");
    let secret = secret.display();
    let tricks = [
        ("list.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{secret}\n#EXT-X-ENDLIST\n")),
        (
            "list.mp4",
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n".to_owned(),
        ),
        ("list.ffconcat", format!("ffconcat version 1.0\nfile {secret}\n")),
        ("list.mpd", "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>".to_owned()),
    ];
    for (name, text) in tricks {
        std::fs::write(files.path().join(name), text).unwrap();
        let message = refusal(&files.path().join(name)).await;
        assert!(message.contains("cannot open"), "{name}: {message}");
    }
}

#[tokio::test]
async fn oversized_pictures_and_too_many_streams_are_refused_for_good() {
    let files = folder();
    for size in ["20000x20000", "0x0", "17000x16"] {
        let (width, height) = size.split_once('x').unwrap();
        let header = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1 C420jpeg\nFRAME\n");
        std::fs::write(files.path().join("size.y4m"), header + &"x".repeat(1000)).unwrap();
        let message = refusal(&files.path().join("size.y4m")).await;
        println!("{size}: {message}");
    }
    let maps = "-map 0 ".repeat(100);
    let many = made(files.path(), "many.mkv", &format!("-f lavfi -i testsrc2=s=64x64:d=0.2 {maps} -c:v mpeg4"));
    assert!(refusal(&many).await.contains("100 streams"));
}

#[tokio::test]
async fn a_truncated_file_is_short_and_keyframes_cover_the_existing_part() {
    let files = folder();
    let settings = "-c:v libx264 -preset veryfast -g 25 -c:a aac -movflags +faststart";
    let mp4 = made(files.path(), "whole.mp4", &format!("{PICTURE} {TONE} {settings}"));
    let webm = made(files.path(), "whole.webm", &format!("{PICTURE} {TONE} -c:v libvpx -deadline realtime"));
    for whole in [mp4, webm] {
        let bytes = std::fs::read(&whole).unwrap();
        let cut = files.path().join("cut");
        std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
        let report = outcome(&cut, files.path()).await.unwrap();
        assert!(matches!(&report.outcome, Outcome::Short { reason } if reason.contains("announced end")), "{report:?}");
        let frames = report.video.frames.unwrap();
        assert!((20..90).contains(&frames), "{frames}");
        assert!(report.keyframes[15].frame < frames && report.keyframes[15].frame >= frames * 14 / 16, "{report:?}");
        assert!(report.keyframes.windows(2).all(|pair| pair[0].frame < pair[1].frame), "{report:?}");
        assert!(report.video.duration_s < 3.6 && report.video.announced_s.unwrap() > 3.9);
    }
}

#[tokio::test]
async fn damage_in_the_middle_loses_frames_but_not_the_file() {
    let files = folder();
    let whole =
        made(files.path(), "whole.ts", &format!("{PICTURE} {TONE} -c:v libx264 -preset veryfast -g 10 -c:a mp2"));
    let mut bytes = std::fs::read(&whole).unwrap();
    let (from, to) = (bytes.len() * 4 / 10, bytes.len() * 5 / 10);
    bytes[from..to].iter_mut().enumerate().for_each(|(n, byte)| *byte ^= (n * 37) as u8);
    std::fs::write(&whole, bytes).unwrap();
    let report = outcome(&whole, files.path()).await.unwrap();
    assert_eq!(report.keyframes.len(), 16);
    assert!(report.errors > 0, "{report:?}");
}

#[tokio::test]
async fn keyframes_ignore_a_header_that_declares_ten_hours() {
    let files = folder();
    let webm = format!("{PICTURE} -c:v libvpx -deadline realtime");
    let whole = made(files.path(), "ten_hours.webm", &webm);
    let mut bytes = std::fs::read(&whole).unwrap();
    // The element Duration: its id, a length of 8, milliseconds as a float.
    let duration = bytes.windows(3).position(|element| element == [0x44, 0x89, 0x88]).unwrap() + 3;
    bytes[duration..duration + 8].copy_from_slice(&36_000_000f64.to_be_bytes());
    std::fs::write(&whole, bytes).unwrap();
    let report = outcome(&whole, files.path()).await.unwrap();
    assert!(report.video.announced_s.unwrap() > 30_000.0, "{report:?}");
    assert!(matches!(report.outcome, Outcome::Short { .. }) && report.video.duration_s < 5.0, "{report:?}");
    assert!(report.keyframes[15].frame > 70, "{report:?}");
}

#[tokio::test]
async fn every_real_hard_file_ends_in_the_same_named_outcome_on_every_run() {
    for video in real_videos().into_iter().filter(|video| video.parent().is_some_and(|p| p.ends_with("hard"))) {
        let (first, second) = (folder(), folder());
        let first = outcome(&video, first.path()).await;
        let second = outcome(&video, second.path()).await;
        match (first, second) {
            (Ok(a), Ok(b)) => assert_eq!((a.outcome, a.keyframes), (b.outcome, b.keyframes), "{}", video.display()),
            (Err(a @ MediaError::Permanent { .. }), Err(b)) => assert_eq!(a, b),
            other => panic!("{}: {other:?}", video.display()),
        }
    }
}

#[tokio::test]
async fn settings_out_of_range_are_refused_and_ids_with_paths_are_escaped() {
    let files = folder();
    let video = made(files.path(), "plain.mp4", "-f lavfi -i testsrc2=s=64x48:d=1 -c:v mpeg4");
    let mut odd = request(&video, files.path());
    odd.id = "../../tt.1/é".to_owned();
    let limits = Default::default();
    let report = sandbox::decode(Path::new(EXE), &odd, &limits, &Default::default()).await.unwrap();
    assert_eq!(report.keyframes[3].file, "______tt_1__-03.jpg");
    odd.keyframes.as_mut().unwrap().count = 0;
    let refused = sandbox::decode(Path::new(EXE), &odd, &limits, &Default::default()).await;
    assert!(matches!(refused, Err(MediaError::Permanent { message }) if message.contains("keyframes.count")));
    let _ = ffmpeg(files.path(), "-version");
}
