//! When the frames of a video are shown, by its packets alone: the one source of its length, and of
//! whether its frames are evenly spaced, for every command and strategy.
//!
//! Containers round timestamps differently, few of them state how long the last frame is shown, and
//! their headers state other lengths (that of the longest stream, an estimate, none). Packets are
//! the same in all of them, so lengths come from packets. Targets are spread as if the last frame
//! were shown as long as the others on average, and are compared by places and not by timestamps:
//! by frames in a video of a constant rate, else by whole milliseconds. The same packets give the
//! same frames in any container that keeps the milliseconds of its frames.

use crate::error::MediaError;
use crate::ffmpeg::demux::{DecodeStats, next_packet};
use crate::ffmpeg::edit_list::is_discarded;
use crate::ffmpeg::packet_syntax::PacketSyntax;
use crate::ffmpeg::source::{Source, VideoTrack};

/// Most frames whose times are kept: more than any trailer has; each takes 8 bytes.
const MAX_FRAMES: usize = 1 << 20;
/// Containers round timestamps to at least this.
const ROUNDING_S: f64 = 1e-3;
/// Below half a step, so that no two frames have one place.
const MAX_TOLERANCE: f64 = 0.49;

/// Codecs whose decoders return nothing before the first key packet.
const FROM_KEY: [&str; 7] = ["h264", "hevc", "mpeg1video", "mpeg2video", "vp8", "vp9", "av1"];
/// Longest gap after the first packet of an AVI that is not time, in frames.
const MAX_GAP: f64 = 2.0;

/// The length of a video and the spacing of its frames.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timeline {
    /// Ticks from the first frame shown to the end of the last one.
    pub length: i64,
    /// Ticks that targets are spread over.
    spread: i64,
    places: Places,
    /// Ticks between the first frame of an AVI and the second in which nothing is shown.
    gap: i64,
    /// Whether the frame rate varies.
    pub rate_varies: bool,
}

/// The unit in which frames and targets are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Places {
    /// Frames, for a constant rate: their number, and the ticks from the first to the last.
    Frames { count: i64, span: i64 },
    /// Milliseconds: the number that targets are spread over, and the seconds of a tick.
    Milliseconds { length: i64, tick: (i64, i64) },
    /// Ticks.
    Ticks,
}

impl Timeline {
    /// A video of `length` ticks with frames at any times.
    pub fn of_length(length: i64) -> Self {
        Self { length, spread: length, places: Places::Ticks, gap: 0, rate_varies: false }
    }

    /// The part of a video that could be decoded, `length` ticks, with frames at any times.
    pub fn cut_to(self, length: i64) -> Self {
        Self { length, spread: length, places: Places::Ticks, ..self }
    }

    /// Computes the timeline of frames shown at these timestamps, in any order. `last_duration` is
    /// the duration of the last one, 0 if unknown.
    pub fn of_frames(mut shown: Vec<i64>, last_duration: i64, track: &VideoTrack) -> Self {
        shown.sort_unstable();
        let rounding = 1.01 * (ROUNDING_S / track.seconds(1)).max(1.0);
        let gap = if track.is_avi { gap_after_first(&shown, rounding) } else { 0 };
        shown.iter_mut().skip(1).for_each(|ticks| *ticks = ticks.saturating_sub(gap));
        let (Some(&first), Some(&last)) = (shown.first(), shown.last()) else { return Self::of_length(0) };
        let span = last.saturating_sub(first);
        let count = shown.len() as i64;
        if count < 2 || span <= 0 {
            let duration = if last_duration > 0 { last_duration } else { track.ticks_a_frame() };
            return Self::of_length(span.saturating_add(duration));
        }
        let step = span as f64 / (count - 1) as f64;
        let usual = step.round() as i64;
        let spread = span.saturating_add(usual);
        let tolerance = rounding.min(MAX_TOLERANCE * step);
        // Only the container says how long the last frame is shown. In a constant rate a shorter
        // one is cut by the end of the sound.
        let stated = if track.has_durations && last_duration > 0 { last_duration } else { usual };
        if are_even(&shown, step, tolerance) {
            let is_longer = stated as f64 - step > tolerance + 1.0;
            let length = if is_longer { span.saturating_add(stated) } else { spread };
            let places = Places::Frames { count, span };
            return Self { length, spread, places, gap, rate_varies: is_longer && count > 2 };
        }
        let tick = (i64::from(track.time_base.numerator()), i64::from(track.time_base.denominator()));
        let (whole, count) = (i128::from(milliseconds(span, tick)), i128::from(count));
        let of_targets = (2 * whole * count + count - 1) / (2 * (count - 1));
        let places = Places::Milliseconds { length: i64::try_from(of_targets).unwrap_or(i64::MAX), tick };
        Self { length: span.saturating_add(stated), spread, places, gap: 0, rate_varies: count > 2 }
    }

    /// Reads all packets of a source to its end.
    pub fn read(source: &mut Source) -> Result<Self, MediaError> {
        let (index, ticks_a_frame) = (source.video.index, source.video.ticks_a_frame());
        let syntax = PacketSyntax::of(source);
        let mut stats = DecodeStats::default();
        // By presentation and by decoding time: a container without the one has the other.
        let (mut shown, mut decoded) = (Shown::new(ticks_a_frame), Shown::new(ticks_a_frame));
        let (mut lacks_pts, mut first_key, mut last_dts) = (false, None, None);
        let begins_at_key = FROM_KEY.contains(&source.video.codec.as_str());
        while let Some(packet) = next_packet(source, &mut stats)? {
            if packet.stream() != index {
                continue;
            }
            let (pts, dts) = (packet.pts(), packet.dts());
            let is_later = dts.zip(last_dts).is_some_and(|(dts, last)| dts > last);
            last_dts = dts.or(last_dts);
            if first_key.is_none() && packet.is_key() {
                first_key = Some(pts.unwrap_or(i64::MIN));
                if begins_at_key {
                    // Packets of a recording that starts inside a group of pictures.
                    (shown, decoded) = (Shown::new(ticks_a_frame), Shown::new(ticks_a_frame));
                    lacks_pts = false;
                }
            }
            let is_hidden =
                is_discarded(&packet) || packet.data().and_then(|data| syntax.is_shown(data)) == Some(false);
            // Frames shown before the first key packet cannot be decoded.
            let is_early = first_key.is_some_and(|key| pts.is_some_and(|pts| pts < key));
            if packet.data().is_none() || is_hidden || is_early {
                continue;
            }
            lacks_pts |= pts.is_none() && dts.is_some();
            shown.push(pts, packet.duration(), is_later);
            decoded.push(dts, packet.duration(), is_later);
        }
        let times = if lacks_pts { decoded.delayed() } else { shown };
        Ok(times.timeline(&source.video))
    }

    /// Returns the number of frames, if their rate is constant.
    pub fn steady_frames(&self) -> Option<u64> {
        match self.places {
            Places::Frames { count, .. } => u64::try_from(count).ok(),
            _ => None,
        }
    }

    /// Returns the frames per second that are shown, if they are constant and differ by more than
    /// 1 % from the rate that the file states.
    pub fn other_rate(&self, track: &VideoTrack) -> Option<f64> {
        let Places::Frames { count, span } = self.places else { return None };
        let (shown, stated) = ((count - 1) as f64 / track.seconds(span), f64::from(track.frame_rate?));
        ((shown - stated).abs() > 0.01 * stated).then_some((shown * 1e3).round() / 1e3)
    }

    /// Returns the ticks that targets are spread over.
    pub fn spread(&self) -> i64 {
        self.spread
    }

    /// Returns the ticks from the first frame at which a frame is shown whose timestamp is `ticks`
    /// after that of the first.
    pub fn without_gap(&self, ticks: i64) -> i64 {
        if ticks > 0 { ticks.saturating_sub(self.gap) } else { ticks }
    }

    /// Returns the number of places that targets are spread over: frames for a constant rate, else
    /// milliseconds, or ticks of a video whose frames are not known.
    pub fn places(&self) -> i64 {
        match self.places {
            Places::Frames { count, .. } => count,
            Places::Milliseconds { length, .. } => length,
            Places::Ticks => self.length,
        }
    }

    /// Returns the place of a frame that is shown at `ticks` from the first.
    pub fn place(&self, ticks: i64) -> i64 {
        match self.places {
            Places::Frames { count, span } => {
                let (ticks, span) = (i128::from(ticks), i128::from(span));
                i64::try_from((2 * ticks * i128::from(count - 1) + span).div_euclid(2 * span)).unwrap_or(i64::MAX)
            }
            Places::Milliseconds { tick, .. } => milliseconds(ticks, tick),
            Places::Ticks => ticks,
        }
    }
}

/// Converts ticks of numerator / denominator seconds to whole milliseconds, the nearest.
fn milliseconds(ticks: i64, (numerator, denominator): (i64, i64)) -> i64 {
    let (parts, denominator) = (i128::from(ticks) * i128::from(numerator) * 1_000, i128::from(denominator.max(1)));
    i64::try_from((2 * parts + denominator).div_euclid(2 * denominator)).unwrap_or(i64::MAX)
}

/// Whether no timestamp is further than `tolerance` from its multiple of `step`.
fn are_even(shown: &[i64], step: f64, tolerance: f64) -> bool {
    let first = shown.first().copied().unwrap_or(0);
    let is_even =
        |(at, &ticks): (usize, &i64)| (ticks.saturating_sub(first) as f64 - at as f64 * step).abs() <= tolerance;
    shown.iter().enumerate().all(is_even)
}

/// Returns the ticks by which the second frame comes later than at the constant rate of all
/// frames after it: some encoders leave empty chunks after the first packet of an AVI.
fn gap_after_first(shown: &[i64], rounding: f64) -> i64 {
    let [first, rest @ ..] = shown else { return 0 };
    let (Some(&second), Some(&last), 3..) = (rest.first(), rest.last(), rest.len()) else { return 0 };
    let step = last.saturating_sub(second) as f64 / (rest.len() - 1) as f64;
    let tolerance = rounding.min(MAX_TOLERANCE * step);
    let gap = second.saturating_sub(*first) as f64 - step;
    let is_gap = gap > tolerance && gap <= MAX_GAP * step + tolerance;
    if is_gap && are_even(rest, step, tolerance) { gap.round() as i64 } else { 0 }
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
    /// `is_later`: the packet is decoded after the one before it, so it only is in another order.
    fn push(&mut self, time: Option<i64>, duration: i64, is_later: bool) {
        let Some(time) = time else {
            self.untimed += i64::from(self.packets == 0);
            return;
        };
        let mut time = time.saturating_add(self.offset);
        if !is_later && self.packets > 0 && self.last.0.saturating_sub(time) > self.ticks_a_frame.saturating_mul(25) {
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
            is_avi: false,
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
        [0, 3, 4, 5, 6, 7].into_iter().for_each(|time| decoded.push(Some(time), 1, false));
        let found = decoded.delayed().timeline(&track(25, false));
        assert_eq!((found.length, found.places(), found.rate_varies), (6, 6, false));
        // The packets of H.264 in AVI last one of the two ticks of a frame.
        let mut fields = Shown::new(1);
        (0..50).for_each(|n| fields.push(Some(n * 2), 1, false));
        let found = fields.delayed().timeline(&track(50, false));
        assert_eq!((found.length, found.places()), (100, 50));
        let mut single = Shown::new(1);
        single.push(Some(5), 1, false);
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
    fn only_a_longer_last_frame_changes_the_length_and_none_moves_the_targets() {
        let times: Vec<i64> = (0..10).map(|n| n * 40).collect();
        let of = |duration, has_durations| {
            let found = Timeline::of_frames(times.clone(), duration, &track(1_000, has_durations));
            (found.length, found.spread(), found.places(), found.rate_varies)
        };
        assert_eq!(of(40, true), (400, 400, 10, false));
        // The end of the sound cuts the last frame.
        assert_eq!(of(27, true), (400, 400, 10, false));
        assert_eq!(of(1_000, true), (1_360, 400, 10, true));
        assert_eq!(of(1_000, false), (400, 400, 10, false));
    }

    #[test]
    fn frames_of_a_varying_rate_have_the_places_of_their_milliseconds_in_any_time_base() {
        // Frames of 240 a second, of which few are left.
        let numbers = [0i64, 7, 9, 22, 23, 40, 58, 61, 77, 96];
        let places = |ticks_per_second: i64, duration: i64, has_durations: bool| {
            let times: Vec<i64> = numbers.iter().map(|n| (n * ticks_per_second + 120) / 240).collect();
            let found = Timeline::of_frames(times.clone(), duration, &track(ticks_per_second as i32, has_durations));
            assert!(found.rate_varies && found.steady_frames().is_none());
            (found.places(), times.iter().map(|&ticks| found.place(ticks)).collect::<Vec<_>>())
        };
        let of_mkv = places(1_000, 4, true);
        assert_eq!(of_mkv.0, 444);
        assert_eq!(of_mkv, places(90_000, 3_003, false));
        assert_eq!(of_mkv, places(90_000, 45_000, true));
        let varying = Timeline::of_frames(vec![0, 40, 500, 640], 40, &track(1_000, true));
        assert_eq!((varying.length, varying.spread(), varying.place(77)), (680, 853, 77));
    }

    #[test]
    fn a_gap_after_the_first_frame_of_an_avi_is_no_time_with_timestamps_too() {
        let avi = VideoTrack { is_avi: true, ..track(60, false) };
        // 30 frames a second in ticks of 1/60: three ticks, then two.
        let times: Vec<i64> = std::iter::once(0).chain((0..149).map(|n| 3 + n * 2)).collect();
        let found = Timeline::of_frames(times.clone(), 1, &avi);
        assert_eq!((found.places(), found.length, found.rate_varies), (150, 300, false));
        let places: Vec<i64> = times.iter().map(|&ticks| found.place(found.without_gap(ticks))).collect();
        assert_eq!(places, (0..150).collect::<Vec<_>>());
        // Elsewhere, and where the rest varies, it is time.
        assert!(Timeline::of_frames(times.clone(), 1, &track(60, false)).rate_varies);
        let varying = Timeline::of_frames([&times[..], &[310, 340]].concat(), 1, &avi);
        assert_eq!((varying.rate_varies, varying.without_gap(3)), (true, 3));
        let long = Timeline::of_frames([&[-20], &times[1..]].concat(), 1, &avi);
        assert!(long.rate_varies);
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
        [0, 40, 2_000, 0, 40].into_iter().for_each(|time| shown.push(Some(time), 40, false));
        assert_eq!(shown.times, [0, 40, 2_000, 2_040, 2_080]);
        // Frames of a varying rate, whose average is stated wrongly, in the order of decoding.
        let mut reordered = Shown::new(4);
        [0, 400, 130, 260].into_iter().for_each(|time| reordered.push(Some(time), 4, true));
        assert_eq!(reordered.times, [0, 400, 130, 260]);
    }

    #[test]
    fn packets_without_a_time_at_the_start_come_before_the_first_time() {
        let mut shown = Shown::new(40);
        [None, None, Some(80), Some(0), Some(40)].into_iter().for_each(|time| shown.push(time, 40, false));
        let found = shown.timeline(&track(1_000, true));
        assert_eq!((found.places(), found.length), (5, 200));
        let mut none = Shown::new(40);
        [None, None].into_iter().for_each(|time| none.push(time, 40, false));
        assert_eq!(none.timeline(&track(1_000, true)).length, 80);
    }
}
