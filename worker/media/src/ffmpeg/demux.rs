//! Reads the packets of a file to the end, past everything that the demuxer refuses.

use crate::error::MediaError;
use crate::ffmpeg::decoder::Faults;
use crate::ffmpeg::source::Source;
use ffmpeg::{Packet, Rescale};
use ffmpeg_next as ffmpeg;

/// Consecutive refusals of the demuxer after which a file counts as ended.
const MAX_REFUSALS: u32 = 10_000;

/// Counts and faults of one pass over the file.
#[derive(Default)]
pub struct DecodeStats {
    /// Frames in the video.
    pub frames: u64,
    /// Frames returned by the video decoder.
    pub frames_decoded: u64,
    /// End of the last frame (of the last packet, if the video is not decoded), in ticks from the
    /// start of the video stream.
    pub video_end: Option<i64>,
    /// End of the last packet of any stream, in the same ticks.
    pub container_end: Option<i64>,
    /// Faults of the demuxer and of the video decoder.
    pub video_faults: Faults,
    /// Faults of the audio decoder.
    pub audio_faults: Faults,
    /// Why the demuxer stopped, if it stopped before the end.
    pub stopped: Option<String>,
}

/// Reads the next packet of any stream. Returns none at the end and where the demuxer cannot
/// continue, which is noted.
pub fn next_packet(source: &mut Source, stats: &mut DecodeStats) -> Result<Option<Packet>, MediaError> {
    for _ in 0..MAX_REFUSALS {
        let mut packet = Packet::empty();
        match packet.read(&mut source.input) {
            Ok(()) => return Ok(Some(packet)),
            Err(ffmpeg::Error::Eof) => return Ok(None),
            Err(error @ ffmpeg::Error::InvalidData) => stats.video_faults.note("cannot read the video", error)?,
            Err(ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => {}
            Err(error @ ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }) => {
                return Err(MediaError::from_ffmpeg("cannot read the video", error));
            }
            Err(error) => {
                stats.stopped = Some(error.to_string());
                return Ok(None);
            }
        }
    }
    stats.stopped = Some(format!("FFmpeg refused {MAX_REFUSALS} packets in a row"));
    Ok(None)
}

/// Notes where a packet ends.
pub fn note_end(source: &Source, packet: &Packet, stats: &mut DecodeStats) {
    let Some(from) = packet.pts().or(packet.dts()) else { return };
    let Some(stream) = source.input.stream(packet.stream()) else { return };
    let end = from.saturating_add(packet.duration().max(0)).rescale(stream.time_base(), source.video.time_base);
    let end = Some(end.saturating_sub(source.video.start.unwrap_or(0)));
    stats.container_end = stats.container_end.max(end);
    if packet.stream() == source.video.index {
        stats.video_end = stats.video_end.max(end);
    }
}

/// Measures the video in ticks by its packets' timestamps, or by their number if they have none.
pub fn length_by_packets(source: &mut Source) -> Result<i64, MediaError> {
    let (index, ticks_a_frame) = (source.video.index, source.video.ticks_a_frame());
    let mut start = source.video.start;
    let (mut end, mut packets) = (0i64, 0i64);
    let mut stats = DecodeStats::default();
    while let Some(packet) = next_packet(source, &mut stats)? {
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
