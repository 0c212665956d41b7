//! Decodes one trailer in this process. See [`crate::sandbox`] for the same in a child process.
//!
//! One call may open the file several times: to index its packets, to decode by seeking, to read it
//! as a JPEG, to decode it completely, and to decode it again where much of it was damaged or for
//! frames that were not kept. Each step runs only if the request allows it and the steps before it
//! did not give an exact result.

pub mod findings;
pub mod scene_pass;
pub mod video_pass;

use crate::decode::findings::{Findings, corrected_length, suffix};
use crate::decode::scene_pass::{ScenePass, SceneResults};
use crate::decode::video_pass::VideoPass;
use crate::detector::Detector;
use crate::error::MediaError;
use crate::ffmpeg::audio::SoundWriter;
use crate::ffmpeg::decode_loop::decode_once;
use crate::ffmpeg::demux::DecodeStats;
use crate::ffmpeg::packet_index::PacketIndex;
use crate::ffmpeg::source::Source;
use crate::ffmpeg::video_timing::Timeline;
use crate::frame::FrameSink;
use crate::frame_visitor::{FrameSampler, FrameVisitor};
use crate::keyframes::equal_interval_writer::EqualIntervalWriter;
use crate::keyframes::seek::KeyframeSeeker;
use crate::keyframes::writer::Observer;
use crate::picture::Picture;
use crate::picture::jpeg_decoder::{self, JpegFile};
use crate::report::{DecodeReport, Keyframe};
use crate::request::{DecodeRequest, KeyframeSettings};
use ffmpeg_next as ffmpeg;
use std::cell::RefCell;

/// Decodes what `request` asks for and writes the results into its folder.
pub fn run(request: &DecodeRequest) -> Result<DecodeReport, MediaError> {
    run_with(request, &mut |_, _| {}, Hooks::default())
}

/// The caller's code that a decode calls.
#[derive(Default)]
pub struct Hooks<'a> {
    /// The detector that scene-object keyframes need.
    pub detector: Option<&'a mut dyn Detector>,
    /// The visitor that receives frames.
    pub visitor: Option<&'a mut dyn FrameVisitor>,
}

/// Like [`run`]; `observe` also receives every keyframe's picture before compression. If the first
/// choice turns out wrong (a wrong declared duration, a file that cannot be decoded by seeking),
/// keyframes at equal intervals are chosen again, and `observe` receives the second choice after
/// the first.
pub fn run_observed(
    request: &DecodeRequest,
    observe: &mut dyn FnMut(&Keyframe, &Picture),
) -> Result<DecodeReport, MediaError> {
    run_with(request, observe, Hooks::default())
}

/// Like [`run_observed`], with hooks.
pub fn run_with(
    request: &DecodeRequest,
    observe: &mut dyn FnMut(&Keyframe, &Picture),
    mut hooks: Hooks<'_>,
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
    match jpeg_image(request, &mut hooks)? {
        JpegOutcome::Visited(report) => Ok(*report),
        JpegOutcome::Damaged(message) => whole(request, &share, hooks, Some(message)),
        JpegOutcome::NotJpeg => whole(request, &share, hooks, None),
    }
}

/// The result of reading a file as a JPEG.
enum JpegOutcome {
    /// The visitor received the picture.
    Visited(Box<DecodeReport>),
    /// A JPEG that is truncated or damaged, with the decoder's message.
    Damaged(String),
    /// Not a JPEG, or not requested as frames alone.
    NotJpeg,
}

/// Passes a JPEG to the visitor, decoded by libjpeg-turbo. See [`jpeg_decoder`] for the reason.
fn jpeg_image(request: &DecodeRequest, hooks: &mut Hooks<'_>) -> Result<JpegOutcome, MediaError> {
    let (Some(settings), Some(visitor)) = (&request.frames, &mut hooks.visitor) else {
        return Ok(JpegOutcome::NotJpeg);
    };
    if request.needs_scenes() || request.keyframes.is_some() || request.audio.is_some() {
        return Ok(JpegOutcome::NotJpeg);
    }
    let source = open(request)?;
    if !source.video.is_picture {
        return Ok(JpegOutcome::NotJpeg);
    }
    let picture = match jpeg_decoder::read(&request.video)? {
        JpegFile::Whole(picture) => picture,
        JpegFile::Damaged(message) => return Ok(JpegOutcome::Damaged(message)),
        JpegFile::Other => return Ok(JpegOutcome::NotJpeg),
    };
    let (declared, track) = (source.declared, &source.video);
    FrameSampler::new(settings, track, &request.video, &mut **visitor).show_image(picture)?;
    let length = declared.ticks().unwrap_or(track.ticks_a_frame());
    let (end, timeline) = (Some(length), Timeline::of_length(length));
    let stats =
        &DecodeStats { frames: 1, frames_decoded: 1, video_end: end, container_end: end, ..DecodeStats::default() };
    let scenes = SceneResults::default();
    Findings { request, track, declared, stats, timeline, is_video_decoded: true, chosen: None, scenes, sound: None }
        .report()
        .map(|report| JpegOutcome::Visited(Box::new(report)))
}

/// Keyframes at equal intervals, and sound, from only the frames that they need; none where the
/// result would not be exact. See [`seek`](crate::keyframes::seek).
fn by_seeking(
    request: &DecodeRequest,
    settings: &KeyframeSettings,
    observe: &Observer<'_>,
) -> Result<Option<DecodeReport>, MediaError> {
    let mut source = Source::open(&request.video)?;
    let Some(index) = PacketIndex::read(&mut source)? else { return Ok(None) };
    let (declared, track) = (source.declared, source.video.clone());
    let timeline = index.timeline(&track);
    if index.frames() == 0 {
        return Ok(None);
    }
    let mut stats =
        DecodeStats { frames: index.frames() as u64, video_end: Some(timeline.length), ..DecodeStats::default() };
    stats.video_lead = track.start.map_or(0, |start| index.pts(0).saturating_sub(start)).max(0);
    stats.container_end = index.stats.container_end;

    let writer = EqualIntervalWriter::writer(request, settings, &track, observe)?;
    let mut seeker = KeyframeSeeker::new(&index, settings, &track, timeline, writer);
    let mut sound = sound_writer(request, &source)?;
    let mut source = Source::open(&request.video)?;
    let seen = decode_once(&mut source, Some(&mut seeker), sound.as_mut())?;
    let chosen = seeker.finish()?;
    if chosen.is_none() || seen.video_faults.count > 0 {
        return Ok(None);
    }
    (stats.audio_faults, stats.frames_decoded) = (seen.audio_faults, seen.frames_decoded);
    let scenes = SceneResults::default();
    let (stats, track) = (&stats, &track);
    Findings { request, track, declared, stats, timeline, is_video_decoded: true, chosen, scenes, sound }
        .report()
        .map(Some)
}

/// Everything that was requested, with every frame decoded. `damage` is a fault already found in
/// the file.
fn whole(
    request: &DecodeRequest,
    observe: &Observer<'_>,
    hooks: Hooks<'_>,
    damage: Option<String>,
) -> Result<DecodeReport, MediaError> {
    let mut source = open(request)?;
    let declared = source.declared;
    let mut timeline = Timeline::of_length(source.video.ticks_a_frame());
    if !source.video.is_picture && (request.keyframes.is_some() || request.needs_scenes() || request.frames.is_some()) {
        // Reading all packets once costs no decoding.
        timeline = Timeline::read(&mut source)?;
        source = open(request)?;
    } else if let Some(ticks) = declared.ticks() {
        timeline = Timeline::of_length(ticks);
    }
    let track = source.video.clone();

    let mut pass = VideoPass::new(&track, timeline);
    if let Some(settings) = &request.keyframes {
        pass.equal_interval = Some(EqualIntervalWriter::new(request, settings, &track, timeline, observe)?);
    }
    // Lets the hooks' lifetimes shrink.
    let detector = hooks.detector.map(|detector| detector as &mut dyn Detector);
    pass.sampler = match (&request.frames, hooks.visitor) {
        (Some(settings), Some(visitor)) => Some(FrameSampler::new(settings, &track, &request.video, visitor)),
        (Some(_), None) => return Err(MediaError::bug("frames were requested without a visitor")),
        (None, _) => None,
    };
    pass.scenes = ScenePass::new(request, &track, detector)?;
    let mut sound = sound_writer(request, &source)?;
    let is_video_decoded = pass.is_awaited();
    let sink = is_video_decoded.then_some(&mut pass as &mut dyn FrameSink);
    let mut stats = decode_once(&mut source, sink, sound.as_mut())?;
    if let Some(message) = damage {
        stats.video_faults.count += 1;
        stats.video_faults.last.get_or_insert(message);
    }
    if is_video_decoded && stats.frames == 0 {
        let message =
            format!("no frame of the {} video could be decoded{}", track.codec, suffix(&stats.video_faults.last));
        return Err(MediaError::permanent(message));
    }
    // The last frame of a constant rate lasts as long as the others, whatever the file states.
    let end = match timeline.steady_frames() == Some(stats.frames) {
        true => timeline.length,
        false => stats.video_end.unwrap_or(0),
    };
    let end = (track.seconds(end), timeline.rate_varies);
    let scenes =
        pass.scenes.map(|scenes| scenes.finish(request, &track, end, observe)).transpose()?.unwrap_or_default();
    let mut chosen = pass.equal_interval.map(EqualIntervalWriter::finish).transpose()?;
    let corrected = corrected_length(&track, timeline.length, &stats).filter(|_| is_video_decoded);
    if let Some(end) = corrected {
        timeline = timeline.cut_to(end);
    }
    if let (Some(_), Some(settings)) = (corrected, &request.keyframes) {
        // Much of the video cannot be decoded: spread the targets over what can.
        let mut again = open(request)?;
        let mut pass = VideoPass::new(&track, timeline);
        pass.equal_interval = Some(EqualIntervalWriter::new(request, settings, &track, timeline, observe)?);
        decode_once(&mut again, Some(&mut pass), None)?;
        chosen = pass.equal_interval.map(EqualIntervalWriter::finish).transpose()?;
    }
    let (stats, track) = (&stats, &track);
    Findings { request, track, declared, stats, timeline, is_video_decoded, chosen, scenes, sound }.report()
}

/// Opens the request's file: a video, or also a picture if frames are requested, or also a sound
/// file if only sound is.
fn open(request: &DecodeRequest) -> Result<Source, MediaError> {
    if request.frames.is_some() {
        return Source::open_video_or_picture(&request.video);
    }
    match request.keyframes.is_none() && !request.needs_scenes() {
        true => Source::open_video_or_sound(&request.video),
        false => Source::open(&request.video),
    }
}

fn sound_writer(request: &DecodeRequest, source: &Source) -> Result<Option<SoundWriter>, MediaError> {
    match (&request.audio, source.audio) {
        (Some(settings), Some(_)) => {
            SoundWriter::create(&request.out_dir, settings.sample_rate, source.sound).map(Some)
        }
        _ => Ok(None),
    }
}
