//! Edit lists: packets that a container stores and does not display.

use ffmpeg::ffi;
use ffmpeg::packet::{Packet, Ref};
use ffmpeg_next as ffmpeg;

/// Returns whether the edit list of the container leaves out the frame of a packet.
#[expect(unsafe_code, reason = "ffmpeg-next does not expose the flag for packets that are not displayed")]
pub fn is_discarded(packet: &Packet) -> bool {
    // SAFETY: the packet is alive; a plain integer is read.
    let flags = unsafe { (*packet.as_ptr()).flags };
    flags & ffi::AV_PKT_FLAG_DISCARD != 0
}
