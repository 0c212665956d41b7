//! Unusual but valid files: each is read completely, with as many frames as FFmpeg finds.

use crate::support::{EXE, PICTURE, TONE, ffprobe, folder, made, request};
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::{AudioTrack, DecodeReport, MediaError, Outcome, sandbox};
use std::path::Path;

async fn everything(video: &Path, out: &Path) -> Result<DecodeReport, MediaError> {
    let mut request = request(video, out);
    request.scenes = Some(Default::default());
    request.scene_middle = Some(Default::default());
    sandbox::decode(Path::new(EXE), &request, &Default::default(), &Default::default()).await
}

#[tokio::test]
async fn unusual_files_are_complete_and_every_frame_is_counted() {
    let files = folder();
    let picture = format!("{PICTURE} -t 2");
    let both = format!("{PICTURE} {TONE} -t 2");
    let h264 = "-c:v libx264 -preset ultrafast";
    let kinds = [
        ("interlaced.mp4", format!("{both} -vf tinterlace=interleave_top,fieldorder=tff {h264} -flags +ilme+ildct")),
        (
            "hevc10.mp4",
            format!("{picture} -c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le"),
        ),
        ("av1.mkv", format!("{picture} -vf scale=128:72 -c:v libaom-av1 -cpu-used 8")),
        ("vp9.webm", format!("{picture} -c:v libvpx-vp9 -deadline realtime -cpu-used 8")),
        ("late.ts", format!("{both} {h264} -c:a mp2 -output_ts_offset 3600")),
        ("negative.mkv", format!("{both} {h264} -bf 2 -c:a aac -output_ts_offset -1 -avoid_negative_ts disabled")),
        ("varying.mp4", format!("{picture} -vf select=not(mod(n\\,3))+gt(n\\,25) -vsync vfr {h264}")),
        ("surround.mp4", format!("{PICTURE} -f lavfi -i sine=d=4 -t 2 {h264} -c:a aac -ac 6")),
        ("silent.mp4", format!("{PICTURE} -f lavfi -i anullsrc=d=4 -t 2 {h264} -c:a aac")),
        ("phone.mp4", format!("{picture} {h264} -metadata:s:v rotate=90")),
        ("motion.gif", format!("{PICTURE} -t 1 -vf scale=64:36")),
        ("pieces.mp4", format!("{both} {h264} -c:a aac -movflags frag_keyframe+empty_moov")),
        ("stream.h264", format!("{picture} {h264}")),
        ("blank name %d 'q' \u{e9}.mkv".replace(' ', "_").as_str(), format!("{picture} {h264}")),
    ]
    .map(|(name, arguments)| made(files.path(), name, &arguments));
    for video in kinds {
        let out = folder();
        let report =
            everything(&video, out.path()).await.unwrap_or_else(|error| panic!("{}: {error}", video.display()));
        let shown = video.display();
        assert_eq!((&report.outcome, report.errors), (&Outcome::Complete, 0), "{shown}");
        let frames = ffprobe(&video, "-select_streams v:0 -count_frames -show_entries stream=nb_read_frames")[0];
        assert_eq!(report.video.frames.map(|frames| frames as i64), frames, "{shown}");
        let list = std::fs::read(&report.scenes.as_ref().unwrap().json).unwrap();
        let list: SceneList = serde_json::from_slice(&list).unwrap();
        assert_eq!(list.scores.len() as u64, list.frames, "{shown}");
        assert_eq!(
            (report.keyframes.len(), report.scene_middle.unwrap().keyframes.len()),
            (16, list.scenes.len().min(16))
        );
        let sound = report.audio.unwrap();
        let has_sound = ["interlaced", "late", "negative", "surround", "silent", "pieces"];
        let has_sound = has_sound.iter().any(|name| video.file_stem().is_some_and(|stem| stem == *name));
        assert_eq!(matches!(sound, AudioTrack::Present { samples: 20_000.., .. }), has_sound, "{shown}: {sound:?}");
    }
}

#[tokio::test]
async fn the_first_video_stream_is_used_and_attachments_are_ignored() {
    let files = folder();
    let second = "-f lavfi -i testsrc2=s=640x360:r=10:d=1";
    let maps = "-map 0:v -map 1:v -c:v mpeg4 -disposition:v:0 0 -disposition:v:1 default";
    let two = made(files.path(), "two.mkv", &format!("{PICTURE} {second} {maps}"));
    made(files.path(), "cover.jpg", "-f lavfi -i testsrc2=s=64x64:d=0.04 -frames:v 1");
    let attached = "-attach cover.jpg -metadata:s:t mimetype=image/jpeg";
    let attached = made(files.path(), "attached.mkv", &format!("{PICTURE} -c:v mpeg4 {attached}"));
    for (video, others) in [(two, 1), (attached, 0)] {
        let report = everything(&video, files.path()).await.unwrap();
        assert_eq!((report.video.width, report.video.frames), (320, Some(100)), "{}", video.display());
        assert_eq!(report.video.other_streams, others, "{}", video.display());
    }
}

#[tokio::test]
async fn keyframes_are_spread_over_the_video_even_if_the_sound_is_longer() {
    let files = folder();
    let sound = "-f lavfi -i sine=f=440:r=44100:d=12";
    let video = made(files.path(), "long_sound.webm", &format!("{PICTURE} {sound} -c:v libvpx -deadline realtime"));
    let (plain, limits) = (request(&video, files.path()), Default::default());
    let sought = sandbox::decode(Path::new(EXE), &plain, &limits, &Default::default()).await.unwrap();
    let whole = everything(&video, files.path()).await.unwrap();
    assert_eq!(sought.keyframes, whole.keyframes);
    for report in [sought, whole] {
        assert_eq!(report.outcome, Outcome::Complete, "{report:?}");
        assert!((report.video.duration_s - 4.0).abs() < 0.1, "{report:?}");
        assert_eq!(report.keyframes[15].frame, 93, "{report:?}");
    }
}

/// Repeats the only `trak` of an MP4 `times` times in its `moov`, which comes last, so that no
/// offset changes.
fn with_many_tracks(whole: &[u8], times: usize) -> Vec<u8> {
    let find = |name: &[u8; 4], from: usize| whole[from..].windows(4).position(|w| w == name).unwrap() + from - 4;
    let size = |at: usize| u32::from_be_bytes(whole[at..at + 4].try_into().unwrap()) as usize;
    let moov = find(b"moov", 0);
    let trak = find(b"trak", moov);
    assert_eq!(moov + size(moov), whole.len(), "moov comes last");
    let mut many = whole[..trak].to_vec();
    (0..times).for_each(|_| many.extend_from_slice(&whole[trak..trak + size(trak)]));
    many.extend_from_slice(&whole[trak + size(trak)..]);
    let grown = (size(moov) + (times - 1) * size(trak)) as u32;
    many[moov..moov + 4].copy_from_slice(&grown.to_be_bytes());
    many
}

#[tokio::test]
async fn thousands_of_streams_are_refused_before_they_use_memory() {
    let files = folder();
    let whole = std::fs::read(made(files.path(), "one.mp4", &format!("{PICTURE} -t 0.4 -c:v mpeg4"))).unwrap();
    for times in [70, 4000] {
        let video = files.path().join("many.mp4");
        std::fs::write(&video, with_many_tracks(&whole, times)).unwrap();
        let refused = everything(&video, files.path()).await;
        assert!(
            matches!(&refused, Err(MediaError::Permanent { message }) if message.contains("streams")),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn endless_inputs_are_refused_and_very_long_videos_are_decoded() {
    let files = folder();
    let pipe = files.path().join("pipe.ts");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for endless in [pipe.as_path(), Path::new("/dev/zero")] {
        let refused = everything(endless, files.path()).await;
        assert!(
            matches!(&refused, Err(MediaError::Permanent { message }) if message.contains("regular file")),
            "{refused:?}"
        );
    }
    // Ten frames that the container displays over 100 hours.
    let still = made(files.path(), "still.mkv", "-f lavfi -i testsrc2=s=64x64:r=1/36000:d=360000 -c:v ffv1");
    let report = everything(&still, files.path()).await.unwrap();
    assert_eq!((report.keyframes.len(), report.video.frames), (16, Some(10)), "{report:?}");
}
