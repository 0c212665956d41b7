//! Combines the results of all consumers into the report of a decode.

use crate::decode::scene_pass::SceneResults;
use crate::error::MediaError;
use crate::ffmpeg::audio::SoundWriter;
use crate::ffmpeg::demux::DecodeStats;
use crate::ffmpeg::source::{DeclaredDuration, VideoTrack};
use crate::ffmpeg::video_timing::Timeline;
use crate::keyframes::equal_interval_writer::ChosenKeyframes;
use crate::report::{AudioTrack, DecodeReport, Outcome, Usage, VideoInfo};
use crate::request::DecodeRequest;
use crate::usage;

/// A length is wrong if it is off by more than this share ...
const SHARE_OFF: f64 = 0.02;
/// ... and by more than these seconds. Headers are rarely exact.
const SECONDS_OFF: f64 = 0.5;

/// The results of a decode.
pub struct Findings<'a> {
    /// The request.
    pub request: &'a DecodeRequest,
    /// The video stream.
    pub track: &'a VideoTrack,
    /// The duration that the file declares.
    pub declared: DeclaredDuration,
    /// Counts and faults of the pass.
    pub stats: &'a DecodeStats,
    /// The video's length, and whether its frame rate varies.
    pub timeline: Timeline,
    /// Whether the video was decoded.
    pub is_video_decoded: bool,
    /// Keyframes at equal intervals.
    pub chosen: Option<ChosenKeyframes>,
    /// Scenes.
    pub scenes: SceneResults,
    /// The sound.
    pub sound: Option<SoundWriter>,
}

impl Findings<'_> {
    /// Closes the sound file and builds the report.
    pub fn report(self) -> Result<DecodeReport, MediaError> {
        let Self { request, track, declared, stats, timeline, is_video_decoded, chosen, scenes, sound } = self;
        let used = chosen.as_ref().map_or(timeline.length, |chosen| chosen.length);
        let (keyframes_tar, keyframes) = chosen.map_or((None, Vec::new()), |c| (Some(c.archive), c.keyframes));
        let (width, height) = track.orientation.shown_size(track.width, track.height);
        Ok(DecodeReport {
            video: VideoInfo {
                codec: track.codec.clone(),
                width,
                height,
                fps: track.frame_rate.map_or(0.0, f64::from),
                duration_s: track.seconds(used),
                announced_s: declared.ticks().map(|ticks| track.seconds(ticks)),
                frames: is_video_decoded.then_some(stats.frames),
                rate_varies: timeline.rate_varies,
                shown_fps: timeline.other_rate(track),
                other_streams: track.other_streams,
            },
            is_picture: track.is_picture,
            outcome: outcome(track, declared, stats),
            errors: stats.video_faults.count + stats.audio_faults.count,
            keyframes_tar,
            keyframes,
            scenes: scenes.list,
            scene_middle: scenes.middle,
            scene_object: scenes.object,
            audio: match &request.audio {
                Some(settings) => Some(audio_track(sound, settings.sample_rate, stats)?),
                None => None,
            },
            usage: Usage { frames_decoded: stats.frames_decoded, ..usage::so_far() },
        })
    }
}

/// Returns the length of what could be decoded, in ticks, if it differs much from `length`, which
/// the packets show.
pub fn corrected_length(track: &VideoTrack, length: i64, stats: &DecodeStats) -> Option<i64> {
    let length = track.seconds(length);
    let is_off = |end: i64| {
        let off = (length - track.seconds(end)).abs();
        off > SECONDS_OFF && off > SHARE_OFF * length
    };
    stats.video_end.filter(|&end| end > 0 && is_off(end))
}

/// Returns the seconds missing at the end, if there are more of them than headers are usually
/// inexact.
fn missing_s(track: &VideoTrack, declared: DeclaredDuration, stats: &DecodeStats) -> Option<f64> {
    let video_end = stats.video_end.map(|end| end.saturating_add(stats.video_lead));
    let reached = match declared {
        DeclaredDuration::Stream(_) => video_end,
        DeclaredDuration::Container(_) => video_end.max(stats.container_end),
        DeclaredDuration::Unknown => return None,
    };
    let declared = track.seconds(declared.ticks()?);
    let missing = declared - track.seconds(reached.unwrap_or(0));
    (missing > SECONDS_OFF && missing > SHARE_OFF * declared).then_some(missing)
}

fn outcome(track: &VideoTrack, declared: DeclaredDuration, stats: &DecodeStats) -> Outcome {
    let missing = missing_s(track, declared, stats);
    let end = track.seconds(stats.video_end.unwrap_or(0));
    let why = suffix(&stats.stopped.clone().or_else(|| stats.video_faults.last.clone()));
    match (missing, &stats.stopped) {
        (Some(missing), _) => Outcome::Short {
            reason: format!("the video ends at {end:.3} s, {missing:.3} s before its announced end{why}"),
        },
        (None, Some(_)) => Outcome::Short { reason: format!("the file could be read up to {end:.3} s{why}") },
        (None, None) => Outcome::Complete,
    }
}

/// Returns `: text`, or an empty string.
pub fn suffix(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

fn audio_track(sound: Option<SoundWriter>, sample_rate: u32, stats: &DecodeStats) -> Result<AudioTrack, MediaError> {
    let Some(sound) = sound else {
        return Ok(AudioTrack::None { reason: "the file has no audio stream".to_owned() });
    };
    let choice = sound.choice();
    let (file, samples) = sound.finish()?;
    if samples > 0 {
        return Ok(AudioTrack::Present { file, samples, sample_rate, choice });
    }
    std::fs::remove_file(&file).map_err(|error| MediaError::from_io("cannot remove", &file, &error))?;
    let reason = format!("no sample of the audio stream could be decoded{}", suffix(&stats.audio_faults.last));
    Ok(AudioTrack::None { reason })
}
