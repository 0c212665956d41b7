//! Keyframes from the middle of scenes (method, section 3), found while frames pass by once.
//!
//! A scene's middle is known only at its end, so the second half of the scene so far is kept: the middle can only move
//! on. A cut may be told some frames late ([`CutFinder::pending`]); the middle that the scene would then have had is kept
//! besides. Of the scenes that ended, those are kept that may still stand in the middle of the video.

use crate::decode::video_pass::Shown;
use crate::error::MediaError;
use crate::keyframes::frame_store::{FrameStore, KeptFrame};
use crate::request::{SceneMiddleSettings, SceneSpan};
use crate::scenes::cuts::CutFinder;
use std::collections::VecDeque;

/// A frame that may become a keyframe.
#[derive(Clone)]
pub struct Candidate {
    /// Its number.
    pub number: u64,
    /// When it is shown, and its pixels; none if there was no room for it.
    pub kept: Option<(i64, KeptFrame)>,
}

impl Candidate {
    /// Keeps a frame, if there is room.
    pub fn keep(store: &FrameStore, shown: &Shown) -> Result<Self, MediaError> {
        let kept = store.keep(&shown.frame)?.map(|frame| (shown.ticks, frame));
        Ok(Self { number: shown.number, kept })
    }
}

/// Finds the middle frames of scenes.
pub struct SceneMiddle {
    count: usize,
    finder: CutFinder,
    store: FrameStore,
    frames: u64,
    /// First frame of the scene in progress.
    start: u64,
    /// Frames that may be its middle, and the newest, as far as there was room for them.
    window: VecDeque<Candidate>,
    /// Its middle if it ended at the pending cut.
    pending: Option<Candidate>,
    /// Scenes that ended.
    scenes: u64,
    /// The middles of the last of them.
    middles: VecDeque<(SceneSpan, Candidate)>,
}

/// The frame that stands for a scene: PySceneDetect's `save_images` with one image.
fn middle(start: u64, end: u64) -> u64 {
    start + (end - start) / 2
}

impl SceneMiddle {
    /// Before the first frame.
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
    pub fn show(&mut self, shown: &Shown, score: f64) -> Result<(), MediaError> {
        let number = self.frames;
        self.frames += 1;
        self.window.extend(Some(Candidate::keep(&self.store, shown)?).filter(|candidate| candidate.kept.is_some()));
        if let Some(cut) = self.finder.push(score) {
            self.end_scene(cut);
            // At least one more scene follows: the one in progress.
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

    /// No frame comes any more: the middles of the scenes in the middle, in order, and the number of all scenes.
    pub fn finish(mut self) -> (Vec<(SceneSpan, Candidate)>, u64) {
        if self.frames > self.start {
            // A cut that was still pending is none.
            self.pending = None;
            self.end_scene(self.frames);
        }
        let surplus = self.scenes.saturating_sub(self.count as u64);
        let first = surplus / 2;
        let chosen = self.middles.into_iter().filter(|(scene, _)| scene.index >= first).take(self.count);
        (chosen.collect(), self.scenes)
    }
}
