//! Keyframes with the most objects, found in one pass over the frames.
//!
//! The detector works on a frame while the next one is decoded. Its objects are recorded before the
//! next frame is taken.
//!
//! Each scene keeps its best frame. A cut may be reported some frames late
//! ([`CutFinder::pending`]). Until it is decided, both cases are tracked: the scene continues, and
//! the scene ended at the pending cut.

use crate::detector::{CLASSES, Detector, Object};
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::frame::DecodedFrame;
use crate::keyframes::frame_store::FrameStore;
use crate::keyframes::scene_middle::Candidate;
use crate::picture::{Picture, RgbConverter};
use crate::report::{FoundObjects, SceneSpan};
use crate::request::SceneObjectSettings;
use crate::scenes::cuts::CutFinder;

/// Finds the frames with the most objects.
pub struct SceneObject<'a> {
    settings: SceneObjectSettings,
    detector: &'a mut dyn Detector,
    finder: CutFinder,
    store: FrameStore,
    track: VideoTrack,
    converter: RgbConverter,
    picture: Picture,
    /// The frame that the detector works on.
    in_detection: Option<InDetection>,
    frames: u64,
    /// The current scene.
    scene: Scene,
    /// If a cut is pending: the scene up to that frame, and the scene that would start there.
    pending: Option<(Scene, Scene)>,
    scenes: u64,
    /// The best frames of the finished scenes, most objects first; ties in the order of the scenes.
    winners: Vec<Winner>,
    histogram: Vec<u64>,
}

/// A frame that the detector works on, and the scenes that it is a sample of.
struct InDetection {
    decoded: DecodedFrame,
    of_scene: bool,
    of_next: bool,
}

/// A scene that may continue.
#[derive(Clone)]
struct Scene {
    start: u64,
    best: Option<(Candidate, FoundObjects)>,
    histogram: Vec<u64>,
}

impl Scene {
    fn beginning_at(start: u64) -> Self {
        Self { start, best: None, histogram: vec![0; CLASSES] }
    }

    /// Whether this frame of the scene goes to the detector.
    fn samples(&self, number: u64, stride: u64) -> bool {
        (number - self.start).is_multiple_of(stride)
    }
}

/// The best frame of a scene.
pub struct Winner {
    /// The scene.
    pub scene: SceneSpan,
    /// The frame.
    pub candidate: Candidate,
    /// The objects found in it.
    pub found: FoundObjects,
}

impl<'a> SceneObject<'a> {
    /// Starts before the first frame.
    pub fn new(
        settings: &SceneObjectSettings,
        track: &VideoTrack,
        store: &FrameStore,
        detector: &'a mut dyn Detector,
    ) -> Self {
        Self {
            settings: settings.clone(),
            detector,
            finder: CutFinder::new(&settings.scenes),
            store: store.clone(),
            track: track.clone(),
            converter: RgbConverter::default(),
            picture: Picture::default(),
            in_detection: None,
            frames: 0,
            scene: Scene::beginning_at(0),
            pending: None,
            scenes: 0,
            winners: Vec::new(),
            histogram: vec![0; CLASSES],
        }
    }

    /// Takes the next frame and its score.
    pub fn show(&mut self, decoded: &DecodedFrame, score: f64) -> Result<(), MediaError> {
        self.settle()?;
        let number = self.frames;
        self.frames += 1;
        if let Some(cut) = self.finder.push(score) {
            if cut == number {
                self.end_scene(None, cut);
                self.scene = Scene::beginning_at(cut);
            } else if let Some((before, after)) = self.pending.take() {
                self.end_scene(Some(before), cut);
                self.scene = after;
            }
            self.pending = None;
        }
        match self.finder.pending() {
            Some(cut) if cut == number => self.pending = Some((self.scene.clone(), Scene::beginning_at(cut))),
            Some(_) => {}
            None => self.pending = None,
        }
        let stride = self.settings.stride;
        let of_scene = self.scene.samples(number, stride);
        let of_next = self.pending.as_ref().is_some_and(|(_, next)| next.samples(number, stride));
        if !of_scene && !of_next {
            return Ok(());
        }
        if self.picture.rgb.is_empty() {
            let bytes = RgbConverter::buffer_bytes(decoded.frame.width(), decoded.frame.height());
            self.picture.rgb = self.detector.shared_buffer(bytes).unwrap_or_default();
        }
        self.converter.convert_into(&decoded.frame, &mut self.picture)?;
        self.track.orientation.rotate(&mut self.picture);
        let frame = InDetection { decoded: decoded.clone(), of_scene, of_next };
        match self.detector.begin(&self.picture)? {
            Some(objects) => self.record(&frame, objects),
            None => {
                self.in_detection = Some(frame);
                Ok(())
            }
        }
    }

    /// Waits for the objects of the frame in detection.
    fn settle(&mut self) -> Result<(), MediaError> {
        let Some(frame) = self.in_detection.take() else { return Ok(()) };
        let objects = self.detector.finish()?;
        self.record(&frame, objects)
    }

    /// Records the objects of a frame in its scenes.
    fn record(&mut self, frame: &InDetection, objects: Vec<Object>) -> Result<(), MediaError> {
        let found = count(objects, self.settings.confidence)?;
        let next = self.pending.as_mut().map(|(_, next)| next).filter(|_| frame.of_next);
        let mut kept: Option<Candidate> = None;
        for scene in Some(&mut self.scene).filter(|_| frame.of_scene).into_iter().chain(next) {
            found.objects.iter().for_each(|object| scene.histogram[object.class as usize] += 1);
            if found.score > scene.best.as_ref().map_or(0, |(_, best)| best.score) {
                let candidate = match kept.take() {
                    Some(candidate) => candidate,
                    None => Candidate::keep(&self.store, &frame.decoded)?,
                };
                kept = Some(candidate.clone());
                scene.best = Some((candidate, found.clone()));
            }
        }
        Ok(())
    }

    /// Ends a scene, by default the current one.
    fn end_scene(&mut self, scene: Option<Scene>, end: u64) {
        let Scene { start, best, histogram } =
            scene.unwrap_or_else(|| std::mem::replace(&mut self.scene, Scene::beginning_at(end)));
        let span = SceneSpan { index: self.scenes, start, end };
        self.scenes += 1;
        if end - start <= self.settings.longer_than {
            return;
        }
        self.histogram.iter_mut().zip(histogram).for_each(|(sum, count)| *sum += count);
        if let Some((candidate, found)) = best {
            let objects = found.objects.len();
            let at = self.winners.partition_point(|winner| winner.found.objects.len() >= objects);
            self.winners.insert(at, Winner { scene: span, candidate, found });
            self.winners.truncate(self.settings.count as usize);
        }
    }

    /// Ends the video. Returns the winners in order, the number of all scenes, and the number of
    /// objects of each class.
    pub fn finish(mut self) -> Result<(Vec<Winner>, u64, Vec<u64>), MediaError> {
        self.settle()?;
        if self.frames > self.scene.start {
            self.end_scene(None, self.frames);
        }
        Ok((self.winners, self.scenes, self.histogram))
    }
}

/// Drops objects below the confidence and scores the rest.
fn count(mut objects: Vec<Object>, confidence: f32) -> Result<FoundObjects, MediaError> {
    objects.retain(|object| object.confidence > confidence);
    let mut seen = [false; CLASSES];
    for object in &objects {
        let class = seen.get_mut(object.class as usize);
        *class.ok_or_else(|| {
            MediaError::bug(format!("the detector returned class {}, above the last class", object.class))
        })? = true;
    }
    let classes = seen.iter().filter(|&&seen| seen).count();
    Ok(FoundObjects { score: (objects.len() * classes) as u64, classes: classes as u32, objects })
}
