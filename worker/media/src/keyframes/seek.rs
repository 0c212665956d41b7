//! Keyframes at equal intervals by seeking: decodes only from the key packet before each target to
//! the target's frame.
//!
//! The packets alone say which frame each target falls on ([`PacketIndex`]). A second pass over the
//! file then skips the packets that no target needs. Where decoding resumes after skipped packets,
//! the decoder is flushed first; between the key packet and the target, frames that no other frame
//! refers to are not decoded. Targets only move forward, so each group of pictures is entered at
//! most once. The pass reads all packets in sequence instead of asking the container to seek:
//! reading costs little next to decoding and always reaches the right packet, so containers without
//! an index or with a wrong one are not special, and the sound comes out of the same pass.
//!
//! A frame counts only if the decoder returns it with exactly the expected timestamp and without
//! faults. In every other case the caller decodes the whole file.

use crate::error::MediaError;
use crate::ffmpeg::packet_index::PacketIndex;
use crate::ffmpeg::source::VideoTrack;
use crate::ffmpeg::video_timing::Timeline;
use crate::frame::{DecodedFrame, FrameSink, PacketAction};
use crate::keyframes::equal_interval::{EqualInterval, TimeRange};
use crate::keyframes::equal_interval_writer::ChosenKeyframes;
use crate::keyframes::writer::{KeyframeWriter, Reason};
use crate::request::KeyframeSettings;
use ffmpeg_next::frame;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

/// Which packets to decode for the awaited frames.
pub struct SeekPlan {
    /// By the timestamp of an awaited frame: the first and the last packet that it needs.
    runs: BTreeMap<i64, (usize, usize)>,
    /// The next packet of the video.
    packet: usize,
    /// Whether the packet before it was decoded and the decoder can continue from there.
    is_inside: bool,
}

impl SeekPlan {
    /// Plans the decoding of these runs of packets.
    pub fn new(runs: BTreeMap<i64, (usize, usize)>) -> Self {
        Self { runs, packet: 0, is_inside: false }
    }

    /// Decides about the next packet of the video.
    fn next_action(&mut self) -> PacketAction {
        let packet = self.packet;
        self.packet += 1;
        // A run stays open beyond its last packet until the decoder returns the frame.
        if !self.runs.values().any(|run| run.0 <= packet) {
            self.is_inside = false;
            return PacketAction::Skip;
        }
        let only_reference = self.runs.values().all(|run| run.1 != packet);
        // If no run needs the next packet, drain the frames that the decoder holds instead of
        // decoding further packets.
        let continues = self.runs.values().any(|run| run.0 <= packet + 1 && packet < run.1);
        let drain = !only_reference && !continues;
        let flush = !std::mem::replace(&mut self.is_inside, !drain);
        PacketAction::Decode { flush, only_reference, drain }
    }

    /// Records that the decoder returned a frame with this timestamp. Returns whether the frame was
    /// awaited.
    pub fn arrive(&mut self, pts: i64) -> bool {
        self.runs.remove(&pts).is_some()
    }

    /// Whether every awaited frame arrived.
    pub fn is_complete(&self) -> bool {
        self.runs.is_empty()
    }
}

/// A frame that becomes one or more keyframes.
struct Target {
    number: u64,
    ticks: i64,
    keyframes: Vec<u32>,
}

/// Decodes only what the targets need and writes the keyframes to the archive.
pub struct KeyframeSeeker<'a> {
    settings: KeyframeSettings,
    timeline: Timeline,
    track: VideoTrack,
    writer: KeyframeWriter<'a>,
    /// By timestamp.
    targets: BTreeMap<i64, Target>,
    plan: SeekPlan,
    /// Frames that the decoder returned.
    frames: u64,
    /// Whether keyframes arrived out of order.
    is_out_of_order: bool,
}

impl<'a> KeyframeSeeker<'a> {
    /// Plans `settings.count` targets spread over `timeline`.
    pub fn new(
        index: &PacketIndex,
        settings: &KeyframeSettings,
        track: &VideoTrack,
        timeline: Timeline,
        writer: KeyframeWriter<'a>,
    ) -> Self {
        let ticks = |frame: usize| timeline.without_gap(index.pts(frame).saturating_sub(index.pts(0)));
        let range = TimeRange { length: timeline.places() };
        let (mut targets, mut runs) = (BTreeMap::<i64, Target>::new(), BTreeMap::new());
        let mut choose = |keyframe: u32, _: i64, &frame: &usize| -> Result<(), Infallible> {
            let (pts, number, ticks) = (index.pts(frame), frame as u64, ticks(frame));
            runs.entry(pts).or_insert_with(|| index.run(frame));
            let target = targets.entry(pts).or_insert(Target { number, ticks, keyframes: Vec::new() });
            target.keyframes.push(keyframe);
            Ok(())
        };
        let mut picker = EqualInterval::new(settings.count, settings.position, range);
        for frame in 0..index.frames() {
            picker.show(timeline.place(ticks(frame)), frame, &mut choose).unwrap_or_else(|never| match never {});
        }
        picker.finish(&mut choose).unwrap_or_else(|never| match never {});
        let (settings, track, plan) = (settings.clone(), track.clone(), SeekPlan::new(runs));
        Self { settings, timeline, track, writer, targets, plan, frames: 0, is_out_of_order: false }
    }

    /// Closes the archive. Returns the keyframes if every target's frame arrived, in order.
    pub fn finish(self) -> Result<Option<ChosenKeyframes>, MediaError> {
        let is_exact = self.plan.is_complete() && !self.is_out_of_order;
        let (archive, keyframes) = self.writer.finish()?;
        Ok(is_exact.then_some(ChosenKeyframes { archive, keyframes, length: self.timeline.length }))
    }
}

impl FrameSink for KeyframeSeeker<'_> {
    fn plan_packet(&mut self) -> PacketAction {
        self.plan.next_action()
    }

    fn show(&mut self, frame: frame::Video, _: (u32, u32)) -> Result<(), MediaError> {
        self.frames += 1;
        let Some(pts) = frame.timestamp().filter(|&pts| self.plan.arrive(pts)) else { return Ok(()) };
        let Some(target) = self.targets.remove(&pts) else { return Ok(()) };
        let decoded = DecodedFrame { number: target.number, ticks: target.ticks, frame: Rc::new(frame) };
        for index in target.keyframes {
            self.is_out_of_order |= index as usize != self.writer.written();
            let target_s = self.track.seconds(TimeRange { length: self.timeline.spread() }.target(
                index,
                self.settings.count,
                self.settings.position,
            ));
            self.writer.write(&decoded, Reason { target_s: Some(target_s), ..Reason::default() })?;
        }
        Ok(())
    }

    fn is_awaited(&self) -> bool {
        !self.plan.is_complete()
    }

    fn frames(&self) -> u64 {
        self.frames
    }

    fn end(&self) -> Option<i64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// A decoder that returns each frame `delay` packets late and starts at a key packet.
    struct Decoder {
        delay: usize,
        holds: Vec<usize>,
        /// The packet that must come next; none after a drain.
        next: Option<usize>,
    }

    proptest! {
        /// For groups of pictures of any length, targets anywhere and any delay: every target
        /// arrives, each group is entered at most once, at its key packet, and groups without a
        /// target cost no more than the delay.
        #[test]
        fn the_plan_enters_each_group_once_and_delivers_every_target(
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
            let mut plan = SeekPlan::new(targets.iter().map(|&target| (target as i64, run(target))).collect());
            let mut decoder = Decoder { delay, holds: Vec::new(), next: None };
            let (mut entered, mut decoded) = (BTreeSet::new(), 0);
            for packet in 0..packets {
                let PacketAction::Decode { flush, only_reference, drain } = plan.next_action() else { continue };
                decoded += 1;
                if flush {
                    prop_assert!(keys.contains(&packet) && entered.insert(packet), "entered at {packet}");
                    decoder.holds.clear();
                } else {
                    prop_assert_eq!(decoder.next, Some(packet));
                }
                decoder.next = (!drain).then_some(packet + 1);
                prop_assert_eq!(only_reference, !targets.contains(&packet));
                decoder.holds.push(packet);
                while decoder.holds.len() > if drain { 0 } else { decoder.delay } {
                    plan.arrive(decoder.holds.remove(0) as i64);
                }
            }
            decoder.holds.drain(..).for_each(|packet| {
                plan.arrive(packet as i64);
            });
            prop_assert!(plan.is_complete());
            let needed: BTreeSet<usize> = targets.iter().flat_map(|&target| run(target).0..=target).collect();
            prop_assert!(decoded <= needed.len() + targets.len() * delay, "{decoded} of {}", needed.len());
        }
    }
}
