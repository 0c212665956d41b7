//! When a frame is shown.

use crate::ffmpeg::source::VideoTrack;

/// Timestamps of frames in presentation order, in ticks from the start of the stream: never backwards, and made up from
/// the frame rate where the file has none.
pub struct Clock {
    start: Option<i64>,
    ticks_a_frame: i64,
    shown: Option<i64>,
    end: i64,
}

impl Clock {
    /// A clock for the frames of a stream.
    pub fn new(track: &VideoTrack) -> Self {
        Self { start: track.start, ticks_a_frame: track.ticks_a_frame(), shown: None, end: 0 }
    }

    /// Ticks at which the next frame is shown, given its timestamp and its length (0: unknown) as the decoder tells
    /// them. A step back within a second's frames is jitter and becomes no step; a longer one is a new beginning, as
    /// in files glued together, and the time goes on from the frame before it.
    pub fn stamp(&mut self, timestamp: Option<i64>, length: i64) -> i64 {
        let told = timestamp.map(|ticks| ticks.saturating_sub(*self.start.get_or_insert(ticks)));
        let ticks = match (told, self.shown) {
            (None, _) => self.end,
            (Some(told), None) => told,
            (Some(told), Some(shown)) if told >= shown => told,
            (Some(told), Some(shown)) if shown.saturating_sub(told) <= 25 * self.ticks_a_frame => shown,
            (Some(told), Some(_)) => {
                self.start = self.start.map(|start| start.saturating_sub(self.end.saturating_sub(told)));
                self.end
            }
        };
        let length = if length > 0 { length } else { self.ticks_a_frame };
        self.shown = Some(ticks);
        self.end = ticks.saturating_add(length);
        ticks
    }

    /// Ticks at which the last stamped frame ends.
    pub fn end(&self) -> i64 {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamps(start: Option<i64>, timestamps: &[Option<i64>]) -> Vec<i64> {
        let mut clock = Clock { start, ticks_a_frame: 10, shown: None, end: 0 };
        timestamps.iter().map(|&ticks| clock.stamp(ticks, 0)).collect()
    }

    #[test]
    fn times_count_from_the_start_of_the_stream_or_from_the_first_frame() {
        assert_eq!(stamps(Some(100), &[Some(100), Some(113)]), [0, 13]);
        assert_eq!(stamps(Some(100), &[Some(90), Some(150)]), [-10, 50]);
        assert_eq!(stamps(None, &[Some(7000), Some(7010)]), [0, 10]);
    }

    #[test]
    fn missing_timestamps_follow_the_frame_rate() {
        assert_eq!(stamps(None, &[None, None, None]), [0, 10, 20]);
        assert_eq!(stamps(Some(0), &[Some(0), None, Some(25)]), [0, 10, 25]);
    }

    #[test]
    fn jitter_does_not_step_back_and_a_new_beginning_goes_on() {
        assert_eq!(stamps(Some(0), &[Some(0), Some(20), Some(10), Some(30)]), [0, 20, 20, 30]);
        assert_eq!(stamps(Some(0), &[Some(0), Some(1000), Some(0), Some(10), Some(20)]), [0, 1000, 1010, 1020, 1030]);
        assert_eq!(stamps(Some(0), &[Some(i64::MAX), Some(i64::MIN + 1), None]).len(), 3);
    }
}
