//! The report of a decode.

use crate::decode::scene_pass::SceneResults;
use crate::error::MediaError;
use crate::ffmpeg::audio::SoundWriter;
use crate::ffmpeg::demux::Tally;
use crate::ffmpeg::source::{Announced, VideoTrack};
use crate::keyframes::equal_interval_writer::Chosen;
use crate::request::{AudioTrack, DecodeReport, DecodeRequest, Outcome, Usage, VideoInfo};
use crate::usage;

/// An announced duration is wrong if it is off by more than this share ...
const SHARE_OFF: f64 = 0.02;
/// ... and by more than these seconds: headers are rarely exact.
const SECONDS_OFF: f64 = 0.5;

/// What a decode has to tell.
pub struct Findings<'a> {
    /// What was asked for.
    pub request: &'a DecodeRequest,
    /// The video stream.
    pub track: &'a VideoTrack,
    /// How long the file says it is.
    pub announced: Announced,
    /// What was seen on the way.
    pub tally: &'a Tally,
    /// Ticks that keyframes were to be spread over.
    pub length: i64,
    /// Whether the video was decoded.
    pub is_video_decoded: bool,
    /// Keyframes at equal intervals.
    pub chosen: Option<Chosen>,
    /// Scenes.
    pub scenes: SceneResults,
    /// The sound.
    pub sound: Option<SoundWriter>,
}

impl Findings<'_> {
    /// Closes the sound's file and puts everything together.
    pub fn report(self) -> Result<DecodeReport, MediaError> {
        let Self { request, track, announced, tally, length, is_video_decoded, chosen, scenes, sound } = self;
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
                frames: is_video_decoded.then_some(tally.frames),
            },
            is_picture: track.is_picture,
            outcome: outcome(track, announced, tally),
            errors: tally.video_faults.count + tally.audio_faults.count,
            keyframes_tar,
            keyframes,
            scenes: scenes.list,
            scene_middle: scenes.middle,
            scene_object: scenes.object,
            audio: match &request.audio {
                Some(settings) => Some(audio_track(sound, settings.sample_rate, tally)?),
                None => None,
            },
            usage: Usage { frames_decoded: tally.frames_decoded, ..usage::so_far() },
        })
    }
}

/// Ticks that the video really has, where it ends long before or goes on long after its announced end: cut files, files
/// glued together, containers whose sound outlasts the picture.
pub fn corrected_length(track: &VideoTrack, announced: Announced, tally: &Tally) -> Option<i64> {
    let announced = track.seconds(announced.ticks()?);
    let is_off = |end: i64| {
        let off = (announced - track.seconds(end)).abs();
        off > SECONDS_OFF && off > SHARE_OFF * announced
    };
    tally.video_end.filter(|&end| end > 0 && is_off(end))
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

fn outcome(track: &VideoTrack, announced: Announced, tally: &Tally) -> Outcome {
    let missing = missing_s(track, announced, tally);
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

/// `: text`, or nothing.
pub fn words(text: &Option<String>) -> String {
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
