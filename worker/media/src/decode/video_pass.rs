//! One pass over the frames of a video: stamps each frame and passes it to every requested
//! consumer.

use crate::decode::scene_pass::ScenePass;
use crate::error::MediaError;
use crate::ffmpeg::frame_stamper::FrameStamper;
use crate::ffmpeg::source::VideoTrack;
use crate::ffmpeg::video_timing::Timeline;
use crate::frame::{DecodedFrame, FrameSink};
use crate::frame_visitor::FrameSampler;
use crate::keyframes::equal_interval_writer::EqualIntervalWriter;
use ffmpeg_next::frame;

/// The consumers of a full decode.
pub struct VideoPass<'a> {
    timeline: Timeline,
    stamper: FrameStamper,
    /// Keyframes at equal intervals.
    pub equal_interval: Option<EqualIntervalWriter<'a>>,
    /// Scenes, and keyframes chosen by scenes.
    pub scenes: Option<ScenePass<'a>>,
    /// Frames for a visitor.
    pub sampler: Option<FrameSampler<'a>>,
}

impl VideoPass<'_> {
    /// A pass over the frames of `track`, without consumers.
    pub fn new(track: &VideoTrack, timeline: Timeline) -> Self {
        Self { timeline, stamper: FrameStamper::new(track), equal_interval: None, scenes: None, sampler: None }
    }
}

impl FrameSink for VideoPass<'_> {
    fn show(&mut self, frame: frame::Video, coded_size: (u32, u32)) -> Result<(), MediaError> {
        let decoded = self.stamper.stamp(frame);
        let decoded = DecodedFrame { ticks: self.timeline.without_gap(decoded.ticks), ..decoded };
        if let Some(scenes) = &mut self.scenes {
            scenes.show(&decoded, coded_size)?;
        }
        if let Some(sampler) = &mut self.sampler {
            sampler.show(&decoded)?;
        }
        match &mut self.equal_interval {
            Some(writer) => writer.show(&decoded),
            None => Ok(()),
        }
    }

    fn is_awaited(&self) -> bool {
        self.equal_interval.is_some() || self.scenes.is_some() || self.sampler.is_some()
    }

    fn frames(&self) -> u64 {
        self.stamper.frames()
    }

    fn end(&self) -> Option<i64> {
        self.stamper.end().map(|ticks| self.timeline.without_gap(ticks))
    }

    fn lead(&self) -> i64 {
        self.stamper.lead()
    }
}
