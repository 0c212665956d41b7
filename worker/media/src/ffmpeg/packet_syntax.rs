//! Reads the headers of packets: whether a packet becomes a frame, and whether decoding can start
//! at it.

use crate::ffmpeg::nal;
use crate::ffmpeg::source::Source;

/// How to read the headers of a codec's packets.
pub enum PacketSyntax {
    /// H.264.
    H264(nal::Framing),
    /// HEVC.
    Hevc(nal::Framing),
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// Any other codec.
    Other,
}

impl PacketSyntax {
    /// Reads the stream's parameters.
    pub fn of(source: &Source) -> Self {
        match source.video.codec.as_str() {
            "h264" => Self::H264(nal::Framing::of_h264(&source.video_extradata())),
            "hevc" => Self::Hevc(nal::Framing::of_hevc(&source.video_extradata())),
            "vp8" => Self::Vp8,
            "vp9" => Self::Vp9,
            _ => Self::Other,
        }
    }

    /// Whether a packet becomes a frame; none if unknown.
    pub fn is_shown(&self, data: &[u8]) -> Option<bool> {
        match self {
            _ if data.is_empty() => None,
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

    /// Whether decoding can start at a packet that the container marks as key: H.264 also marks
    /// recovery points, after which pictures become correct only gradually.
    pub fn is_random_access(&self, data: &[u8]) -> bool {
        match self {
            Self::H264(framing) => framing.units(data).any(|unit| unit[0] & 0x1f == 5),
            Self::Hevc(framing) => framing.units(data).any(|unit| (16..=21).contains(&(unit[0] >> 1 & 0x3f))),
            Self::Vp8 => data[0] & 1 == 0,
            _ => true,
        }
    }
}
