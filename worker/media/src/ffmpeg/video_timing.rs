//! When the frames of a video are shown, by its packets alone: the one source of its length, and of
//! whether its frames are evenly spaced, for every command and strategy.
//!
//! Containers round timestamps differently, and their headers state other lengths (that of the
//! longest stream, an estimate, none). Packets are the same in all of them, so lengths come from
//! packets, and targets in a video of a constant rate are compared by places and not by timestamps:
//! the same packets give the same frames in any container.

use crate::error::MediaError;
use crate::ffmpeg::demux::{DecodeStats, next_packet};
use crate::ffmpeg::edit_list::is_discarded;
use crate::ffmpeg::packet_syntax::PacketSyntax;
use crate::ffmpeg::source::{Source, VideoTrack};

/// Most frames whose times are kept: more than any trailer has; each takes 8 bytes.
const MAX_FRAMES: usize = 1 << 20;
/// Containers round timestamps to at least this.
const ROUNDING_S: f64 = 1e-3;

/// The length of a video and the spacing of its frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeline {
    /// Ticks from the first frame shown to the end of the last one.
    pub length: i64,
    /// For a constant rate: the number of frames, and the ticks from the first to the last.
    steady: Option<(i64, i64)>,
    /// Whether the frame rate varies.
    pub rate_varies: bool,
}

impl Timeline {
    /// A video of `length` ticks with frames at any times.
    pub fn of_length(length: i64) -> Self {
        Self { length, steady: None, rate_varies: false }
    }

    /// The part of a video that could be decoded, `length` ticks, with frames at any times.
    pub fn cut_to(self, length: i64) -> Self {
        Self { length, steady: None, ..self }
    }

    /// Computes the timeline of frames shown at these timestamps, in any order. `last_duration` is
    /// the duration of the last one, 0 if unknown.
    pub fn of_frames(mut shown: Vec<i64>, last_duration: i64, track: &VideoTrack) -> Self {
        shown.sort_unstable();
        let (Some(&first), Some(&last)) = (shown.first(), shown.last()) else { return Self::of_length(0) };
        let span = last.saturating_sub(first);
        let duration = if last_duration > 0 { last_duration } else { track.ticks_a_frame() };
        let count = shown.len() as i64;
        if count < 2 || span <= 0 {
            return Self::of_length(span.saturating_add(duration));
        }
        let step = span as f64 / (count - 1) as f64;
        // Below half a step, so that no two frames have one place.
        let tolerance = (1.01 * (ROUNDING_S / track.seconds(1)).max(1.0)).min(0.49 * step);
        let is_even =
            |(at, &ticks): (usize, &i64)| (ticks.saturating_sub(first) as f64 - at as f64 * step).abs() <= tolerance;
        // A last frame that is shown for longer is one that the container says so of.
        let is_last_even = !track.has_durations || (duration as f64 - step).abs() <= tolerance + 1.0;
        if shown.iter().enumerate().all(is_even) && is_last_even {
            let length = span.saturating_add(step.round() as i64);
            return Self { length, steady: Some((count, span)), rate_varies: false };
        }
        Self { length: span.saturating_add(duration), steady: None, rate_varies: count > 2 }
    }

    /// Reads all packets of a source to its end.
    pub fn read(source: &mut Source) -> Result<Self, MediaError> {
        let (index, ticks_a_frame) = (source.video.index, source.video.ticks_a_frame());
        let syntax = PacketSyntax::of(source);
        let mut stats = DecodeStats::default();
        // By presentation and by decoding time: a container without the one has the other.
        let (mut shown, mut decoded) = (Shown::new(ticks_a_frame), Shown::new(ticks_a_frame));
        let (mut lacks_pts, mut first_key) = (false, None);
        while let Some(packet) = next_packet(source, &mut stats)? {
            if packet.stream() != index {
                continue;
            }
            let (pts, dts) = (packet.pts(), packet.dts());
            if first_key.is_none() && packet.is_key() {
                first_key = Some(pts.unwrap_or(i64::MIN));
            }
            let is_hidden =
                is_discarded(&packet) || packet.data().and_then(|data| syntax.is_shown(data)) == Some(false);
            // Frames before the first key packet cannot be decoded.
            let is_early = first_key.is_some_and(|key| pts.is_some_and(|pts| pts < key));
            if packet.data().is_none() || is_hidden || is_early {
                continue;
            }
            lacks_pts |= pts.is_none() && dts.is_some();
            shown.push(pts, packet.duration());
            decoded.push(dts, packet.duration());
        }
        let times = if lacks_pts { decoded.delayed() } else { shown };
        Ok(times.timeline(&source.video))
    }

    /// Returns the number of frames, if their rate is constant.
    pub fn steady_frames(&self) -> Option<u64> {
        self.steady.and_then(|(count, _)| u64::try_from(count).ok())
    }

    /// Returns the frames per second that are shown, if they are constant and differ by more than
    /// 1 % from the rate that the file states.
    pub fn other_rate(&self, track: &VideoTrack) -> Option<f64> {
        let (count, span) = self.steady?;
        let (shown, stated) = ((count - 1) as f64 / track.seconds(span), f64::from(track.frame_rate?));
        ((shown - stated).abs() > 0.01 * stated).then_some((shown * 1e3).round() / 1e3)
    }

    /// Returns the number of places that targets are spread over: frames for a constant rate, else
    /// ticks.
    pub fn places(&self) -> i64 {
        self.steady.map_or(self.length, |(count, _)| count)
    }

    /// Returns the place of a frame that is shown at `ticks` from the first.
    pub fn place(&self, ticks: i64) -> i64 {
        match self.steady {
            Some((count, span)) => {
                let (ticks, span) = (i128::from(ticks), i128::from(span));
                i64::try_from((2 * ticks * i128::from(count - 1) + span).div_euclid(2 * span)).unwrap_or(i64::MAX)
            }
            None => ticks,
        }
    }
}

/// The times of packets in the order of the file.
struct Shown {
    ticks_a_frame: i64,
    times: Vec<i64>,
    packets: usize,
    /// Packets without a time before the first one with a time, as Matroska gives those before its
    /// zero.
    untimed: i64,
    /// Added to timestamps after a restart.
    offset: i64,
    first: i64,
    /// The latest frame, and its duration.
    last: (i64, i64),
}

impl Shown {
    fn new(ticks_a_frame: i64) -> Self {
        Self {
            ticks_a_frame,
            times: Vec::new(),
            packets: 0,
            untimed: 0,
            offset: 0,
            first: i64::MAX,
            last: (i64::MIN, 0),
        }
    }

    /// A step back of more than 25 frames is a restart, as in concatenated files: time continues.
    fn push(&mut self, time: Option<i64>, duration: i64) {
        let Some(time) = time else {
            self.untimed += i64::from(self.packets == 0);
            return;
        };
        let mut time = time.saturating_add(self.offset);
        if self.packets > 0 && self.last.0.saturating_sub(time) > self.ticks_a_frame.saturating_mul(25) {
            let length = if self.last.1 > 0 { self.last.1 } else { self.ticks_a_frame };
            let end = self.last.0.saturating_add(length);
            self.offset = self.offset.saturating_add(end.saturating_sub(time));
            time = end;
        }
        self.packets += 1;
        self.first = self.first.min(time);
        if time >= self.last.0 {
            self.last = (time, duration);
        }
        if self.times.len() < MAX_FRAMES {
            self.times.push(time);
        }
    }

    /// Maps decoding times to times of presentation: a decoder that reorders frames returns each
    /// when the next packet comes, and the last one as long after it as the one before. Some
    /// encoders leave a gap after the first packet in AVI, in which nothing is shown yet.
    fn delayed(mut self) -> Self {
        let is_whole = self.packets == self.times.len() && self.untimed == 0;
        if is_whole && self.times.len() > 1 {
            let count = self.times.len();
            let step = self.times[count - 1].saturating_sub(self.times[count - 2]);
            self.times.remove(0);
            self.last.0 = self.last.0.saturating_add(if step > 0 { step } else { self.ticks_a_frame });
            self.times.push(self.last.0);
            self.first = self.times.iter().copied().min().unwrap_or(self.first);
        }
        self
    }

    fn timeline(mut self, track: &VideoTrack) -> Timeline {
        if self.packets == 0 {
            return Timeline::of_length(self.untimed.saturating_mul(self.ticks_a_frame));
        }
        for n in 1..=self.untimed.min(MAX_FRAMES as i64) {
            self.times.push(self.first.saturating_sub(n.saturating_mul(self.ticks_a_frame)));
        }
        self.first = self.first.saturating_sub(self.untimed.saturating_mul(self.ticks_a_frame));
        if self.packets + self.untimed as usize > self.times.len() {
            let duration = if self.last.1 > 0 { self.last.1 } else { self.ticks_a_frame };
            return Timeline::of_length(self.last.0.saturating_sub(self.first).saturating_add(duration));
        }
        Timeline::of_frames(self.times, self.last.1, track)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ffmpeg_next::Rational;

    fn track(ticks_per_second: i32, has_durations: bool) -> VideoTrack {
        VideoTrack {
            index: 0,
            time_base: Rational(1, ticks_per_second),
            start: None,
            frame_rate: Some(Rational(30_000, 1_001)),
            codec: "h264".to_owned(),
            width: 16,
            height: 16,
            orientation: Default::default(),
            is_picture: false,
            has_durations,
            opencv_orientation: Default::default(),
            other_streams: 0,
        }
    }

    #[test]
    fn a_stated_rate_that_is_not_the_shown_one_is_found() {
        // H.264 in AVI: two ticks a frame, and the header counts ticks as frames.
        let of = |rate| VideoTrack { frame_rate: Some(Rational(rate, 1)), ..track(50, false) };
        let found = Timeline::of_frames((0..100).map(|n| n * 2).collect(), 1, &of(50));
        assert_eq!((found.other_rate(&of(50)), found.other_rate(&of(25))), (Some(25.0), None));
        assert_eq!((found.steady_frames(), found.length), (Some(100), 200));
        let varying = Timeline::of_frames(vec![0, 2, 4, 9], 1, &of(25));
        assert_eq!((varying.steady_frames(), varying.other_rate(&of(25))), (None, None));
    }

    #[test]
    fn a_gap_after_the_first_packet_of_an_avi_is_no_time() {
        let mut decoded = Shown::new(1);
        [0, 3, 4, 5, 6, 7].into_iter().for_each(|time| decoded.push(Some(time), 1));
        let found = decoded.delayed().timeline(&track(25, false));
        assert_eq!((found.length, found.places(), found.rate_varies), (6, 6, false));
        // The packets of H.264 in AVI last one of the two ticks of a frame.
        let mut fields = Shown::new(1);
        (0..50).for_each(|n| fields.push(Some(n * 2), 1));
        let found = fields.delayed().timeline(&track(50, false));
        assert_eq!((found.length, found.places()), (100, 50));
        let mut single = Shown::new(1);
        single.push(Some(5), 1);
        assert_eq!(single.delayed().timeline(&track(25, false)).length, 1);
    }

    /// Times of frames at 30000/1001 a second, rounded to ticks.
    fn ntsc(ticks_per_second: i64, from: i64) -> Vec<i64> {
        (0..96).map(|n| from + (n * 1_001 * ticks_per_second + 15_000) / 30_000).collect()
    }

    #[test]
    fn a_constant_rate_is_recognised_in_any_time_base_and_places_are_frames() {
        // AVI with two ticks a frame.
        let found = Timeline::of_frames((0..100).map(|n| n * 2).collect(), 1, &track(50, false));
        assert_eq!((found.places(), found.length), (100, 200));
        for (ticks, from) in [(1_000, 0), (1_000, 67), (30_000, -1_001), (90_000, 126_000)] {
            let times = ntsc(ticks, from);
            let found = Timeline::of_frames(times.clone(), 0, &track(ticks as i32, false));
            assert_eq!((found.places(), found.rate_varies), (96, false), "{ticks}");
            assert!((found.length as f64 / ticks as f64 - 96.0 * 1.001 / 30.0).abs() < 0.002, "{ticks}: {found:?}");
            let places = times.iter().map(|t| found.place(t - from)).collect::<Vec<_>>();
            assert_eq!(places, (0..96).collect::<Vec<_>>(), "{ticks}");
        }
    }

    #[test]
    fn a_varying_rate_and_a_longer_last_frame_are_kept_as_they_are() {
        let mut times: Vec<i64> = (0..10).map(|n| n * 40).collect();
        assert_eq!(Timeline::of_frames(times.clone(), 40, &track(1_000, true)).length, 400);
        let long = Timeline::of_frames(times.clone(), 1_000, &track(1_000, true));
        assert_eq!((long.length, long.places()), (1_360, 1_360));
        times.extend([500, 500, 640]);
        let varying = Timeline::of_frames(times, 40, &track(1_000, true));
        assert_eq!((varying.length, varying.place(77), varying.rate_varies), (680, 77, true));
    }

    #[test]
    fn few_and_strange_times_have_a_length() {
        assert_eq!(Timeline::of_frames(vec![], 0, &track(1_000, true)).length, 0);
        assert_eq!(Timeline::of_frames(vec![500], 0, &track(1_000, true)).length, 33);
        assert_eq!(Timeline::of_frames(vec![5, 5, 5], 40, &track(1_000, true)).length, 40);
        let found = Timeline::of_frames(vec![i64::MIN, i64::MAX], 1, &track(1_000, true));
        assert_eq!(found.length, i64::MAX);
    }

    #[test]
    fn time_continues_after_a_restart() {
        let mut shown = Shown::new(40);
        [0, 40, 2_000, 0, 40].into_iter().for_each(|time| shown.push(Some(time), 40));
        assert_eq!(shown.times, [0, 40, 2_000, 2_040, 2_080]);
    }

    #[test]
    fn packets_without_a_time_at_the_start_come_before_the_first_time() {
        let mut shown = Shown::new(40);
        [None, None, Some(80), Some(0), Some(40)].into_iter().for_each(|time| shown.push(time, 40));
        let found = shown.timeline(&track(1_000, true));
        assert_eq!((found.places(), found.length), (5, 200));
        let mut none = Shown::new(40);
        [None, None].into_iter().for_each(|time| none.push(time, 40));
        assert_eq!(none.timeline(&track(1_000, true)).length, 80);
    }
}
