//! Keyframes at equal intervals without decoding everything: only from the key packet before each target to its frame.
//!
//! Packets tell which frame each target falls on ([`Timeline`]). In a second reading, packets that no target needs are
//! passed over; where decoding begins again the decoder is emptied first, and on the way to a target it leaves out frames
//! that no other frame refers to. The way never leads back, so no group of pictures is entered twice. Reading on from
//! packet to packet, instead of asking the container to seek, costs little next to decoding and cannot miss: containers
//! without an index, or with a wrong one, are no special cases, and the sound comes out of the same reading.
//!
//! A frame counts only if it comes out with the very timestamp that was expected, of packets that gave no fault. If
//! anything is otherwise, the caller decodes the whole file instead.

use crate::decode::video_pass::Shown;
use crate::error::MediaError;
use crate::ffmpeg::packet_index::Timeline;
use crate::ffmpeg::source::VideoTrack;
use crate::keyframes::equal_interval::{EqualInterval, Stretch};
use crate::keyframes::equal_interval_writer::Chosen;
use crate::keyframes::writer::{KeyframeWriter, Reason};
use crate::request::KeyframeSettings;
use ffmpeg_next::frame;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    PassOver,
    /// Decode it.
    Decode {
        /// Empty the decoder before: the packets before this one were passed over.
        afresh: bool,
        /// Its frame is needed only if other frames refer to it.
        only_reference: bool,
        /// Have the decoder give out all frames after it: the packets after this one are passed over.
        to_the_end: bool,
    },
}

/// The packets that must be decoded for the frames that are still awaited, by the frames' timestamps: the first and the
/// last of each.
pub struct Way {
    runs: BTreeMap<i64, (usize, usize)>,
    /// The next packet of the video.
    packet: usize,
    /// Whether the packet before it was decoded and the decoder can go on from there.
    is_inside: bool,
}

impl Way {
    /// The way along these runs.
    pub fn new(runs: BTreeMap<i64, (usize, usize)>) -> Self {
        Self { runs, packet: 0, is_inside: false }
    }

    /// What to do with the next packet of the video.
    pub fn step(&mut self) -> Step {
        let packet = self.packet;
        self.packet += 1;
        // Also beyond a run's end, until the decoder gives the frame out.
        if !self.runs.values().any(|run| run.0 <= packet) {
            self.is_inside = false;
            return Step::PassOver;
        }
        let only_reference = self.runs.values().all(|run| run.1 != packet);
        // Frames that wait in the decoder can be had without more packets, if nothing else is needed soon.
        let goes_on = self.runs.values().any(|run| run.0 <= packet + 1 && packet < run.1);
        let to_the_end = !only_reference && !goes_on;
        let afresh = !std::mem::replace(&mut self.is_inside, !to_the_end);
        Step::Decode { afresh, only_reference, to_the_end }
    }

    /// Notes that a frame with this timestamp came out of the decoder: whether it was awaited.
    pub fn arrive(&mut self, pts: i64) -> bool {
        self.runs.remove(&pts).is_some()
    }

    /// Whether every frame came.
    pub fn is_complete(&self) -> bool {
        self.runs.is_empty()
    }
}

/// A frame that becomes keyframes.
struct Target {
    number: u64,
    ticks: i64,
    keyframes: Vec<u32>,
}

/// The way through a file from target to target, and the archive that is written on it.
pub struct Route<'a> {
    settings: KeyframeSettings,
    stretch: Stretch,
    track: VideoTrack,
    writer: KeyframeWriter<'a>,
    /// By timestamp.
    targets: BTreeMap<i64, Target>,
    way: Way,
    /// Whether frames came in another order than they are shown.
    is_lost: bool,
}

impl<'a> Route<'a> {
    /// The way to `settings.count` targets spread over `announced`.
    pub fn new(
        timeline: &Timeline,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        announced: Stretch,
        writer: KeyframeWriter<'a>,
    ) -> Self {
        let start = track.start.unwrap_or_else(|| timeline.pts(0));
        let ticks = |frame: usize| timeline.pts(frame).saturating_sub(start);
        let stretch = announced.beginning_with(ticks(0), settings.count);
        let (mut targets, mut runs) = (BTreeMap::<i64, Target>::new(), BTreeMap::new());
        let mut choose = |index: u32, _: i64, &frame: &usize| -> Result<(), Infallible> {
            let (pts, number, ticks) = (timeline.pts(frame), frame as u64, ticks(frame));
            runs.entry(pts).or_insert_with(|| timeline.run(frame));
            let target = targets.entry(pts).or_insert(Target { number, ticks, keyframes: Vec::new() });
            target.keyframes.push(index);
            Ok(())
        };
        let mut picker = EqualInterval::new(settings.count, settings.position, stretch);
        for frame in 0..timeline.frames() {
            picker.show(ticks(frame), frame, &mut choose).unwrap_or_else(|never| match never {});
        }
        picker.finish(&mut choose).unwrap_or_else(|never| match never {});
        let (settings, track) = (settings.clone(), track.clone());
        Self { settings, stretch, track, writer, targets, way: Way::new(runs), is_lost: false }
    }

    /// What to do with the next packet of the video.
    pub fn step(&mut self) -> Step {
        self.way.step()
    }

    /// Takes a frame that came out of the decoder.
    pub fn arrive(&mut self, frame: frame::Video) -> Result<(), MediaError> {
        let Some(pts) = frame.timestamp().filter(|&pts| self.way.arrive(pts)) else { return Ok(()) };
        let Some(target) = self.targets.remove(&pts) else { return Ok(()) };
        let shown = Shown { number: target.number, ticks: target.ticks, frame: Rc::new(frame) };
        for index in target.keyframes {
            self.is_lost |= index as usize != self.writer.written();
            let target_s = self.track.seconds(self.stretch.target(index, self.settings.count, self.settings.position));
            self.writer.write(&shown, Reason { target_s: Some(target_s), ..Reason::default() })?;
        }
        Ok(())
    }

    /// Whether every target has its frame.
    pub fn is_complete(&self) -> bool {
        self.way.is_complete()
    }

    /// Closes the archive: what was chosen, if every frame came and in order.
    pub fn finish(self) -> Result<Option<Chosen>, MediaError> {
        let is_right = self.is_complete() && !self.is_lost;
        let (archive, keyframes) = self.writer.finish()?;
        Ok(is_right.then_some(Chosen { archive, keyframes, stretch: self.stretch }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A decoder that gives frames out `delay` packets late, and knows nothing of packets before the key packet that it
    /// began with.
    struct Decoder {
        delay: usize,
        holds: Vec<usize>,
        /// The packet that must come next; none after it was emptied.
        next: Option<usize>,
    }

    proptest! {
        /// Groups of pictures of any length, targets anywhere, any delay: every target comes, every group is entered at
        /// most once, at its key packet, and nothing is decoded of groups without a target but what a delay costs.
        #[test]
        fn the_way_enters_each_group_once_and_brings_every_frame(
            groups in prop::collection::vec(1usize..30, 1..12),
            picks in prop::collection::vec(0usize..10_000, 1..16),
            delay in 0usize..20,
        ) {
            let packets: usize = groups.iter().sum();
            let keys: BTreeSet<usize> = groups.iter().scan(0, |at, length| {
                let key = *at;
                *at += length;
                Some(key)
            }).collect();
            let targets: BTreeSet<usize> = picks.iter().map(|pick| pick % packets).collect();
            let run = |target: usize| (keys.range(..=target).next_back().copied().unwrap_or(0), target);
            let mut way = Way::new(targets.iter().map(|&target| (target as i64, run(target))).collect());
            let mut decoder = Decoder { delay, holds: Vec::new(), next: None };
            let (mut entered, mut decoded) = (BTreeSet::new(), 0);
            for packet in 0..packets {
                let Step::Decode { afresh, only_reference, to_the_end } = way.step() else { continue };
                decoded += 1;
                if afresh {
                    prop_assert!(keys.contains(&packet) && entered.insert(packet), "entered at {packet}");
                    decoder.holds.clear();
                } else {
                    prop_assert_eq!(decoder.next, Some(packet));
                }
                decoder.next = (!to_the_end).then_some(packet + 1);
                prop_assert_eq!(only_reference, !targets.contains(&packet));
                decoder.holds.push(packet);
                while decoder.holds.len() > if to_the_end { 0 } else { decoder.delay } {
                    way.arrive(decoder.holds.remove(0) as i64);
                }
            }
            decoder.holds.drain(..).for_each(|packet| {
                way.arrive(packet as i64);
            });
            prop_assert!(way.is_complete());
            let needed: BTreeSet<usize> = targets.iter().flat_map(|&target| run(target).0..=target).collect();
            prop_assert!(decoded <= needed.len() + targets.len() * delay, "{decoded} of {}", needed.len());
        }
    }
}
