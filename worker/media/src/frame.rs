//! A decoded frame, and the trait that every consumer of frames implements.

use crate::error::MediaError;
use ffmpeg_next::frame;
use std::rc::Rc;

/// A decoded frame with its number and its time. Clones share the pixels.
#[derive(Clone)]
pub struct DecodedFrame {
    /// 0-based number in presentation order.
    pub number: u64,
    /// Presentation time in ticks of the stream's time base, from the first frame.
    pub ticks: i64,
    /// The frame as stored: not rotated, in its own pixel format.
    pub frame: Rc<frame::Video>,
}

/// The action of the decode loop on a packet of the video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketAction {
    /// Skip it.
    Skip,
    /// Decode it.
    Decode {
        /// Flush the decoder first: the packets before this one were skipped.
        flush: bool,
        /// Decode it only if other frames refer to its frame.
        only_reference: bool,
        /// Drain the decoder afterwards: the packets after this one will be skipped.
        drain: bool,
    },
}

/// A consumer of the frames of a video. The decode loop asks it before each packet and calls it
/// with each frame.
pub trait FrameSink {
    /// Decides about the next packet of the video. By default every packet is decoded.
    fn plan_packet(&mut self) -> PacketAction {
        PacketAction::Decode { flush: false, only_reference: false, drain: false }
    }

    /// Takes the next frame that the decoder returns, and the decoder's coded size. An error ends
    /// the decode.
    fn show(&mut self, frame: frame::Video, coded_size: (u32, u32)) -> Result<(), MediaError>;

    /// Whether more frames are needed. The decode loop stops once nothing needs more.
    fn is_awaited(&self) -> bool;

    /// Number of frames taken so far.
    fn frames(&self) -> u64;

    /// Ticks at which the last frame ends; none before the first frame and for sinks that do not
    /// track time.
    fn end(&self) -> Option<i64>;

    /// Ticks from the start of the stream to the first frame.
    fn lead(&self) -> i64 {
        0
    }
}
