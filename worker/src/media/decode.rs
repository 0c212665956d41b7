//! One demux and one decode of a trailer, in this process. See [`super::child`] for the contained form.

use super::audio::SoundWriter;
use super::chooser::{Chooser, Observer};
use super::decoder::{self, Faults, feed};
use super::equal_interval::Stretch;
use super::error::MediaError;
use super::request::{AudioTrack, DecodeReport, DecodeRequest, Outcome, VideoInfo};
use super::source::{Announced, Source, VideoTrack};
use super::usage;
use ffmpeg::{Packet, Rescale, frame};
use ffmpeg_next as ffmpeg;

/// Consecutive refusals of the demuxer after which a file counts as ended.
const MAX_REFUSALS: u32 = 10_000;
/// An announced duration is wrong if it is off by more than this share ...
const SHARE_OFF: f64 = 0.02;
/// ... and by more than these seconds: headers are rarely exact.
const SECONDS_OFF: f64 = 0.5;

/// Decodes as `request` asks and writes the results into its folder.
pub fn run(request: &DecodeRequest) -> Result<DecodeReport, MediaError> {
    run_observed(request, &mut |_, _| {})
}

/// As [`run`]; `observe` also sees every keyframe's picture before it is compressed. Where a file turns out shorter or
/// longer than it announces, the keyframes are chosen again and `observe` sees the second choice after the first.
pub fn run_observed(request: &DecodeRequest, observe: &mut Observer<'_>) -> Result<DecodeReport, MediaError> {
    ffmpeg::init().map_err(|error| MediaError::bug(format!("FFmpeg does not start: {error}")))?;
    request.check()?;
    let mut source = Source::open(&request.video)?;
    let announced = source.announced;
    let stretch = |length| Stretch { from: 0, length };
    let mut length = announced.ticks().unwrap_or(0);
    if announced == Announced::Nothing && request.keyframes.is_some() {
        // Nothing says where the targets lie: read the packets once, which costs no decoding.
        length = length_by_packets(&mut source)?;
        source = Source::open(&request.video)?;
    }
    let track = source.video.clone();

    let mut chooser = match &request.keyframes {
        Some(settings) => Some(Chooser::new(request, settings, &track, stretch(length), observe)?),
        None => None,
    };
    let mut sound = match (&request.audio, source.audio) {
        (Some(settings), Some(_)) => Some(SoundWriter::create(&request.out_dir, settings.sample_rate)?),
        _ => None,
    };
    let tally = decode_once(&mut source, chooser.as_mut(), sound.as_mut())?;
    if request.keyframes.is_some() && tally.frames == 0 {
        let message =
            format!("no frame of the {} video could be decoded{}", track.codec, words(&tally.video_faults.last));
        return Err(MediaError::permanent(message));
    }
    let missing = missing_s(&track, announced, &tally);

    let mut chosen = match chooser {
        Some(chooser) => Some(chooser.finish()?),
        None => None,
    };
    let end = tally.video_end.filter(|&end| end > 0);
    if let (true, Some(settings), Some(end)) =
        (missing.is_some() || is_longer(&track, announced, &tally), &request.keyframes, end)
    {
        // The header is wrong. Spread the targets over what is there, not over what was announced.
        let mut again = Source::open(&request.video)?;
        let mut chooser = Chooser::new(request, settings, &track, stretch(end), observe)?;
        decode_once(&mut again, Some(&mut chooser), None)?;
        chosen = Some(chooser.finish()?);
    }
    let used = chosen.as_ref().map_or(length, |chosen| chosen.stretch.length);
    let (keyframes_tar, keyframes) = chosen.map_or((None, Vec::new()), |c| (Some(c.archive), c.keyframes));
    let (width, height) = track.orientation.shown_size(track.width, track.height);
    Ok(DecodeReport {
        video: VideoInfo {
            codec: track.codec.clone(),
            width,
            height,
            fps: track.frame_rate.map_or(0.0, f64::from),
            duration_s: track.seconds(used),
            announced_s: announced.ticks().map(|ticks| track.seconds(ticks)),
            frames: request.keyframes.as_ref().map(|_| tally.frames),
        },
        outcome: outcome(&track, &tally, missing),
        errors: tally.video_faults.count + tally.audio_faults.count,
        keyframes_tar,
        keyframes,
        audio: match &request.audio {
            Some(settings) => Some(audio_track(sound, settings.sample_rate, &tally)?),
            None => None,
        },
        usage: usage::so_far(),
    })
}

/// Seconds that the file lacks, if that is more than a header's usual inexactness.
fn missing_s(track: &VideoTrack, announced: Announced, tally: &Tally) -> Option<f64> {
    let reached = match announced {
        Announced::Stream(_) => tally.video_end,
        Announced::Container(_) => tally.video_end.max(tally.container_end),
        Announced::Nothing => return None,
    };
    let announced = track.seconds(announced.ticks()?);
    let missing = announced - track.seconds(reached.unwrap_or(0));
    (missing > SECONDS_OFF && missing > SHARE_OFF * announced).then_some(missing)
}

/// Whether the video goes on long after its announced end, as in files glued together.
fn is_longer(track: &VideoTrack, announced: Announced, tally: &Tally) -> bool {
    let (Some(announced), Some(end)) = (announced.ticks(), tally.video_end) else { return false };
    let surplus = track.seconds(end) - track.seconds(announced);
    surplus > SECONDS_OFF && surplus > SHARE_OFF * track.seconds(announced)
}

fn outcome(track: &VideoTrack, tally: &Tally, missing: Option<f64>) -> Outcome {
    let end = track.seconds(tally.video_end.unwrap_or(0));
    let why = words(&tally.stopped.clone().or_else(|| tally.video_faults.last.clone()));
    match (missing, &tally.stopped) {
        (Some(missing), _) => Outcome::Short {
            reason: format!("the video ends at {end:.3} s, {missing:.3} s before its announced end{why}"),
        },
        (None, Some(_)) => Outcome::Short { reason: format!("the file could be read up to {end:.3} s{why}") },
        (None, None) => Outcome::Complete,
    }
}

fn words(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

fn audio_track(sound: Option<SoundWriter>, sample_rate: u32, tally: &Tally) -> Result<AudioTrack, MediaError> {
    let Some(sound) = sound else {
        return Ok(AudioTrack::None { reason: "the file has no audio stream".to_owned() });
    };
    let (file, samples) = sound.finish()?;
    if samples > 0 {
        return Ok(AudioTrack::Present { file, samples, sample_rate });
    }
    std::fs::remove_file(&file).map_err(|error| MediaError::from_io("cannot remove", &file, &error))?;
    let reason = format!("no sample of the audio stream could be decoded{}", words(&tally.audio_faults.last));
    Ok(AudioTrack::None { reason })
}

/// What one pass over the file saw.
#[derive(Default)]
struct Tally {
    frames: u64,
    /// End of the last frame shown (of the last packet, where the video is not decoded), in ticks from the start of
    /// the video stream.
    video_end: Option<i64>,
    /// End of the last packet of any stream, in the same ticks.
    container_end: Option<i64>,
    /// Of the demuxer and the video decoder.
    video_faults: Faults,
    /// Of the audio decoder.
    audio_faults: Faults,
    /// Why the demuxer stopped, if not at the end.
    stopped: Option<String>,
}

/// Reads every packet once and decodes what a consumer waits for.
fn decode_once(
    source: &mut Source,
    chooser: Option<&mut Chooser<'_>>,
    sound: Option<&mut SoundWriter>,
) -> Result<Tally, MediaError> {
    let mut tally = Tally::default();
    let mut video = match chooser {
        Some(chooser) => {
            let decoder = decoder::open(source, source.video.index).map_err(|refused| refused.into_error("video"))?;
            Some((decoder, chooser))
        }
        None => None,
    };
    let mut audio = None;
    if let (Some(index), Some(sound)) = (source.audio, sound) {
        match decoder::open(source, index) {
            Ok(decoder) => audio = Some((decoder, index, sound)),
            Err(refused) => tally.audio_faults.last = Some(refused.into_error("audio").to_string()),
        }
    }
    while let Some(packet) = next_packet(source, &mut tally)? {
        note_end(source, &packet, &mut tally);
        if let Some((decoder, chooser)) = &mut video
            && packet.stream() == source.video.index
        {
            let show = |frame| chooser.show(frame);
            feed(decoder, Some(&packet), frame::Video::empty, show, &mut tally.video_faults)?;
        } else if let Some((decoder, index, sound)) = &mut audio
            && packet.stream() == *index
        {
            let push = |frame: frame::Audio| sound.push(&frame);
            feed(decoder, Some(&packet), frame::Audio::empty, push, &mut tally.audio_faults)?;
        }
    }
    if let Some((decoder, chooser)) = &mut video {
        feed(decoder, None, frame::Video::empty, |f| chooser.show(f), &mut tally.video_faults)?;
        tally.frames = chooser.frames();
        tally.video_end = chooser.end();
    }
    if let Some((decoder, _, sound)) = &mut audio {
        let push = |frame: frame::Audio| sound.push(&frame);
        feed(decoder, None, frame::Audio::empty, push, &mut tally.audio_faults)?;
    }
    Ok(tally)
}

/// The next packet of any stream; none at the end, or where the demuxer cannot go on, which is noted.
fn next_packet(source: &mut Source, tally: &mut Tally) -> Result<Option<Packet>, MediaError> {
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
fn note_end(source: &Source, packet: &Packet, tally: &mut Tally) {
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
fn length_by_packets(source: &mut Source) -> Result<i64, MediaError> {
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
