//! One demux and one decode of a trailer, in this process. See [`crate::sandbox`] for the contained form.

pub mod findings;
pub mod scene_pass;
pub mod video_pass;

use crate::decode::findings::{Findings, corrected_length, words};
use crate::decode::scene_pass::{ScenePass, SceneResults};
use crate::decode::video_pass::VideoPass;
use crate::detector::Detector;
use crate::error::MediaError;
use crate::ffmpeg::audio::SoundWriter;
use crate::ffmpeg::decoder::{self, coded_size, feed};
use crate::ffmpeg::demux::{Tally, length_by_packets, next_packet, note_end};
use crate::ffmpeg::packet_index::Timeline;
use crate::ffmpeg::source::{Announced, Source};
use crate::frame_visitor::{FrameShow, Viewer};
use crate::keyframes::equal_interval::Stretch;
use crate::keyframes::equal_interval_writer::Chooser;
use crate::keyframes::seek::{Route, Step};
use crate::keyframes::writer::Observer;
use crate::picture::Picture;
use crate::picture::jpeg_decoder::{self, Photograph};
use crate::request::{DecodeReport, DecodeRequest, Keyframe, KeyframeSettings};
use ffmpeg::codec::decoder::Opened;
use ffmpeg::{Discard, frame};
use ffmpeg_next as ffmpeg;
use std::cell::RefCell;

/// Decodes as `request` asks and writes the results into its folder.
pub fn run(request: &DecodeRequest) -> Result<DecodeReport, MediaError> {
    run_with(request, &mut |_, _| {}, Guests::default())
}

/// Who takes part in a decode from outside.
#[derive(Default)]
pub struct Guests<'a> {
    /// The detector that scene-object keyframes need.
    pub detector: Option<&'a mut dyn Detector>,
    /// Whoever frames are shown to.
    pub viewer: Option<&'a mut dyn Viewer>,
}

/// As [`run`]; `observe` also sees every keyframe's picture before it is compressed. Where a first choice turns out wrong
/// (a header that announces another length, a file in which one cannot seek after all), keyframes at equal intervals are
/// chosen again and `observe` sees the second choice after the first.
pub fn run_observed(
    request: &DecodeRequest,
    observe: &mut dyn FnMut(&Keyframe, &Picture),
) -> Result<DecodeReport, MediaError> {
    run_with(request, observe, Guests::default())
}

/// As [`run_observed`], with those that take part from outside.
pub fn run_with(
    request: &DecodeRequest,
    observe: &mut dyn FnMut(&Keyframe, &Picture),
    guests: Guests<'_>,
) -> Result<DecodeReport, MediaError> {
    let observe = RefCell::new(observe);
    let share = |keyframe: &Keyframe, picture: &Picture| observe.borrow_mut()(keyframe, picture);
    ffmpeg::init().map_err(|error| MediaError::bug(format!("FFmpeg does not start: {error}")))?;
    request.check()?;
    if let (Some(settings), false) = (&request.keyframes, request.needs_scenes() || request.frames.is_some())
        && let Some(report) = by_seeking(request, settings, &share)?
    {
        return Ok(report);
    }
    let mut guests = guests;
    match photograph(request, &mut guests)? {
        Seen::Shown(report) => Ok(*report),
        Seen::Damaged(words) => whole(request, &share, guests, Some(words)),
        Seen::NoPhotograph => whole(request, &share, guests, None),
    }
}

/// What became of a file as a photograph.
enum Seen {
    /// It is one, and was shown.
    Shown(Box<DecodeReport>),
    /// It is one that does not go to its end.
    Damaged(String),
    /// It is none, or was not asked for as a picture.
    NoPhotograph,
}

/// Shows a JPEG to the viewer of frames, where it is one. See [`photograph`](crate::picture::jpeg_decoder).
fn photograph(request: &DecodeRequest, guests: &mut Guests<'_>) -> Result<Seen, MediaError> {
    let (Some(settings), Some(viewer)) = (&request.frames, &mut guests.viewer) else { return Ok(Seen::NoPhotograph) };
    if request.needs_scenes() || request.keyframes.is_some() || request.audio.is_some() {
        return Ok(Seen::NoPhotograph);
    }
    let source = Source::open_for(request)?;
    if !source.video.is_picture {
        return Ok(Seen::NoPhotograph);
    }
    let picture = match jpeg_decoder::read(&request.video)? {
        Photograph::Whole(picture) => picture,
        Photograph::Damaged(words) => return Ok(Seen::Damaged(words)),
        Photograph::Other => return Ok(Seen::NoPhotograph),
    };
    let (announced, track) = (source.announced, &source.video);
    FrameShow::new(settings, track, &request.video, &mut **viewer).show_photograph(picture)?;
    let length = announced.ticks().unwrap_or(track.ticks_a_frame());
    let end = Some(length);
    let tally = &Tally { frames: 1, frames_decoded: 1, video_end: end, container_end: end, ..Tally::default() };
    let scenes = SceneResults::default();
    Findings { request, track, announced, tally, length, is_video_decoded: true, chosen: None, scenes, sound: None }
        .report()
        .map(|report| Seen::Shown(Box::new(report)))
}

/// Keyframes at equal intervals, and sound, with only those pictures decoded that they need; none where that cannot be
/// exact. See [`seek`](crate::keyframes::seek).
fn by_seeking(
    request: &DecodeRequest,
    settings: &KeyframeSettings,
    observe: &Observer<'_>,
) -> Result<Option<DecodeReport>, MediaError> {
    let mut source = Source::open(&request.video)?;
    let Some(timeline) = Timeline::read(&mut source)? else { return Ok(None) };
    let (announced, track) = (source.announced, source.video.clone());
    let Some(end) = timeline.end(track.ticks_a_frame()) else { return Ok(None) };
    let end = end.saturating_sub(track.start.unwrap_or_else(|| timeline.pts(0)));
    let mut tally = Tally { frames: timeline.frames() as u64, video_end: Some(end), ..Tally::default() };
    tally.container_end = timeline.tally.container_end;
    let corrected = corrected_length(&track, announced, &tally);
    let length = corrected.or(announced.ticks()).unwrap_or(end);

    let writer = Chooser::writer(request, settings, &track, observe)?;
    let stretch = Stretch { from: 0, length };
    let mut pass = VideoPass::new(&track);
    pass.route = Some(Route::new(&timeline, settings, &track, stretch, writer));
    let mut sound = sound_writer(request, &source)?;
    let mut source = Source::open(&request.video)?;
    let seen = decode_once(&mut source, Some(&mut pass), sound.as_mut())?;
    let chosen = pass.route.map(Route::finish).transpose()?.flatten();
    if chosen.is_none() || seen.video_faults.count > 0 {
        return Ok(None);
    }
    (tally.audio_faults, tally.frames_decoded) = (seen.audio_faults, seen.frames_decoded);
    let scenes = SceneResults::default();
    let (tally, track) = (&tally, &track);
    Findings { request, track, announced, tally, length, is_video_decoded: true, chosen, scenes, sound }
        .report()
        .map(Some)
}

/// Everything that was asked for, with every picture decoded. `damage`: what is known to be wrong with the file already.
fn whole(
    request: &DecodeRequest,
    observe: &Observer<'_>,
    guests: Guests<'_>,
    damage: Option<String>,
) -> Result<DecodeReport, MediaError> {
    let mut source = Source::open_for(request)?;
    let announced = source.announced;
    let stretch = |length| Stretch { from: 0, length };
    let mut length = announced.ticks().unwrap_or(0);
    if announced == Announced::Nothing && request.keyframes.is_some() {
        // Nothing says where the targets lie: read the packets once, which costs no decoding.
        length = length_by_packets(&mut source)?;
        source = Source::open_for(request)?;
    }
    let track = source.video.clone();

    let mut pass = VideoPass::new(&track);
    if let Some(settings) = &request.keyframes {
        pass.equal_interval = Some(Chooser::new(request, settings, &track, stretch(length), observe)?);
    }
    // Lets the guests' lifetimes shrink.
    let detector = guests.detector.map(|detector| detector as &mut dyn Detector);
    pass.frames_shown = match (&request.frames, guests.viewer) {
        (Some(settings), Some(viewer)) => Some(FrameShow::new(settings, &track, &request.video, viewer)),
        (Some(_), None) => return Err(MediaError::bug("frames were asked for without a viewer")),
        (None, _) => None,
    };
    pass.scenes = ScenePass::new(request, &track, detector)?;
    let mut sound = sound_writer(request, &source)?;
    let is_video_decoded = pass.is_awaited();
    let mut tally = decode_once(&mut source, is_video_decoded.then_some(&mut pass), sound.as_mut())?;
    if let Some(words) = damage {
        tally.video_faults.count += 1;
        tally.video_faults.last.get_or_insert(words);
    }
    if is_video_decoded && tally.frames == 0 {
        let message =
            format!("no frame of the {} video could be decoded{}", track.codec, words(&tally.video_faults.last));
        return Err(MediaError::permanent(message));
    }
    let scenes = pass.scenes.map(|scenes| scenes.finish(request, &track, observe)).transpose()?.unwrap_or_default();
    let mut chosen = pass.equal_interval.map(Chooser::finish).transpose()?;
    let corrected = corrected_length(&track, announced, &tally);
    length = corrected.unwrap_or(length);
    if let (Some(end), Some(settings)) = (corrected, &request.keyframes) {
        // The header is wrong. Spread the targets over what is there, not over what was announced.
        let mut again = Source::open_for(request)?;
        let mut pass = VideoPass::new(&track);
        pass.equal_interval = Some(Chooser::new(request, settings, &track, stretch(end), observe)?);
        decode_once(&mut again, Some(&mut pass), None)?;
        chosen = pass.equal_interval.map(Chooser::finish).transpose()?;
    }
    let (tally, track) = (&tally, &track);
    Findings { request, track, announced, tally, length, is_video_decoded, chosen, scenes, sound }.report()
}

fn sound_writer(request: &DecodeRequest, source: &Source) -> Result<Option<SoundWriter>, MediaError> {
    match (&request.audio, source.audio) {
        (Some(settings), Some(_)) => SoundWriter::create(&request.out_dir, settings.sample_rate).map(Some),
        _ => Ok(None),
    }
}

/// Reads every packet once and decodes what a consumer waits for; stops when nobody waits any more.
pub fn decode_once(
    source: &mut Source,
    pass: Option<&mut VideoPass<'_>>,
    sound: Option<&mut SoundWriter>,
) -> Result<Tally, MediaError> {
    let mut tally = Tally::default();
    let mut video = match pass {
        Some(pass) => {
            let decoder = decoder::open(source, source.video.index).map_err(|refused| refused.into_error("video"))?;
            Some((decoder, pass))
        }
        None => None,
    };
    // Whether the video decoder has given out all that it holds.
    let mut is_drained = false;
    let mut audio = None;
    if let (Some(index), Some(sound)) = (source.audio, sound) {
        match decoder::open(source, index) {
            Ok(decoder) => audio = Some((decoder, index, sound)),
            Err(refused) => tally.audio_faults.last = Some(refused.into_error("audio").to_string()),
        }
    }
    while let Some(packet) = next_packet(source, &mut tally)? {
        note_end(source, &packet, &mut tally);
        if let Some((decoder, pass)) = &mut video
            && packet.stream() == source.video.index
        {
            match pass.route.as_mut().map(Route::step) {
                Some(Step::PassOver) => continue,
                Some(Step::Decode { afresh, only_reference, to_the_end }) => {
                    if afresh {
                        decoder.flush();
                    }
                    decoder.skip_frame(if only_reference { Discard::NonReference } else { Discard::Default });
                    is_drained = to_the_end;
                }
                None => is_drained = false,
            }
            let mut show = |frame, decoder: &Opened| pass.show(frame, coded_size(decoder));
            feed(decoder, Some(&packet), frame::Video::empty, &mut show, &mut tally.video_faults)?;
            if is_drained {
                feed(decoder, None, frame::Video::empty, &mut show, &mut tally.video_faults)?;
            }
            if !pass.is_awaited() && audio.is_none() {
                break;
            }
        } else if let Some((decoder, index, sound)) = &mut audio
            && packet.stream() == *index
        {
            let push = |frame: frame::Audio, _: &Opened| sound.push(&frame);
            feed(decoder, Some(&packet), frame::Audio::empty, push, &mut tally.audio_faults)?;
        }
    }
    if let Some((decoder, pass)) = &mut video {
        if !is_drained {
            let show = |frame, decoder: &Opened| pass.show(frame, coded_size(decoder));
            feed(decoder, None, frame::Video::empty, show, &mut tally.video_faults)?;
        }
        tally.frames = pass.frames();
        tally.frames_decoded = pass.frames();
        tally.video_end = pass.end();
    }
    if let Some((decoder, _, sound)) = &mut audio {
        let push = |frame: frame::Audio, _: &Opened| sound.push(&frame);
        feed(decoder, None, frame::Audio::empty, push, &mut tally.audio_faults)?;
    }
    Ok(tally)
}
