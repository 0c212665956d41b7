//! Packets of a trailer, read to the end whatever the demuxer refuses on the way.

use crate::error::MediaError;
use crate::ffmpeg::decoder::Faults;
use crate::ffmpeg::source::Source;
use ffmpeg::{Packet, Rescale};
use ffmpeg_next as ffmpeg;

/// Consecutive refusals of the demuxer after which a file counts as ended.
const MAX_REFUSALS: u32 = 10_000;

/// What one pass over the file saw.
#[derive(Default)]
pub struct Tally {
    /// Frames that the video has.
    pub frames: u64,
    /// Frames that came out of the video decoder.
    pub frames_decoded: u64,
    /// End of the last frame shown (of the last packet, where the video is not decoded), in ticks from the start of
    /// the video stream.
    pub video_end: Option<i64>,
    /// End of the last packet of any stream, in the same ticks.
    pub container_end: Option<i64>,
    /// Of the demuxer and the video decoder.
    pub video_faults: Faults,
    /// Of the audio decoder.
    pub audio_faults: Faults,
    /// Why the demuxer stopped, if not at the end.
    pub stopped: Option<String>,
}

/// The next packet of any stream; none at the end, or where the demuxer cannot go on, which is noted.
pub fn next_packet(source: &mut Source, tally: &mut Tally) -> Result<Option<Packet>, MediaError> {
    for _ in 0..MAX_REFUSALS {
        let mut packet = Packet::empty();
        match packet.read(&mut source.input) {
            Ok(()) => return Ok(Some(packet)),
            Err(ffmpeg::Error::Eof) => return Ok(None),
            Err(error @ ffmpeg::Error::InvalidData) => tally.video_faults.note("cannot read the video", error)?,
            Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => {}
            Err(error @ ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }) => {
                return Err(MediaError::from_ffmpeg("cannot read the video", error));
            }
            Err(error) => {
                tally.stopped = Some(error.to_string());
                return Ok(None);
            }
        }
    }
    tally.stopped = Some(format!("FFmpeg refused {MAX_REFUSALS} packets in a row"));
    Ok(None)
}

/// Notes how far the packets reach.
pub fn note_end(source: &Source, packet: &Packet, tally: &mut Tally) {
    let Some(from) = packet.pts().or(packet.dts()) else { return };
    let Some(stream) = source.input.stream(packet.stream()) else { return };
    let end = from.saturating_add(packet.duration().max(0)).rescale(stream.time_base(), source.video.time_base);
    let end = Some(end.saturating_sub(source.video.start.unwrap_or(0)));
    tally.container_end = tally.container_end.max(end);
    if packet.stream() == source.video.index {
        tally.video_end = tally.video_end.max(end);
    }
}

/// The length of the video in ticks by its packets' timestamps, or by their number where they have none.
pub fn length_by_packets(source: &mut Source) -> Result<i64, MediaError> {
    let (index, ticks_a_frame) = (source.video.index, source.video.ticks_a_frame());
    let mut start = source.video.start;
    let (mut end, mut packets) = (0i64, 0i64);
    let mut tally = Tally::default();
    while let Some(packet) = next_packet(source, &mut tally)? {
        if packet.stream() != index {
            continue;
        }
        packets += 1;
        if let Some(from) = packet.pts().or(packet.dts()) {
            let from = from.saturating_sub(*start.get_or_insert(from));
            let length = if packet.duration() > 0 { packet.duration() } else { ticks_a_frame };
            end = end.max(from.saturating_add(length));
        }
    }
    Ok(if end > 0 { end } else { packets.saturating_mul(ticks_a_frame) })
}
