//! Keyframes chosen by scenes: the right frames with the right pixels, from one decode.

use crate::support::{EXE, PICTURE, TONE, ffmpeg_reads, folder, made, members, real_videos, request};
use jhalak_media::detector::CLASSES;
use jhalak_worker::media::bounds::Bounds;
use jhalak_worker::media::keyframes::contact_sheet;
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::picture::jpeg_decoder;
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::{
    DecodeLimits, DecodeReport, DecodeRequest, Detector, Keyframe, MediaError, Object, SceneSettings, decode, sandbox,
};
use std::path::Path;

/// Finds objects by the picture's colours: arbitrary but reproducible.
struct ByColour;

impl Detector for ByColour {
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        let sum: u64 = rgb.rgb.iter().step_by(97).map(|&sample| u64::from(sample)).sum();
        let bounds = Bounds { left: 0.0, top: 1.0, right: rgb.width as f32, bottom: rgb.height as f32 };
        let object =
            |n: u64| Object { class: ((sum >> n) % 7) as u32, confidence: [0.9, 0.5, 0.6][(n % 3) as usize], bounds };
        Ok((0..sum / 5 % 11).map(object).collect())
    }
}

/// Returns a source of frames that repeat and change, with cuts close together.
fn restless(seconds: u32) -> String {
    let often = "eq(mod(n\\,61)\\,0)+eq(mod(n\\,61)\\,4)+eq(mod(n\\,61)\\,20)+eq(mod(n\\,37)\\,9)";
    format!(
        "-f lavfi -i testsrc2=s=176x144:r=25:d={seconds} -vf negate=enable='mod(floor(n/23)\\,2)',hue=h=120:enable='{often}'"
    )
}

fn everything(video: &Path, out: &Path, threshold: f64, min_scene_len: u32) -> DecodeRequest {
    let mut request = request(video, out);
    let scenes = SceneSettings { threshold, min_scene_len };
    request.scenes = Some(scenes.clone());
    request.scene_middle = Some(Default::default());
    request.scene_object = Some(Default::default());
    request.scene_middle.as_mut().unwrap().scenes = scenes.clone();
    request.scene_object.as_mut().unwrap().scenes = scenes;
    request
}

/// The report, the keyframes with their pictures, and the list of scenes.
type Decoded = (DecodeReport, Vec<(Keyframe, Picture)>, SceneList);

fn decoded(request: &DecodeRequest) -> Decoded {
    let mut seen = Vec::new();
    let mut observe = |keyframe: &Keyframe, picture: &Picture| seen.push((keyframe.clone(), picture.clone()));
    let report =
        decode::run_with(request, &mut observe, decode::Hooks { detector: Some(&mut ByColour), visitor: None })
            .unwrap_or_else(|error| panic!("{}: {error}", request.video.display()));
    let list = std::fs::read(&report.scenes.as_ref().unwrap().json).unwrap();
    (report, seen, serde_json::from_slice(&list).unwrap())
}

/// Returns the middle frames of the scenes in the middle.
fn expected_middles(list: &SceneList, count: usize) -> Vec<u64> {
    let first = list.scenes.len().saturating_sub(count) / 2;
    list.scenes.iter().skip(first).take(count).map(|[start, end]| start + (end - start) / 2).collect()
}

#[test]
fn scene_middle_takes_the_middle_frames_of_the_scenes_in_the_middle_of_every_real_file() {
    for video in real_videos() {
        for threshold in [27.0, 10.0] {
            let out = folder();
            let mut request = everything(&video, out.path(), threshold, 15);
            (request.keyframes, request.audio, request.scene_object) = (None, None, None);
            let Ok(report) = decode::run(&request) else { continue };
            let list: SceneList = serde_json::from_slice(&std::fs::read(report.scenes.unwrap().json).unwrap()).unwrap();
            let set = report.scene_middle.unwrap();
            let frames: Vec<u64> = set.keyframes.iter().map(|keyframe| keyframe.frame).collect();
            assert_eq!(frames, expected_middles(&list, 16), "{} {threshold}", video.display());
            assert_eq!(set.shortfall.is_some(), list.scenes.len() < 16);
            for keyframe in &set.keyframes {
                let scene = keyframe.scene.unwrap();
                assert_eq!([scene.start, scene.end], list.scenes[scene.index as usize]);
            }
        }
    }
}

#[test]
fn keyframes_by_scene_equal_those_of_ffmpeg_even_if_cuts_are_merged() {
    let files = folder();
    let video = made(files.path(), "restless.mkv", &format!("{} -c:v ffv1 -pix_fmt yuv420p", restless(20)));
    let frame_size = 176 * 144 * 3;
    let peer = ffmpeg_reads(&video, "-i {} -map 0:v:0 -pix_fmt rgb24 -f rawvideo -");
    assert_eq!(peer.len(), 500 * frame_size);
    let picture = |number: u64| &peer[number as usize * frame_size..][..frame_size];
    let mut late = 0;
    for (threshold, min_scene_len, count, stride) in
        [(27.0, 15, 16, 1), (10.0, 5, 4, 1), (20.0, 0, 16, 3), (12.0, 25, 2, 7)]
    {
        let out = folder();
        let mut request = everything(&video, out.path(), threshold, min_scene_len);
        request.scene_middle.as_mut().unwrap().count = count;
        let settings = request.scene_object.as_mut().unwrap();
        (settings.count, settings.stride) = (count, stride);
        let (report, seen, list) = decoded(&request);
        for (keyframe, shown) in &seen {
            assert!(shown.rgb[..] == *picture(keyframe.frame), "frame {}", keyframe.frame);
        }
        let middle = report.scene_middle.unwrap();
        let middles: Vec<u64> = middle.keyframes.iter().map(|keyframe| keyframe.frame).collect();
        assert_eq!(middles, expected_middles(&list, count as usize));

        // The same by brute force: detects in every sampled frame of every scene that is long
        // enough.
        let mut histogram = vec![0; CLASSES];
        let mut best = Vec::new();
        for &[start, end] in list.scenes.iter().filter(|[start, end]| end - start > 20) {
            let mut winner = (0, 0, 0);
            for number in (start..end).step_by(stride as usize) {
                let rgb = picture(number).to_vec();
                let mut objects = ByColour.detect(&Picture { width: 176, height: 144, rgb: rgb.into() }).unwrap();
                objects.retain(|object| object.confidence > 0.5);
                let mut classes: Vec<u32> = objects.iter().map(|object| object.class).collect();
                classes.iter().for_each(|&class| histogram[class as usize] += 1);
                classes.sort_unstable();
                classes.dedup();
                if objects.len() * classes.len() > winner.0 {
                    winner = (objects.len() * classes.len(), objects.len(), number);
                }
            }
            best.extend((winner.0 > 0).then_some(winner));
        }
        best.sort_by_key(|&(_, objects, number)| (std::cmp::Reverse(objects), number));
        best.truncate(count as usize);
        let object = report.scene_object.unwrap();
        let chosen = object.keyframes.iter().map(|keyframe| {
            let found = keyframe.objects.as_ref().unwrap();
            (found.score as usize, found.objects.len(), keyframe.frame)
        });
        assert_eq!(chosen.collect::<Vec<_>>(), best, "threshold {threshold}");
        assert_eq!(object.histogram.unwrap(), histogram);
        assert_eq!(object.shortfall.is_some(), best.len() < count as usize);
        println!("{threshold} {min_scene_len}: {:?}", list.scenes);
        // A cut shortly after another candidate was reported late.
        let above =
            |from: u64, to: u64| list.scores[from as usize..to as usize].iter().any(|&score| score >= threshold);
        let merged = |cut: u64| above(cut.saturating_sub(u64::from(min_scene_len)), cut);
        late += list.cuts.iter().filter(|&&cut| merged(cut)).count();
    }
    assert!(late > 3, "the video has too few merged cuts for this test");
}

/// Pictures reach the detector in shared memory or, if they have to be rotated, through a pipe.
#[tokio::test]
async fn a_child_with_its_detector_in_the_parent_writes_the_same_bytes() {
    let files = folder();
    let sound = format!("{TONE} -map 0:v -map 1:a -c:a aac");
    let source = restless(8).replace(" -vf", &format!(" {TONE} -vf"));
    let video =
        made(files.path(), "restless.mp4", &format!("{source} -c:v libx264 -preset veryfast {}", &sound[TONE.len()..]));
    let turned = made(files.path(), "turned.mp4", "-i restless.mp4 -c copy -metadata:s:v:0 rotate=90");
    for video in [video, turned] {
        let (here, there) = (folder(), folder());
        let (report, _, _) = decoded(&everything(&video, here.path(), 27.0, 15));
        let request = everything(&video, there.path(), 27.0, 15);
        let (limits, cancel) = Default::default();
        let report_of_child =
            sandbox::decode_with_detector(Path::new(EXE), &request, &limits, &cancel, Box::new(ByColour));
        let report_of_child = report_of_child.await.unwrap();
        assert_eq!(report_of_child.scene_object.as_ref().unwrap().keyframes, report.scene_object.unwrap().keyframes);
        assert_eq!(report_of_child.outcome, report.outcome);
        for name in [
            "keyframes.tar",
            "keyframes-scene-middle.tar",
            "keyframes-scene-object.tar",
            "scenes.csv",
            "scenes.json",
            "audio.s16le",
        ] {
            let [ours, theirs] = [&here, &there].map(|folder| std::fs::read(folder.path().join(name)).unwrap());
            assert!(ours == theirs && !ours.is_empty(), "{name}");
        }
        // The archives record why each keyframe was chosen.
        let members = members(&report_of_child.scene_object.unwrap().tar);
        let numbers: Keyframe = serde_json::from_slice(&members[1].1).unwrap();
        assert!(numbers.scene.is_some() && numbers.objects.unwrap().score > 0);
        assert_eq!(members[0].0, "tt0240200-00.jpg");
    }
}

#[tokio::test]
async fn an_error_or_a_missing_detector_ends_the_decode_with_its_message() {
    struct Broken(fn() -> MediaError);
    impl Detector for Broken {
        fn detect(&mut self, _: &Picture) -> Result<Vec<Object>, MediaError> {
            Err(self.0())
        }
    }
    let files = folder();
    let video = made(files.path(), "plain.mp4", &format!("{PICTURE} -c:v mpeg4"));
    let request = everything(&video, files.path(), 27.0, 15);
    let limits = DecodeLimits::default();
    let with = async |detector: Broken| {
        let cancel = Default::default();
        sandbox::decode_with_detector(Path::new(EXE), &request, &limits, &cancel, Box::new(detector)).await.unwrap_err()
    };
    let busy = with(Broken(|| MediaError::transient("the graphics card is busy"))).await;
    assert_eq!(busy, MediaError::transient("the graphics card is busy"));
    let panics = with(Broken(|| panic!("on purpose"))).await;
    assert!(matches!(&panics, MediaError::Bug { message } if message.contains("panicked")), "{panics:?}");
    let missing = sandbox::decode(Path::new(EXE), &request, &limits, &Default::default()).await.unwrap_err();
    assert!(matches!(&missing, MediaError::Bug { message } if message.contains("detector")), "{missing:?}");
    assert!(matches!(decode::run(&request), Err(MediaError::Bug { .. })));
}

#[tokio::test]
async fn frames_that_were_not_kept_are_decoded_again_with_the_same_result() {
    let files = folder();
    // 150 frames of 1.4 MB in one scene, and 8 MB for the file that frames go to.
    let video = made(files.path(), "long.mp4", "-f lavfi -i testsrc2=s=1280x720:r=25:d=6 -c:v mpeg4 -q:v 5");
    let bytes = async |limits: DecodeLimits| {
        let out = folder();
        let mut request = everything(&video, out.path(), 200.0, 15);
        (request.keyframes, request.scene_object) = (None, None);
        let report = sandbox::decode(Path::new(EXE), &request, &limits, &Default::default()).await.unwrap();
        let set = report.scene_middle.unwrap();
        assert_eq!(set.keyframes.iter().map(|keyframe| keyframe.frame).collect::<Vec<_>>(), [75]);
        assert_eq!(set.shortfall.as_deref(), Some("16 keyframes were asked for and the video has 1 scene"));
        (std::fs::read(set.tar).unwrap(), report.usage.peak_memory_mb)
    };
    let (roomy, peak) = bytes(DecodeLimits::default()).await;
    let (tight, _) = bytes(DecodeLimits { output_mb: 8, ..Default::default() }).await;
    assert!(roomy == tight);
    assert!(peak < 120, "{peak} MB");
}

#[test]
fn a_contact_sheet_shows_every_keyframe_of_an_archive() {
    let files = folder();
    let video = made(files.path(), "restless.mp4", &format!("{} -c:v mpeg4", restless(8)));
    let (report, ..) = decoded(&everything(&video, files.path(), 27.0, 15));
    let path = files.path().join("sheet.jpg");
    for tar in [report.keyframes_tar.unwrap(), report.scene_object.unwrap().tar] {
        contact_sheet::write(&tar, &path).unwrap();
        let drawn = jpeg_decoder::decode(&std::fs::read(&path).unwrap()).unwrap();
        assert!(drawn.rgb.iter().any(|&sample| sample > 200) && drawn.width > 176 * 4);
    }
    let nonsense = files.path().join("nonsense.tar");
    std::fs::write(&nonsense, [7; 2000]).unwrap();
    assert!(contact_sheet::write(&nonsense, &path).is_err());
}
