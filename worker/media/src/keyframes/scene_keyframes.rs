//! Writes the keyframes that were chosen by scenes, after the last frame of the video.

use crate::error::MediaError;
use crate::ffmpeg::decode_loop::decode_once;
use crate::ffmpeg::frame_stamper::FrameStamper;
use crate::ffmpeg::source::{Source, VideoTrack};
use crate::frame::{DecodedFrame, FrameSink};
use crate::keyframes::scene_middle::Candidate;
use crate::keyframes::writer::{KeyframeWriter, Reason};
use crate::report::{Keyframe, KeyframeSet};
use ffmpeg_next::frame;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Writes the chosen frames of `video` in order and pads the archive to `wanted` images. Decodes
/// the file a second time if some of the frames were not kept. `shortfall` says why there are fewer
/// frames than `wanted`.
pub fn write(
    video: &Path,
    mut writer: KeyframeWriter<'_>,
    chosen: Vec<(Candidate, Reason)>,
    wanted: u32,
    shortfall: impl FnOnce() -> String,
) -> Result<KeyframeSet, MediaError> {
    let mut written: Vec<Option<(Keyframe, Vec<u8>)>> = Vec::new();
    let mut missing = Missing::new();
    for (index, (candidate, reason)) in chosen.into_iter().enumerate() {
        written.push(match candidate.kept {
            Some((ticks, kept)) => {
                let keyframe = writer.describe(index, candidate.number, ticks, reason);
                let jpeg = writer.compress(kept.get()?.as_ref(), &keyframe)?;
                Some((keyframe, jpeg))
            }
            None => {
                missing.insert(candidate.number, (index, reason));
                None
            }
        });
    }
    if !missing.is_empty() {
        let mut source = Source::open(video)?;
        let numbers = missing.keys().copied().collect();
        let mut take = |decoded: &DecodedFrame| {
            if let Some((index, reason)) = missing.remove(&decoded.number) {
                let keyframe = writer.describe(index, decoded.number, decoded.ticks, reason);
                let jpeg = writer.compress(&decoded.frame, &keyframe)?;
                written[index] = Some((keyframe, jpeg));
            }
            Ok(())
        };
        let mut sink = NumberedFrames::new(&source.video, numbers, &mut take);
        decode_once(&mut source, Some(&mut sink), None)?;
    }
    let found = written.len() as u32;
    for keyframe in written {
        let (keyframe, jpeg) = keyframe.ok_or_else(|| MediaError::bug("a frame was not decoded a second time"))?;
        writer.append(keyframe, &jpeg)?;
    }
    let padding = writer.pad(wanted)?;
    let (tar, keyframes) = writer.finish()?;
    let shortfall = (found < wanted).then(shortfall);
    Ok(KeyframeSet { tar, keyframes, wanted, shortfall, padding, histogram: None })
}

/// Frames to decode again: by number, the index of the keyframe and the reason for it.
type Missing = BTreeMap<u64, (usize, Reason)>;

/// Takes the frames with the given numbers and ignores all others.
struct NumberedFrames<'a> {
    stamper: FrameStamper,
    numbers: BTreeSet<u64>,
    take: &'a mut dyn FnMut(&DecodedFrame) -> Result<(), MediaError>,
}

impl<'a> NumberedFrames<'a> {
    fn new(
        track: &VideoTrack,
        numbers: BTreeSet<u64>,
        take: &'a mut dyn FnMut(&DecodedFrame) -> Result<(), MediaError>,
    ) -> Self {
        Self { stamper: FrameStamper::new(track), numbers, take }
    }
}

impl FrameSink for NumberedFrames<'_> {
    fn show(&mut self, frame: frame::Video, _: (u32, u32)) -> Result<(), MediaError> {
        let decoded = self.stamper.stamp(frame);
        if self.numbers.remove(&decoded.number) { (self.take)(&decoded) } else { Ok(()) }
    }

    fn is_awaited(&self) -> bool {
        !self.numbers.is_empty()
    }

    fn frames(&self) -> u64 {
        self.stamper.frames()
    }

    fn end(&self) -> Option<i64> {
        self.stamper.end()
    }
}
