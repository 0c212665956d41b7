//! Properties that hold for every video, with any scores, times and pictures.

use crate::support::folder;
use ffmpeg_next::{Rational, format::Pixel, frame};
use jhalak_worker::media::ffmpeg::source::VideoTrack;
use jhalak_worker::media::frame::DecodedFrame;
use jhalak_worker::media::keyframes::equal_interval::{EqualInterval, TimeRange};
use jhalak_worker::media::keyframes::frame_store::FrameStore;
use jhalak_worker::media::keyframes::scene_middle::SceneMiddle;
use jhalak_worker::media::keyframes::scene_object::SceneObject;
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::picture::jpeg_decoder;
use jhalak_worker::media::picture::jpeg_encoder;
use jhalak_worker::media::scenes::between_cuts;
use jhalak_worker::media::scenes::cuts::CutFinder;
use jhalak_worker::media::{MediaError, Position, SceneMiddleSettings, SceneObjectSettings, SceneSettings};
use jhalak_worker::media::{
    bounds::Bounds,
    detector::{Detector, Object},
};
use proptest::prelude::*;
use std::convert::Infallible;
use std::rc::Rc;

/// Scores of which about one in `rarity` reaches 27.
fn scores() -> impl Strategy<Value = Vec<f64>> {
    (1u32..40, prop::collection::vec(any::<u32>(), 1..300))
        .prop_map(|(rarity, draws)| draws.iter().map(|draw| if draw % rarity == 0 { 30.0 } else { 3.0 }).collect())
}

fn settings(min_scene_len: u32) -> SceneSettings {
    SceneSettings { threshold: 27.0, min_scene_len }
}

fn cuts(scores: &[f64], min_scene_len: u32) -> Vec<u64> {
    let mut finder = CutFinder::new(&settings(min_scene_len));
    scores.iter().filter_map(|&score| finder.push(score)).collect()
}

/// Returns grey frames, each as bright as its number.
fn frames(count: usize) -> impl Iterator<Item = DecodedFrame> {
    (0..count as u64).map(|number| {
        let mut frame = frame::Video::new(Pixel::GRAY8, 16, 16);
        frame.data_mut(0).fill(number as u8);
        DecodedFrame { number, ticks: number as i64 * 512, frame: Rc::new(frame) }
    })
}

fn track() -> VideoTrack {
    VideoTrack {
        index: 0,
        time_base: Rational(1, 12_800),
        start: Some(0),
        frame_rate: Some(Rational(25, 1)),
        codec: "rawvideo".to_owned(),
        width: 16,
        height: 16,
        orientation: Default::default(),
        is_picture: false,
        has_durations: true,
        is_avi: false,
        opencv_orientation: Default::default(),
        other_streams: 0,
    }
}

/// Finds as many objects as the brightness of the picture says.
struct ByBrightness;

impl Detector for ByBrightness {
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        let bounds = Bounds { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
        let brightness = u32::from(rgb.rgb[0]);
        let object = |n| Object { class: (brightness * n) % 5, confidence: 0.8, bounds };
        Ok((0..brightness.wrapping_mul(2_654_435_761) >> 29).map(object).collect())
    }
}

/// Like [`ByBrightness`], but returns the objects after the next frame is decoded.
struct Later(Option<Vec<Object>>);

impl Detector for Later {
    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        ByBrightness.detect(rgb)
    }

    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        assert!(self.0.is_none(), "one picture at a time");
        self.0 = Some(self.detect(rgb)?);
        Ok(None)
    }

    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        Ok(self.0.take().expect("a detection was started"))
    }
}

/// Returns the number of objects and the score that [`ByBrightness`] gives to a frame.
fn objects_of(number: u64) -> (usize, usize) {
    // Grey becomes RGB by its position between black (16) and white (235).
    let mut picture = Picture { width: 1, height: 1, rgb: vec![0; 3].into() };
    let mut converter = jhalak_worker::media::picture::RgbConverter::default();
    let shown = frames(number as usize + 1).last().expect("at least one frame");
    converter.convert_into(&shown.frame, &mut picture).expect("grey is converted");
    let found = ByBrightness.detect(&picture).expect("never fails");
    let mut classes: Vec<u32> = found.iter().map(|object| object.class).collect();
    classes.sort_unstable();
    classes.dedup();
    (found.len(), found.len() * classes.len())
}

proptest! {
    #[test]
    fn cuts_ascend_with_the_shortest_scene_between_them_and_scenes_tile_the_video(scores in scores(), min_scene_len in 0u32..60) {
        let cuts = cuts(&scores, min_scene_len);
        let apart = u64::from(min_scene_len).max(1);
        prop_assert!(cuts.windows(2).all(|pair| pair[1] >= pair[0] + apart), "{cuts:?}");
        prop_assert!(cuts.iter().all(|&cut| scores[cut as usize] >= 27.0 && cut >= u64::from(min_scene_len)));
        let scenes = between_cuts(&cuts, scores.len() as u64);
        prop_assert_eq!(scenes.len(), cuts.len() + 1);
        prop_assert_eq!((scenes[0][0], scenes[scenes.len() - 1][1]), (0, scores.len() as u64));
        prop_assert!(scenes.windows(2).all(|pair| pair[0][1] == pair[1][0]));
    }

    #[test]
    fn middles_found_in_one_pass_equal_those_computed_from_all_cuts(
        scores in scores(),
        min_scene_len in 0u32..40,
        count in 1u32..20,
    ) {
        let out = folder();
        let store = FrameStore::new(out.path());
        let settings = SceneMiddleSettings { scenes: settings(min_scene_len), count, ..Default::default() };
        let mut middle = SceneMiddle::new(&settings, &store);
        for (decoded, &score) in frames(scores.len()).zip(&scores) {
            middle.show(&decoded, score).unwrap();
        }
        let (chosen, number) = middle.finish();
        let scenes = between_cuts(&cuts(&scores, min_scene_len), scores.len() as u64);
        prop_assert_eq!(number, scenes.len() as u64);
        let first = scenes.len().saturating_sub(count as usize) / 2;
        let expected = scenes.iter().enumerate().skip(first).take(count as usize);
        let expected: Vec<_> = expected.map(|(index, &[start, end])| (index as u64, start + (end - start) / 2)).collect();
        let found: Vec<_> = chosen.iter().map(|(scene, candidate)| (scene.index, candidate.number)).collect();
        prop_assert_eq!(found, expected);
        for (_, candidate) in chosen {
            let (ticks, kept) = candidate.kept.expect("room for all frames");
            prop_assert_eq!(ticks, candidate.number as i64 * 512);
            prop_assert_eq!(kept.get().unwrap().data(0)[0], candidate.number as u8);
        }
    }

    #[test]
    fn winners_found_in_one_pass_equal_those_computed_from_all_cuts(
        scores in scores(),
        min_scene_len in 0u32..40,
        stride in 1u64..9,
        longer_than in 0u64..30,
        is_late in any::<bool>(),
    ) {
        let out = folder();
        let store = FrameStore::new(out.path());
        let scenes = settings(min_scene_len);
        let settings = SceneObjectSettings { scenes, count: 4, stride, longer_than, ..Default::default() };
        let (track, mut later) = (track(), Later(None));
        let detector: &mut dyn Detector = if is_late { &mut later } else { &mut ByBrightness };
        let mut object = SceneObject::new(&settings, &track, &store, detector);
        for (decoded, &score) in frames(scores.len()).zip(&scores) {
            object.show(&decoded, score).unwrap();
        }
        let (winners, ..) = object.finish().unwrap();
        let scenes = between_cuts(&cuts(&scores, min_scene_len), scores.len() as u64);
        let mut expected = Vec::new();
        for [start, end] in scenes.into_iter().filter(|[start, end]| end - start > longer_than) {
            let sampled = (start..end).step_by(stride as usize).map(|number| (number, objects_of(number)));
            let best = sampled.fold((0, (0, 0)), |best, next| if next.1.1 > best.1.1 { next } else { best });
            expected.extend((best.1.1 > 0).then_some(best));
        }
        expected.sort_by_key(|&(number, (objects, _))| (std::cmp::Reverse(objects), number));
        expected.truncate(4);
        let found = winners.iter().map(|winner| {
            (winner.candidate.number, (winner.found.objects.len(), winner.found.score as usize))
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn keyframes_at_equal_intervals_lie_inside_the_video_and_ascend(
        steps in prop::collection::vec(0i64..5000, 1..200),
        length in 0i64..2_000_000,
        count in 1u32..64,
        middle in any::<bool>(),
    ) {
        let position = if middle { Position::Middle } else { Position::Start };
        let times: Vec<i64> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
        let range = TimeRange { length };
        let mut picker = EqualInterval::new(count, position, range);
        let mut chosen = Vec::new();
        let mut choose = |index: u32, _: i64, frame: &usize| -> Result<(), Infallible> {
            chosen.push((index, *frame));
            Ok(())
        };
        for (frame, &ticks) in times.iter().enumerate() {
            let Ok(()) = picker.show(ticks, frame, &mut choose);
        }
        let Ok(()) = picker.finish(&mut choose);
        prop_assert_eq!(chosen.len(), count as usize);
        for (place, &(index, frame)) in chosen.iter().enumerate() {
            prop_assert_eq!(place, index as usize);
            let target = range.target(index, count, position);
            let expected = times.iter().rposition(|&ticks| ticks <= target).unwrap_or(0);
            prop_assert_eq!(times[frame], times[expected], "target {}", target);
        }
        prop_assert!(chosen.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    }

    #[test]
    fn every_picture_encodes_to_a_valid_and_reproducible_jpeg(
        width in 1u32..70,
        height in 1u32..70,
        seed in any::<u64>(),
        quality in 1u8..=100,
    ) {
        let byte = |n: u64| ((n ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
        let rgb: Vec<u8> = (0..u64::from(width * height * 3)).map(byte).collect();
        let picture = Picture { width, height, rgb: rgb.into() };
        let encoded = jpeg_encoder::encode(&picture, quality).unwrap();
        prop_assert_eq!(&encoded, &jpeg_encoder::encode(&picture, quality).unwrap());
        let seen = jpeg_decoder::decode(&encoded).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!((seen.width, seen.height), (width, height));
    }
}
