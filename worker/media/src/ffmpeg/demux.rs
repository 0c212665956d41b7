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
    /// End of the last frame, in ticks from the first one; if the video is not decoded, end of the
    /// last packet, in ticks from the start of the video stream.
    pub video_end: Option<i64>,
    /// Ticks from the start of the video stream to the first frame.
    pub video_lead: i64,
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
