//! The presentation time of each frame.

use crate::ffmpeg::source::VideoTrack;
use crate::frame::DecodedFrame;
use ffmpeg_next::frame;
use std::rc::Rc;

/// Numbers frames and gives each its time, in presentation order.
pub struct FrameStamper {
    clock: FrameClock,
    frames: u64,
    track_start: Option<i64>,
    lead: i64,
}

impl FrameStamper {
    /// Starts before the first frame of `track`.
    pub fn new(track: &VideoTrack) -> Self {
        Self { clock: FrameClock::new(track), frames: 0, track_start: track.start, lead: 0 }
    }

    /// Stamps the next frame.
    pub fn stamp(&mut self, frame: frame::Video) -> DecodedFrame {
        let number = self.frames;
        self.frames += 1;
        let ticks = self.clock.stamp(frame.timestamp(), frame.packet().duration);
        if number == 0 {
            let from = self.track_start.zip(frame.timestamp());
            self.lead = from.map_or(0, |(start, first)| first.saturating_sub(start)).max(0);
        }
        DecodedFrame { number, ticks, frame: Rc::new(frame) }
    }

    /// Number of frames stamped so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Ticks from the start of the stream to the first frame.
    pub fn lead(&self) -> i64 {
        self.lead
    }

    /// Ticks at which the last frame ends, if there was one.
    pub fn end(&self) -> Option<i64> {
        (self.frames > 0).then_some(self.clock.end)
    }
}

/// Computes presentation times in ticks from the first frame shown: never backwards, and derived
/// from the frame rate where the file has no timestamps. Containers without presentation times
/// (AVI) and with other starts (audio that begins earlier, a delay for reordered frames) thus give
/// the same times.
struct FrameClock {
    start: Option<i64>,
    ticks_a_frame: i64,
    shown: Option<i64>,
    end: i64,
}

impl FrameClock {
    fn new(track: &VideoTrack) -> Self {
        Self { start: None, ticks_a_frame: track.ticks_a_frame(), shown: None, end: 0 }
    }

    /// Returns the time of the next frame, given the timestamp and the duration (0: unknown) that
    /// the decoder reports. A step back of up to 25 frames is jitter and becomes no step. A longer
    /// step back is a restart, as in concatenated files: time continues from the end of the frame
    /// before it.
    fn stamp(&mut self, timestamp: Option<i64>, length: i64) -> i64 {
        // Frames before the first timestamp, if any, came before it.
        let begin = |ticks: i64| ticks.saturating_sub(self.end);
        let reported = timestamp.map(|ticks| ticks.saturating_sub(*self.start.get_or_insert_with(|| begin(ticks))));
        let ticks = match (reported, self.shown) {
            (None, _) => self.end,
            (Some(reported), None) => reported,
            (Some(reported), Some(shown)) if reported >= shown => reported,
            (Some(reported), Some(shown)) if shown.saturating_sub(reported) <= 25 * self.ticks_a_frame => shown,
            (Some(reported), Some(_)) => {
                self.start = self.start.map(|start| start.saturating_sub(self.end.saturating_sub(reported)));
                self.end
            }
        };
        let length = if length > 0 { length } else { self.ticks_a_frame };
        self.shown = Some(ticks);
        self.end = ticks.saturating_add(length);
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(timestamps: &[Option<i64>]) -> Vec<i64> {
        let mut clock = FrameClock { start: None, ticks_a_frame: 10, shown: None, end: 0 };
        timestamps.iter().map(|&ticks| clock.stamp(ticks, 0)).collect()
    }

    #[test]
    fn time_starts_at_the_first_frame() {
        assert_eq!(stamps(&[Some(100), Some(113)]), [0, 13]);
        assert_eq!(stamps(&[Some(-90), Some(-30)]), [0, 60]);
        assert_eq!(stamps(&[Some(7000), Some(7010)]), [0, 10]);
    }

    #[test]
    fn missing_timestamps_follow_the_frame_rate() {
        assert_eq!(stamps(&[None, None, None]), [0, 10, 20]);
        assert_eq!(stamps(&[Some(0), None, Some(25)]), [0, 10, 25]);
        assert_eq!(stamps(&[None, None, Some(500), Some(510)]), [0, 10, 20, 30]);
    }

    #[test]
    fn jitter_never_steps_back_and_time_continues_after_a_restart() {
        assert_eq!(stamps(&[Some(0), Some(20), Some(10), Some(30)]), [0, 20, 20, 30]);
        assert_eq!(stamps(&[Some(0), Some(1000), Some(0), Some(10), Some(20)]), [0, 1000, 1010, 1020, 1030]);
        assert_eq!(stamps(&[Some(i64::MAX), Some(i64::MIN + 1), None]).len(), 3);
    }
}
