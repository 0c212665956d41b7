//! Drives FFmpeg's decoders so that no frame is lost and no bad packet ends the decode.

use crate::error::MediaError;
use crate::ffmpeg::source::Source;
use crate::picture::MAX_PIXELS;
use ffmpeg::codec::decoder::Opened;
use ffmpeg::{Dictionary, Packet, frame};
use ffmpeg_next as ffmpeg;
use std::ops::DerefMut;

/// Why a decoder could not be opened.
pub enum OpenError {
    /// This FFmpeg cannot decode the named codec.
    NoDecoder(&'static str),
    /// FFmpeg refused the stream's parameters.
    Ffmpeg(ffmpeg::Error),
}

impl OpenError {
    /// Converts to an error about a `what` (`video`, `audio`) stream.
    pub fn into_error(self, what: &str) -> MediaError {
        match self {
            Self::NoDecoder(codec) => {
                MediaError::permanent(format!("FFmpeg has no decoder for {what} of kind {codec}"))
            }
            Self::Ffmpeg(error) => MediaError::from_ffmpeg(&format!("cannot open the {what} decoder"), error),
        }
    }
}

/// Opens the decoder of a stream with one thread: reproducible, and as fast as more threads when
/// jobs fill the cores.
pub fn open(source: &Source, index: usize) -> Result<Opened, OpenError> {
    let stream = source.input.stream(index).ok_or(OpenError::Ffmpeg(ffmpeg::Error::StreamNotFound))?;
    let parameters = stream.parameters();
    let id = parameters.id();
    let context = ffmpeg::codec::Context::from_parameters(parameters).map_err(OpenError::Ffmpeg)?;
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    decoder.set_frame_rate(Some(stream.avg_frame_rate()));
    decoder.set_threading(ffmpeg::threading::Config { count: 1, ..Default::default() });
    let codec = ffmpeg::decoder::find(id).ok_or(OpenError::NoDecoder(id.name()))?;
    let mut options = Dictionary::new();
    options.set("max_pixels", &MAX_PIXELS.to_string());
    decoder.open_as_with(codec, options).map_err(OpenError::Ffmpeg)
}

/// Returns the coded size, at least the displayed size; 0x0 before the first frame.
#[expect(unsafe_code, reason = "ffmpeg-next does not expose the coded size")]
pub fn coded_size(decoder: &Opened) -> (u32, u32) {
    // SAFETY: the decoder is open; plain integers are read.
    let (width, height) = unsafe { ((*decoder.as_ptr()).coded_width, (*decoder.as_ptr()).coded_height) };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
}

/// Packets and frames that a demuxer or decoder refused or repaired, without ending the decode.
#[derive(Debug, Default)]
pub struct Faults {
    /// Number of packets and frames.
    pub count: u64,
    /// FFmpeg's message about the last refusal.
    pub last: Option<String>,
}

impl Faults {
    /// Notes a refusal. Out of memory is an error instead.
    pub fn note(&mut self, what: &str, error: ffmpeg::Error) -> Result<(), MediaError> {
        if error == (ffmpeg::Error::Other { errno: ffmpeg::error::ENOMEM }) {
            return Err(MediaError::from_ffmpeg(what, error));
        }
        self.count += 1;
        self.last = Some(error.to_string());
        Ok(())
    }
}

/// Sends a packet (none: the end) to a decoder and passes on every frame that it returns. Notes and
/// skips what the decoder refuses, like players do.
pub fn feed<F: DerefMut<Target = frame::Frame>>(
    decoder: &mut Opened,
    packet: Option<&Packet>,
    empty: fn() -> F,
    mut on_frame: impl FnMut(F, &Opened) -> Result<(), MediaError>,
    faults: &mut Faults,
) -> Result<(), MediaError> {
    let sent = match packet {
        Some(packet) => decoder.send_packet(packet),
        None => decoder.send_eof(),
    };
    if let Err(error) = sent {
        faults.note("cannot decode", error)?;
    }
    // While draining, frames may follow a refused one. Gives up on a decoder that keeps refusing.
    for _ in 0..if packet.is_none() { 64 } else { 1 } {
        loop {
            let mut frame = empty();
            match decoder.receive_frame(&mut frame) {
                Ok(()) => {
                    faults.count += u64::from(frame.is_corrupt() || frame.has_decode_errors());
                    on_frame(frame, decoder)?;
                }
                Err(ffmpeg::Error::Eof | ffmpeg::Error::Other { errno: ffmpeg::error::EAGAIN }) => return Ok(()),
                Err(error) => {
                    faults.note("cannot decode", error)?;
                    break;
                }
            }
        }
    }
    Ok(())
}
