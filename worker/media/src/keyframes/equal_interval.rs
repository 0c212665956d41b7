//! Keyframes at equal intervals: the frames displayed at i x D / n, for i = 0 .. n-1, picked as
//! frames are decoded.
//!
//! All comparisons are between integers. A frame is displayed at a target if its timestamp is at
//! most the target; for an integer timestamp this equals being at most the target rounded down to
//! whole ticks. A target exactly on a frame therefore takes that frame, in any time base.

use crate::request::Position;

/// The length that the targets are spread over: ticks of the stream's time base, or frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// Length, D.
    pub length: i64,
}

impl TimeRange {
    /// Returns the ticks of target `index` of `count`, rounded down.
    pub fn target(self, index: u32, count: u32, position: Position) -> i64 {
        let offset = match position {
            Position::Start => 0,
            Position::Middle => 1,
        };
        let part = (2 * i128::from(index) + offset) * i128::from(self.length) / (2 * i128::from(count));
        i64::try_from(part).unwrap_or(i64::MAX)
    }
}

/// The open targets and the last frame. Holds at most one frame.
pub struct EqualInterval<F> {
    targets: Vec<i64>,
    next: usize,
    held: Option<(i64, F)>,
}

impl<F> EqualInterval<F> {
    /// Spreads `count` targets over `range`.
    pub fn new(count: u32, position: Position, range: TimeRange) -> Self {
        let targets = (0..count).map(|index| range.target(index, count, position)).collect();
        Self { targets, next: 0, held: None }
    }

    /// Takes the next frame in presentation order, at `ticks` of the range's unit. Calls
    /// `choose` with the index of every target at which the previous frame was displayed. Targets
    /// before the first frame get the first frame.
    pub fn show<E>(
        &mut self,
        ticks: i64,
        frame: F,
        mut choose: impl FnMut(u32, i64, &F) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some((shown, held)) = &self.held {
            while self.targets.get(self.next).is_some_and(|&target| target < ticks) {
                choose(self.next as u32, *shown, held)?;
                self.next += 1;
            }
        }
        self.held = Some((ticks, frame));
        Ok(())
    }

    /// Ends the video: chooses the last frame for all remaining targets. Chooses nothing if there
    /// was no frame.
    pub fn finish<E>(self, mut choose: impl FnMut(u32, i64, &F) -> Result<(), E>) -> Result<(), E> {
        if let Some((shown, held)) = &self.held {
            for index in self.next..self.targets.len() {
                choose(index as u32, *shown, held)?;
            }
        }
        Ok(())
    }

    /// Whether every target has its frame.
    pub fn is_complete(&self) -> bool {
        self.next == self.targets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    fn picked(count: u32, position: Position, length: i64, frames: &[i64]) -> Vec<i64> {
        let mut picker = EqualInterval::new(count, position, TimeRange { length });
        let mut chosen = Vec::new();
        let mut keep = |index: u32, _: i64, frame: &i64| -> Result<(), Infallible> {
            assert_eq!(index as usize, chosen.len());
            chosen.push(*frame);
            Ok(())
        };
        for &ticks in frames {
            picker.show(ticks, ticks, &mut keep).unwrap_or_else(|never| match never {});
        }
        picker.finish(&mut keep).unwrap_or_else(|never| match never {});
        chosen
    }

    #[test]
    fn a_target_exactly_on_a_frame_takes_that_frame() {
        let frames: Vec<i64> = (0..250).map(|n| n * 512).collect();
        let expected: Vec<i64> = (0..16).map(|i| i * 250 / 16 * 512).collect();
        assert_eq!(picked(16, Position::Start, 128_000, &frames), expected);
    }

    #[test]
    fn every_target_gets_the_last_frame_at_or_before_it_at_any_frame_rate() {
        let frames = [0, 7, 8, 9, 40, 41, 90];
        for (position, offset) in [(Position::Start, 0.0), (Position::Middle, 0.5)] {
            let chosen = picked(7, position, 100, &frames);
            for (i, &got) in chosen.iter().enumerate() {
                let target = (i as f64 + offset) * 100.0 / 7.0;
                let expected = frames.iter().rev().find(|&&t| t as f64 <= target);
                assert_eq!(Some(&got), expected, "target {target}");
            }
        }
    }

    #[test]
    fn the_first_frame_fills_the_targets_before_it_and_a_single_frame_fills_all() {
        assert_eq!(picked(4, Position::Start, 8, &[3, 5]), [3, 3, 3, 5]);
        assert_eq!(picked(4, Position::Start, 8, &[6]), [6; 4]);
        assert_eq!(picked(4, Position::Start, 8, &[-1, 0, 1]), [0, 1, 1, 1]);
        assert_eq!(picked(3, Position::Start, 0, &[0, 1]), [0; 3]);
        assert!(picked(4, Position::Start, 8, &[]).is_empty());
    }

    #[test]
    fn the_longest_range_does_not_overflow() {
        let all = TimeRange { length: i64::MAX };
        assert_eq!(all.target(255, 256, Position::Middle), (i128::from(i64::MAX) * 511 / 512) as i64);
    }
}
