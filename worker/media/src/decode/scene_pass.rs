//! Everything that depends on scenes: scores each frame once and passes frame and score to every
//! consumer.

use crate::detector::Detector;
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::frame::DecodedFrame;
use crate::keyframes::archive::{SCENE_MIDDLE_FILE_NAME, SCENE_OBJECT_FILE_NAME};
use crate::keyframes::frame_store::FrameStore;
use crate::keyframes::scene_keyframes;
use crate::keyframes::scene_middle::SceneMiddle;
use crate::keyframes::scene_object::SceneObject;
use crate::keyframes::writer::{KeyframeWriter, Observer, Reason};
use crate::report::{KeyframeSet, SceneReport};
use crate::request::{DecodeRequest, SceneMiddleSettings, SceneObjectSettings};
use crate::scenes::list::SceneRecorder;
use crate::scenes::score::FrameScorer;
use jhalak_common::counted::counted;

/// Scores frames for the scene list and for both scene strategies.
pub struct ScenePass<'a> {
    scorer: FrameScorer,
    track: VideoTrack,
    recorder: Option<SceneRecorder>,
    middle: Option<SceneMiddle>,
    object: Option<SceneObject<'a>>,
}

/// The results of a [`ScenePass`].
#[derive(Default)]
pub struct SceneResults {
    /// The list of scenes.
    pub list: Option<SceneReport>,
    /// Keyframes from the middle of scenes.
    pub middle: Option<KeyframeSet>,
    /// Keyframes with the most objects.
    pub object: Option<KeyframeSet>,
}

impl<'a> ScenePass<'a> {
    /// Creates the pass for `request`; none if nothing in it depends on scenes.
    pub fn new(
        request: &DecodeRequest,
        track: &VideoTrack,
        detector: Option<&'a mut dyn Detector>,
    ) -> Result<Option<Self>, MediaError> {
        if !request.needs_scenes() {
            return Ok(None);
        }
        let store = FrameStore::new(&request.out_dir);
        let file = request.video.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // An unknown rate counts as 25 frames per second, as in FFmpeg.
        let fps = track.frame_rate.map_or(25.0, f64::from);
        let object = match (&request.scene_object, detector) {
            (Some(settings), Some(detector)) => Some(SceneObject::new(settings, track, &store, detector)),
            (Some(_), None) => return Err(MediaError::bug("scene-object keyframes were requested without a detector")),
            (None, _) => None,
        };
        Ok(Some(Self {
            scorer: FrameScorer::new(track.opencv_orientation),
            track: track.clone(),
            recorder: request.scenes.as_ref().map(|settings| SceneRecorder::new(file, fps, settings)),
            middle: request.scene_middle.as_ref().map(|settings| SceneMiddle::new(settings, &store)),
            object,
        }))
    }

    /// Takes the next frame and the decoder's coded size.
    pub fn show(&mut self, decoded: &DecodedFrame, coded: (u32, u32)) -> Result<(), MediaError> {
        let score = self.scorer.score(&decoded.frame, coded)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.push(score, self.track.seconds(decoded.ticks));
        }
        if let Some(middle) = &mut self.middle {
            middle.show(decoded, score)?;
        }
        match &mut self.object {
            Some(object) => object.show(decoded, score),
            None => Ok(()),
        }
    }

    /// Writes the list and the keyframes. The last frame ends at `end_s` seconds.
    pub fn finish(
        self,
        request: &DecodeRequest,
        track: &VideoTrack,
        (end_s, rate_varies): (f64, bool),
        observe: &Observer<'_>,
    ) -> Result<SceneResults, MediaError> {
        let mut results = SceneResults::default();
        if let Some(recorder) = self.recorder {
            let list = recorder.finish(end_s, rate_varies);
            let (csv, json) = list.write(&request.out_dir)?;
            results.list = Some(SceneReport { csv, json, scenes: list.scenes.len() as u64 });
        }
        let writer = |name: &str, jpeg_quality: u8| {
            let path = request.out_dir.join(name);
            KeyframeWriter::create(&path, request.member_stem(), jpeg_quality, track, observe)
        };
        if let (Some(middle), Some(settings)) = (self.middle, &request.scene_middle) {
            let SceneMiddleSettings { count, jpeg_quality, .. } = *settings;
            let (chosen, scenes) = middle.finish();
            let reason = |scene| Reason { scene: Some(scene), ..Reason::default() };
            let chosen = chosen.into_iter().map(|(scene, candidate)| (candidate, reason(scene))).collect();
            let shortfall =
                || format!("{count} keyframes were asked for and the video has {}", counted(scenes, "scene"));
            let writer = writer(SCENE_MIDDLE_FILE_NAME, jpeg_quality)?;
            results.middle = Some(scene_keyframes::write(&request.video, writer, chosen, count, shortfall)?);
        }
        if let (Some(object), Some(settings)) = (self.object, &request.scene_object) {
            let SceneObjectSettings { count, jpeg_quality, longer_than, .. } = *settings;
            let (winners, scenes, histogram) = object.finish()?;
            let (found, reason) = (winners.len(), |scene, found| Reason {
                scene: Some(scene),
                objects: Some(found),
                ..Reason::default()
            });
            let chosen = winners.into_iter().map(|winner| (winner.candidate, reason(winner.scene, winner.found)));
            let shortfall = || {
                format!(
                    "{count} keyframes were asked for, and objects were found in {found} of the video's {} \
                     (those of {longer_than} frames or fewer are passed over)",
                    counted(scenes, "scene")
                )
            };
            let writer = writer(SCENE_OBJECT_FILE_NAME, jpeg_quality)?;
            let set = scene_keyframes::write(&request.video, writer, chosen.collect(), count, shortfall)?;
            results.object = Some(KeyframeSet { histogram: Some(histogram), ..set });
        }
        Ok(results)
    }
}
