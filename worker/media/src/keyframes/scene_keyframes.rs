//! Writes keyframes that were chosen by scenes, once all are known.

use crate::decode;
use crate::decode::video_pass::{ByNumber, Shown, VideoPass};
use crate::error::MediaError;
use crate::ffmpeg::source::Source;
use crate::keyframes::scene_middle::Candidate;
use crate::keyframes::writer::{KeyframeWriter, Reason};
use crate::request::{DecodeRequest, Keyframe, KeyframeSet};
use std::collections::BTreeMap;

/// Writes the chosen frames in their order. Those that were not kept are decoded again.
pub fn write(
    request: &DecodeRequest,
    mut writer: KeyframeWriter<'_>,
    chosen: Vec<(Candidate, Reason)>,
    wanted: u32,
    shortfall: impl FnOnce() -> String,
) -> Result<KeyframeSet, MediaError> {
    let mut written: Vec<Option<(Keyframe, Vec<u8>)>> = Vec::new();
    let mut missing: BTreeMap<u64, (usize, Reason)> = BTreeMap::new();
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
        let mut source = Source::open(&request.video)?;
        let numbers = missing.keys().copied().collect();
        let mut take = |shown: &Shown| {
            if let Some((index, reason)) = missing.remove(&shown.number) {
                let keyframe = writer.describe(index, shown.number, shown.ticks, reason);
                let jpeg = writer.compress(&shown.frame, &keyframe)?;
                written[index] = Some((keyframe, jpeg));
            }
            Ok(())
        };
        let mut pass = VideoPass::new(&source.video);
        pass.by_number = Some(ByNumber::new(numbers, &mut take));
        decode::decode_once(&mut source, Some(&mut pass), None)?;
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
