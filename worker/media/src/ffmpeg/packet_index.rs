//! Which packet of a video is which frame, read from the packets alone, where that can be told for sure.

use crate::error::MediaError;
use crate::ffmpeg::demux::{Tally, next_packet, note_end};
use crate::ffmpeg::nal;
use crate::ffmpeg::source::Source;
use ffmpeg::codec::packet::side_data::Type;
use ffmpeg::ffi;
use ffmpeg::packet::{Packet, Ref};
use ffmpeg_next as ffmpeg;

/// Codecs of which every packet that is shown is one frame, and of which a key packet makes all before it superfluous for
/// the frames shown after it. Each is held to it by a test.
const CODECS: [&str; 11] =
    ["h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "mjpeg", "prores"];
/// More packets than any trailer has; each takes 24 bytes.
const MAX_PACKETS: usize = 1 << 20;

/// A packet of the video.
struct Timed {
    pts: i64,
    duration: i64,
    is_key: bool,
}

/// All packets of a video, in the order in which they are decoded, and its frames, in the order in which they are shown.
pub struct Timeline {
    packets: Vec<Timed>,
    /// For each frame the place of its packet.
    frames: Vec<u32>,
    /// What reading the packets saw.
    pub tally: Tally,
}

impl Timeline {
    /// Reads all packets of a source, which is at its end then. None where frames cannot be told from packets: another
    /// codec, missing or repeated timestamps, timestamps that begin anew, damage.
    pub fn read(source: &mut Source) -> Result<Option<Self>, MediaError> {
        if !CODECS.contains(&source.video.codec.as_str()) {
            return Ok(None);
        }
        let syntax = Syntax::of(source);
        let mut timeline = Self { packets: Vec::new(), frames: Vec::new(), tally: Tally::default() };
        let mut decoded_before = i64::MIN;
        let (mut key_before_last, mut last_key) = (i64::MIN, i64::MIN);
        while let Some(packet) = next_packet(source, &mut timeline.tally)? {
            note_end(source, &packet, &mut timeline.tally);
            if packet.stream() != source.video.index {
                continue;
            }
            let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Ok(None) };
            // Not every container tells when packets are decoded. Frames may be shown before the key packet that they
            // come after, but not before the one before that: then time begins anew.
            let dts = packet.dts().unwrap_or(decoded_before.saturating_add(1));
            let in_order = dts > decoded_before && pts > key_before_last && timeline.packets.len() < MAX_PACKETS;
            if !in_order || data.is_empty() || is_special(&packet) {
                return Ok(None);
            }
            decoded_before = dts;
            let Some(is_shown) = syntax.is_shown(data) else { return Ok(None) };
            if is_shown {
                timeline.frames.push(timeline.packets.len() as u32);
            }
            let is_key = packet.is_key() && syntax.starts_afresh(data);
            if is_key {
                key_before_last = std::mem::replace(&mut last_key, pts);
            }
            timeline.packets.push(Timed { pts, duration: packet.duration(), is_key });
        }
        let Self { packets, frames, tally } = &mut timeline;
        frames.sort_unstable_by_key(|&at| packets[at as usize].pts);
        let ascending = frames.windows(2).all(|pair| packets[pair[0] as usize].pts < packets[pair[1] as usize].pts);
        // What comes before the first key packet, or is shown before it, may be lost in a decode.
        let begins = packets.first().is_some_and(|packet| packet.is_key) && frames.first() == Some(&0);
        let intact = tally.stopped.is_none() && tally.video_faults.count == 0;
        Ok((ascending && begins && intact).then_some(timeline))
    }

    /// How many frames there are.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The timestamp of a frame.
    pub fn pts(&self, frame: usize) -> i64 {
        self.packet(frame).pts
    }

    /// The timestamp at which the last frame ends; `ticks_a_frame` is the length of a frame whose length is not told.
    pub fn end(&self, ticks_a_frame: i64) -> Option<i64> {
        let last = self.packet(self.frames.len().checked_sub(1)?);
        Some(last.pts.saturating_add(if last.duration > 0 { last.duration } else { ticks_a_frame }))
    }

    /// The packets that must be decoded for a frame: from the last key packet that is neither decoded nor shown after it,
    /// to its own.
    pub fn run(&self, frame: usize) -> (usize, usize) {
        let own = self.frames[frame] as usize;
        let pts = self.packets[own].pts;
        let key = self.packets[..=own].iter().rposition(|packet| packet.is_key && packet.pts <= pts);
        (key.unwrap_or(0), own)
    }

    fn packet(&self, frame: usize) -> &Timed {
        &self.packets[self.frames[frame] as usize]
    }
}

/// Whether a packet is damaged, is not to be shown, or changes the decoder's settings.
#[expect(unsafe_code, reason = "ffmpeg-next does not show the flag for packets that are not to be shown")]
fn is_special(packet: &Packet) -> bool {
    // SAFETY: the packet is alive; a plain integer is read.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & (ffi::AV_PKT_FLAG_DISCARD | ffi::AV_PKT_FLAG_CORRUPT) != 0
        || packet.side_data().any(|side| matches!(side.kind(), Type::NewExtraData | Type::ParamChange))
}

/// How to look into a codec's packets.
enum Syntax {
    H264(nal::Framing),
    Hevc(nal::Framing),
    Vp8,
    Vp9,
    Other,
}

impl Syntax {
    fn of(source: &Source) -> Self {
        match source.video.codec.as_str() {
            "h264" => Self::H264(nal::Framing::of_h264(&source.video_extradata())),
            "hevc" => Self::Hevc(nal::Framing::of_hevc(&source.video_extradata())),
            "vp8" => Self::Vp8,
            "vp9" => Self::Vp9,
            _ => Self::Other,
        }
    }

    /// Whether a packet becomes a frame; none where that cannot be told.
    fn is_shown(&self, data: &[u8]) -> Option<bool> {
        match self {
            Self::Vp8 => Some(data[0] & 0x10 != 0),
            Self::Vp9 => {
                let is_superframe = data[data.len() - 1] & 0xe0 == 0xc0;
                let shows_older = data[0] & 0x08 != 0;
                let is_profile_3 = data[0] & 0x30 == 0x30;
                (!is_profile_3).then_some(is_superframe || shows_older || data[0] & 0x02 != 0)
            }
            _ => Some(true),
        }
    }

    /// Whether a packet that the container calls a key packet is one for the decoder, too: H.264 has recovery points
    /// after which pictures become right only by and by.
    fn starts_afresh(&self, data: &[u8]) -> bool {
        match self {
            Self::H264(framing) => framing.units(data).any(|unit| unit[0] & 0x1f == 5),
            Self::Hevc(framing) => framing.units(data).any(|unit| (16..=21).contains(&(unit[0] >> 1 & 0x3f))),
            Self::Vp8 => data[0] & 1 == 0,
            _ => true,
        }
    }
}
