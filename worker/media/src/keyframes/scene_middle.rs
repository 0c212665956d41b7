//! Keyframes from the middle of scenes, found in one pass over the frames.
//!
//! A scene's middle is known only at its end, and it only moves forward, so the second half of the
//! current scene is kept. A cut may be reported some frames late ([`CutFinder::pending`]), so the
//! middle for an end at the pending cut is kept as well. Of the finished scenes, only those that
//! may still lie in the middle of the video are kept.

use crate::error::MediaError;
use crate::frame::DecodedFrame;
use crate::keyframes::frame_store::{FrameStore, KeptFrame};
use crate::report::SceneSpan;
use crate::request::SceneMiddleSettings;
use crate::scenes::cuts::CutFinder;
use std::collections::VecDeque;

/// A frame that may become a keyframe.
#[derive(Clone)]
pub struct Candidate {
    /// Its number.
    pub number: u64,
    /// Its time in ticks and its pixels; none if the store was full.
    pub kept: Option<(i64, KeptFrame)>,
}

impl Candidate {
    /// Keeps a frame, unless the store is full.
    pub fn keep(store: &FrameStore, decoded: &DecodedFrame) -> Result<Self, MediaError> {
        let kept = store.keep(&decoded.frame)?.map(|frame| (decoded.ticks, frame));
        Ok(Self { number: decoded.number, kept })
    }
}

/// Finds the middle frames of scenes.
pub struct SceneMiddle {
    count: usize,
    finder: CutFinder,
    store: FrameStore,
    frames: u64,
    /// First frame of the current scene.
    start: u64,
    /// The newest frame and the frames that may be the middle, as far as the store had room.
    window: VecDeque<Candidate>,
    /// The middle if the scene ends at the pending cut.
    pending: Option<Candidate>,
    /// Number of finished scenes.
    scenes: u64,
    /// The middles of the last finished scenes.
    middles: VecDeque<(SceneSpan, Candidate)>,
}

/// The middle frame of a scene, as in PySceneDetect's `save_images` with one image.
fn middle(start: u64, end: u64) -> u64 {
    start + (end - start) / 2
}

impl SceneMiddle {
    /// Starts before the first frame.
    pub fn new(settings: &SceneMiddleSettings, store: &FrameStore) -> Self {
        Self {
            count: settings.count as usize,
            finder: CutFinder::new(&settings.scenes),
            store: store.clone(),
            frames: 0,
            start: 0,
            window: VecDeque::new(),
            pending: None,
            scenes: 0,
            middles: VecDeque::new(),
        }
    }

    /// Takes the next frame and its score.
    pub fn show(&mut self, decoded: &DecodedFrame, score: f64) -> Result<(), MediaError> {
        let number = self.frames;
        self.frames += 1;
        self.window.extend(Some(Candidate::keep(&self.store, decoded)?).filter(|candidate| candidate.kept.is_some()));
        if let Some(cut) = self.finder.push(score) {
            self.end_scene(cut);
            // At least one more scene follows: the current one.
            let first = self.scenes.saturating_sub(self.count as u64).div_ceil(2);
            while self.middles.front().is_some_and(|(scene, _)| scene.index < first) {
                self.middles.pop_front();
            }
        }
        match self.finder.pending() {
            Some(cut) if cut == number => self.pending = Some(self.in_window(middle(self.start, cut))),
            Some(_) => {}
            None => self.pending = None,
        }
        let earliest = middle(self.start, self.frames);
        while self.window.front().is_some_and(|candidate| candidate.number < earliest) {
            self.window.pop_front();
        }
        Ok(())
    }

    fn end_scene(&mut self, end: u64) {
        let middle = match self.pending.take() {
            Some(pending) if pending.number == middle(self.start, end) => pending,
            _ => self.in_window(middle(self.start, end)),
        };
        self.middles.push_back((SceneSpan { index: self.scenes, start: self.start, end }, middle));
        self.scenes += 1;
        self.start = end;
        while self.window.front().is_some_and(|candidate| candidate.number < end) {
            self.window.pop_front();
        }
    }

    fn in_window(&self, number: u64) -> Candidate {
        let at = self.window.binary_search_by_key(&number, |candidate| candidate.number);
        at.map_or(Candidate { number, kept: None }, |at| self.window[at].clone())
    }

    /// Ends the video. Returns the middles of the scenes in the middle of the video, in order, and
    /// the number of all scenes.
    pub fn finish(mut self) -> (Vec<(SceneSpan, Candidate)>, u64) {
        if self.frames > self.start {
            // A cut that is still pending does not count.
            self.pending = None;
            self.end_scene(self.frames);
        }
        let surplus = self.scenes.saturating_sub(self.count as u64);
        let first = surplus / 2;
        let chosen = self.middles.into_iter().filter(|(scene, _)| scene.index >= first).take(self.count);
        (chosen.collect(), self.scenes)
    }
}
