//! The one loop that reads packets, decodes them and passes frames and sound on.

use crate::error::MediaError;
use crate::ffmpeg::audio::SoundWriter;
use crate::ffmpeg::decoder::{self, coded_size, feed};
use crate::ffmpeg::demux::{DecodeStats, next_packet, note_end};
use crate::ffmpeg::source::Source;
use crate::frame::{FrameSink, PacketAction};
use ffmpeg::codec::decoder::Opened;
use ffmpeg::{Discard, frame};
use ffmpeg_next as ffmpeg;

/// Reads every packet once and decodes the packets that `sink` and `sound` need. Stops early when
/// neither needs more.
pub fn decode_once(
    source: &mut Source,
    sink: Option<&mut dyn FrameSink>,
    sound: Option<&mut SoundWriter>,
) -> Result<DecodeStats, MediaError> {
    let mut stats = DecodeStats::default();
    let mut video = match sink {
        Some(sink) => {
            let decoder = decoder::open(source, source.video.index).map_err(|error| error.into_error("video"))?;
            Some((decoder, sink))
        }
        None => None,
    };
    // Whether the video decoder has returned all frames that it holds.
    let mut is_drained = false;
    let mut audio = None;
    if let (Some(index), Some(sound)) = (source.audio, sound) {
        match decoder::open(source, index) {
            Ok(decoder) => audio = Some((decoder, index, sound)),
            Err(error) => stats.audio_faults.last = Some(error.into_error("audio").to_string()),
        }
    }
    while let Some(packet) = next_packet(source, &mut stats)? {
        note_end(source, &packet, &mut stats);
        if let Some((decoder, sink)) = &mut video
            && packet.stream() == source.video.index
        {
            let PacketAction::Decode { flush, only_reference, drain } = sink.plan_packet() else { continue };
            if flush {
                decoder.flush();
            }
            decoder.skip_frame(if only_reference { Discard::NonReference } else { Discard::Default });
            is_drained = drain;
            let mut show = |frame, decoder: &Opened| sink.show(frame, coded_size(decoder));
            feed(decoder, Some(&packet), frame::Video::empty, &mut show, &mut stats.video_faults)?;
            if drain {
                feed(decoder, None, frame::Video::empty, &mut show, &mut stats.video_faults)?;
            }
            if !sink.is_awaited() && audio.is_none() {
                break;
            }
        } else if let Some((decoder, index, sound)) = &mut audio
            && packet.stream() == *index
        {
            let push = |frame: frame::Audio, _: &Opened| sound.push(&frame);
            feed(decoder, Some(&packet), frame::Audio::empty, push, &mut stats.audio_faults)?;
        }
    }
    if let Some((decoder, sink)) = &mut video {
        if !is_drained {
            let show = |frame, decoder: &Opened| sink.show(frame, coded_size(decoder));
            feed(decoder, None, frame::Video::empty, show, &mut stats.video_faults)?;
        }
        stats.frames = sink.frames();
        stats.frames_decoded = sink.frames();
        stats.video_end = sink.end();
        stats.video_lead = sink.lead();
    }
    if let Some((decoder, _, sound)) = &mut audio {
        let push = |frame: frame::Audio, _: &Opened| sound.push(&frame);
        feed(decoder, None, frame::Audio::empty, push, &mut stats.audio_faults)?;
    }
    Ok(stats)
}
