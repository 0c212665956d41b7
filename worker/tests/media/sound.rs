//! The sound equals that of `ffmpeg -ac 1 -ar 16000 -f s16le` byte for byte.

use crate::support::{PICTURE, TONE, ffmpeg_reads, folder, made, real_videos, request};
use jhalak_worker::media::{AudioSettings, AudioTrack, DecodeReport, decode};
use std::path::Path;

fn sound_of(video: &Path, out: &Path) -> DecodeReport {
    let mut request = request(video, out);
    request.keyframes = None;
    decode::run(&request).unwrap_or_else(|error| panic!("{}: {error}", video.display()))
}

fn agrees(video: &Path) {
    let out = folder();
    let peer = ffmpeg_reads(video, "-i {} -ac 1 -ar 16000 -f s16le -");
    match sound_of(video, out.path()).audio.unwrap() {
        AudioTrack::Present { file, samples, sample_rate, .. } => {
            let ours = std::fs::read(file).unwrap();
            assert_eq!((ours.len() as u64, sample_rate), (samples * 2, 16_000));
            assert_eq!(ours.len(), peer.len(), "{}: bytes", video.display());
            assert!(ours == peer, "{}: samples differ", video.display());
        }
        AudioTrack::None { reason } => assert!(peer.is_empty(), "{}: {reason}", video.display()),
    }
}

#[test]
fn samples_equal_those_of_ffmpeg_for_every_codec_rate_and_channel_layout() {
    let files = folder();
    let kinds = [
        ("aac.mp4", "-c:a aac -ac 2"),
        ("mp3.avi", "-c:a mp3"),
        ("vorbis.webm", "-c:v libvpx -deadline realtime -c:a libvorbis"),
        ("opus.mkv", "-c:a libopus"),
        ("surround.mkv", "-c:a ac3 -ac 6 -ar 48000"),
        ("surround.mp4", "-c:a aac -ac 6 -ar 48000"),
        ("slow.mkv", "-c:a pcm_u8 -ar 8000"),
        ("same_rate.mkv", "-c:a flac -ar 16000"),
        ("float.mov", "-c:a pcm_f32le -ar 96000"),
        ("many_channels.mov", "-c:a pcm_s16le -ac 7"),
        ("short.ts", "-c:a mp2 -t 0.02"),
    ];
    for (name, settings) in kinds {
        agrees(&made(files.path(), name, &format!("{PICTURE} {TONE} -c:v mpeg4 {settings}")));
    }
}

#[test]
fn samples_equal_those_of_ffmpeg_on_real_files() {
    for video in real_videos() {
        if !video.ends_with("audio_only.mp4") && !ffmpeg_reads(&video, "-i {} -frames:v 1 -f rawvideo -").is_empty() {
            agrees(&video);
        }
    }
}

#[test]
fn a_missing_audio_stream_is_a_success_with_a_reason_and_silence_is_sound() {
    let files = folder();
    let mute = made(files.path(), "mute.mp4", &format!("{PICTURE} -c:v mpeg4"));
    let none = sound_of(&mute, files.path()).audio.unwrap();
    assert_eq!(none, AudioTrack::None { reason: "the file has no audio stream".to_owned() });
    assert!(!files.path().join("audio.s16le").exists());

    let silence = "-f lavfi -i anullsrc=r=44100:d=4 -c:v mpeg4 -shortest";
    let report = sound_of(&made(files.path(), "silent.mp4", &format!("{PICTURE} {silence}")), files.path());
    assert!(matches!(report.audio, Some(AudioTrack::Present { samples: 60_000.., .. })), "{report:?}");
    assert!(report.keyframes.is_empty() && report.keyframes_tar.is_none() && report.video.frames.is_none());
}

#[test]
fn the_track_that_was_read_of_several_is_reported() {
    let files = folder();
    let tones = "-f lavfi -i sine=f=300:d=2 -f lavfi -i sine=f=600:d=2 -map 0:v -map 1:a -map 2:a";
    let flags = "-disposition:a:0 0 -disposition:a:1 default -c:v mpeg4 -c:a aac -t 2";
    let two = sound_of(&made(files.path(), "two.mkv", &format!("{PICTURE} {tones} {flags}")), files.path());
    let Some(AudioTrack::Present { choice: Some(choice), .. }) = two.audio else { panic!("two tracks: {two:?}") };
    assert_eq!(choice.to_string(), "sound track 2 of 2");
    let one = sound_of(&made(files.path(), "one.mkv", &format!("{PICTURE} {TONE} -c:v mpeg4 -c:a aac")), files.path());
    assert!(matches!(one.audio, Some(AudioTrack::Present { choice: None, .. })), "{one:?}");
}

#[test]
fn another_rate_can_be_requested() {
    let files = folder();
    let video = made(files.path(), "plain.mp4", &format!("{PICTURE} {TONE} -c:v mpeg4 -c:a aac"));
    let mut request = request(&video, files.path());
    request.audio = Some(AudioSettings { sample_rate: 22_050 });
    let report = decode::run(&request).unwrap();
    let Some(AudioTrack::Present { file, .. }) = report.audio else { panic!("no sound") };
    assert!(std::fs::read(file).unwrap() == ffmpeg_reads(&video, "-i {} -ac 1 -ar 22050 -f s16le -"));
}
