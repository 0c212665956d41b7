//! One pass over the frames of a video: each is stamped and shown to everyone who waits for frames.

use crate::decode::scene_pass::ScenePass;
use crate::error::MediaError;
use crate::ffmpeg::source::VideoTrack;
use crate::ffmpeg::timestamps::Clock;
use crate::frame_visitor::FrameShow;
use crate::keyframes::equal_interval_writer::Chooser;
use crate::keyframes::seek::Route;
use ffmpeg_next::frame;
use std::collections::BTreeSet;
use std::rc::Rc;

/// A decoded frame in its place. Clones share the picture.
#[derive(Clone)]
pub struct Shown {
    /// 0-based number in presentation order.
    pub number: u64,
    /// Ticks of the stream's time base from its start.
    pub ticks: i64,
    /// The picture as stored.
    pub frame: Rc<frame::Video>,
}

/// Everyone who waits for frames.
pub struct VideoPass<'a> {
    clock: Clock,
    frames: u64,
    /// Keyframes at equal intervals.
    pub equal_interval: Option<Chooser<'a>>,
    /// Scenes, and keyframes chosen by scenes.
    pub scenes: Option<ScenePass<'a>>,
    /// Frames for a viewer.
    pub frames_shown: Option<FrameShow<'a>>,
    /// Frames whose numbers are known already.
    pub by_number: Option<ByNumber<'a>>,
    /// Keyframes at equal intervals that are reached by seeking; then nobody else may wait.
    pub route: Option<Route<'a>>,
}

impl VideoPass<'_> {
    /// A pass over the frames of `track` that nobody waits for yet.
    pub fn new(track: &VideoTrack) -> Self {
        Self {
            clock: Clock::new(track),
            frames: 0,
            equal_interval: None,
            scenes: None,
            frames_shown: None,
            by_number: None,
            route: None,
        }
    }

    /// Whether anybody waits for frames.
    pub fn is_awaited(&self) -> bool {
        self.equal_interval.is_some()
            || self.scenes.is_some()
            || self.frames_shown.is_some()
            || self.by_number.as_ref().is_some_and(|by_number| !by_number.is_done())
            || self.route.as_ref().is_some_and(|route| !route.is_complete())
    }

    /// Takes the next frame in presentation order and the decoder's coded size.
    pub fn show(&mut self, frame: frame::Video, coded: (u32, u32)) -> Result<(), MediaError> {
        let number = self.frames;
        self.frames += 1;
        if let Some(route) = &mut self.route {
            return route.arrive(frame);
        }
        let ticks = self.clock.stamp(frame.timestamp(), frame.packet().duration);
        let shown = Shown { number, ticks, frame: Rc::new(frame) };
        if let Some(scenes) = &mut self.scenes {
            scenes.show(&shown, coded)?;
        }
        if let Some(show) = &mut self.frames_shown {
            show.show(&shown)?;
        }
        if let Some(by_number) = &mut self.by_number {
            by_number.show(&shown)?;
        }
        match &mut self.equal_interval {
            Some(chooser) => chooser.show(&shown),
            None => Ok(()),
        }
    }

    /// Frames seen so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ticks at which the last frame ends, if there was one.
    pub fn end(&self) -> Option<i64> {
        (self.frames > 0).then(|| self.clock.end())
    }
}

/// Takes the frames with certain numbers.
pub struct ByNumber<'a> {
    numbers: BTreeSet<u64>,
    take: &'a mut dyn FnMut(&Shown) -> Result<(), MediaError>,
}

impl<'a> ByNumber<'a> {
    /// Waits for frames with these numbers.
    pub fn new(numbers: BTreeSet<u64>, take: &'a mut dyn FnMut(&Shown) -> Result<(), MediaError>) -> Self {
        Self { numbers, take }
    }

    fn show(&mut self, shown: &Shown) -> Result<(), MediaError> {
        if self.numbers.remove(&shown.number) { (self.take)(shown) } else { Ok(()) }
    }

    fn is_done(&self) -> bool {
        self.numbers.is_empty()
    }
}
