//! Maps the frames of a video to its packets, from the packets alone, if the mapping is certain.

use crate::error::MediaError;
use crate::ffmpeg::demux::{DecodeStats, next_packet, note_end};
use crate::ffmpeg::edit_list::is_discarded;
use crate::ffmpeg::packet_syntax::PacketSyntax;
use crate::ffmpeg::source::{Source, VideoTrack};
use crate::ffmpeg::video_timing::Timeline;
use ffmpeg::codec::packet::side_data::Type;
use ffmpeg::packet::Packet;
use ffmpeg_next as ffmpeg;

/// Codecs in which every displayed packet is one frame, and in which frames displayed after a key
/// packet need no packet before it. A test checks each codec.
const CODECS: [&str; 11] =
    ["h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "msmpeg4v2", "msmpeg4v3", "mjpeg", "prores"];
/// Most packets that are indexed: more than any trailer has; each takes 24 bytes.
const MAX_PACKETS: usize = 1 << 20;

/// A packet of the video.
struct IndexedPacket {
    pts: i64,
    duration: i64,
    is_key: bool,
}

/// All packets of a video in decoding order, and its frames in presentation order.
pub struct PacketIndex {
    packets: Vec<IndexedPacket>,
    /// For each frame the index of its packet.
    frames: Vec<u32>,
    /// Counts and faults of the pass over the packets.
    pub stats: DecodeStats,
}

impl PacketIndex {
    /// Reads all packets of a source to its end. Returns none if frames cannot be derived from
    /// packets: other codecs, missing or repeated timestamps, timestamps that restart, damage.
    pub fn read(source: &mut Source) -> Result<Option<Self>, MediaError> {
        if !CODECS.contains(&source.video.codec.as_str()) {
            return Ok(None);
        }
        let syntax = PacketSyntax::of(source);
        let mut index = Self { packets: Vec::new(), frames: Vec::new(), stats: DecodeStats::default() };
        let mut decoded_before = i64::MIN;
        let (mut key_before_last, mut last_key) = (i64::MIN, i64::MIN);
        while let Some(packet) = next_packet(source, &mut index.stats)? {
            note_end(source, &packet, &mut index.stats);
            if packet.stream() != source.video.index {
                continue;
            }
            let (Some(pts), Some(data)) = (packet.pts(), packet.data()) else { return Ok(None) };
            // Not every container has decoding timestamps. A frame may be displayed before the key
            // packet that it follows, but not before the previous key packet: that means that
            // timestamps restart.
            let dts = packet.dts().unwrap_or(decoded_before.saturating_add(1));
            let in_order = dts > decoded_before && pts > key_before_last && index.packets.len() < MAX_PACKETS;
            if !in_order || data.is_empty() || is_special(&packet) {
                return Ok(None);
            }
            decoded_before = dts;
            let Some(is_shown) = syntax.is_shown(data) else { return Ok(None) };
            if is_shown {
                index.frames.push(index.packets.len() as u32);
            }
            let is_key = packet.is_key() && syntax.is_random_access(data);
            if is_key {
                key_before_last = std::mem::replace(&mut last_key, pts);
            }
            index.packets.push(IndexedPacket { pts, duration: packet.duration(), is_key });
        }
        let Self { packets, frames, stats } = &mut index;
        frames.sort_unstable_by_key(|&at| packets[at as usize].pts);
        let ascending = frames.windows(2).all(|pair| packets[pair[0] as usize].pts < packets[pair[1] as usize].pts);
        // A decode may lose frames that come before the first key packet or are displayed before
        // it.
        let begins = packets.first().is_some_and(|packet| packet.is_key) && frames.first() == Some(&0);
        let intact = stats.stopped.is_none() && stats.video_faults.count == 0;
        Ok((ascending && begins && intact).then_some(index))
    }

    /// Returns the number of frames.
    pub fn frames(&self) -> usize {
        self.frames.len()
    }

    /// Returns the timestamp of a frame.
    pub fn pts(&self, frame: usize) -> i64 {
        self.packet(frame).pts
    }

    /// Returns the length of the video and the spacing of its frames.
    pub fn timeline(&self, track: &VideoTrack) -> Timeline {
        let last = self.frames.last().map_or(0, |&at| self.packets[at as usize].duration);
        Timeline::of_frames((0..self.frames.len()).map(|frame| self.pts(frame)).collect(), last, track)
    }

    /// Returns the packets to decode for a frame: from the last key packet that is neither decoded
    /// nor displayed after it, to its own.
    pub fn run(&self, frame: usize) -> (usize, usize) {
        let own = self.frames[frame] as usize;
        let pts = self.packets[own].pts;
        let key = self.packets[..=own].iter().rposition(|packet| packet.is_key && packet.pts <= pts);
        (key.unwrap_or(0), own)
    }

    fn packet(&self, frame: usize) -> &IndexedPacket {
        &self.packets[self.frames[frame] as usize]
    }
}

/// Whether a packet is damaged, is not displayed, or changes the decoder's settings.
fn is_special(packet: &Packet) -> bool {
    is_discarded(packet)
        || packet.is_corrupt()
        || packet.side_data().any(|side| matches!(side.kind(), Type::NewExtraData | Type::ParamChange))
}
