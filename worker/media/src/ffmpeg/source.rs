//! An opened trailer: the streams in use and the declared duration.

use crate::error::MediaError;
use crate::ffmpeg::picture_file;
use crate::picture::check_size;
use crate::picture::orientation::Orientation;
use crate::report::SoundChoice;
use ffmpeg::format::context::Input;
use ffmpeg::format::stream::{Disposition, Stream};
use ffmpeg::media::Type;
use ffmpeg::{Dictionary, Rational, Rescale, ffi};
use ffmpeg_next as ffmpeg;
use std::cmp::Reverse;
use std::io::ErrorKind;
use std::path::Path;

/// Accepted containers. Playlists, image sequences, scripts and everything else that names further
/// files or addresses are excluded.
const CONTAINERS: &str = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,nut,ivf,obu,h264,hevc,m4v,mpegvideo,mjpeg,\
                          vc1,vc1test,dv,rm,gxf,wtv,swf,gif,apng,yuv4mpegpipe,nsv,nuv,dirac,cavsvideo,h261,h263,lxf,\
                          smk,bink,roq,mp3,aac,wav,flac,aiff,caf,ac3,eac3,amr,ape,w64,au,tta,wv,dts,truehd";
/// Containers that state how long each frame is shown.
const WITH_DURATIONS: [&str; 5] = ["mov", "matroska", "gif", "apng", "webp"];
/// The message about a file without video.
pub const NO_VIDEO: &str = "the file has no video stream";
/// Most streams that a file may have: far more than any trailer has, and each costs memory.
const MAX_STREAMS: u32 = 64;
/// Declared durations above this (30 years) are ignored.
const MAX_SECONDS: i128 = 1_000_000_000;

/// The video's duration according to the file, in ticks of the video stream from its start;
/// positive, below 30 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredDuration {
    /// The video stream's own duration.
    Stream(i64),
    /// The container's duration, that of its longest stream; the video stream has none.
    Container(i64),
    /// None, or an estimate from the bit rate.
    Unknown,
}

impl DeclaredDuration {
    /// Returns the duration, if there is one.
    pub fn ticks(self) -> Option<i64> {
        match self {
            Self::Stream(ticks) | Self::Container(ticks) => Some(ticks),
            Self::Unknown => None,
        }
    }
}

/// The video stream in use.
#[derive(Debug, Clone)]
pub struct VideoTrack {
    /// Its index in the container.
    pub index: usize,
    /// Seconds per tick, positive.
    pub time_base: Rational,
    /// Ticks at which the stream starts; absent if the container has no timestamps.
    pub start: Option<i64>,
    /// Average frame rate, if known and positive.
    pub frame_rate: Option<Rational>,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Width as stored, from the header.
    pub width: u32,
    /// Height as stored, from the header.
    pub height: u32,
    /// Rotation for display.
    pub orientation: Orientation,
    /// Whether the file is an image.
    pub is_picture: bool,
    /// Whether the container states how long each frame is shown.
    pub has_durations: bool,
    /// Whether the container is AVI, which may have empty chunks after its first frame.
    pub is_avi: bool,
    /// Rotation as OpenCV's video reader applies it: without mirroring.
    pub opencv_orientation: Orientation,
    /// Further video streams of the file, which are not read; covers do not count.
    pub other_streams: u32,
}

impl VideoTrack {
    /// Returns the ticks between two frames at the average rate, at least 1. An unknown rate counts
    /// as 25 frames per second, as in FFmpeg.
    pub fn ticks_a_frame(&self) -> i64 {
        let rate = self.frame_rate.unwrap_or(Rational(25, 1));
        let (n, d) = (i64::from(rate.denominator()), i64::from(rate.numerator()));
        let (bn, bd) = (i64::from(self.time_base.numerator()), i64::from(self.time_base.denominator()));
        i64::try_from(i128::from(n * bd) / i128::from(d * bn)).unwrap_or(i64::MAX).max(1)
    }

    /// The track of a file without video.
    fn none() -> Self {
        Self {
            index: usize::MAX,
            time_base: Rational(1, 1_000),
            start: None,
            frame_rate: None,
            codec: String::new(),
            width: 0,
            height: 0,
            orientation: Orientation::default(),
            is_picture: false,
            has_durations: false,
            is_avi: false,
            opencv_orientation: Orientation::default(),
            other_streams: 0,
        }
    }

    /// Converts ticks of this stream to seconds.
    pub fn seconds(&self, ticks: i64) -> f64 {
        ticks as f64 * f64::from(self.time_base.numerator()) / f64::from(self.time_base.denominator())
    }
}

/// A file that FFmpeg opened and that has a video stream.
pub struct Source {
    /// FFmpeg's demuxer, at its first packet.
    pub input: Input,
    /// The video stream in use.
    pub video: VideoTrack,
    /// Index of the audio stream in use.
    pub audio: Option<usize>,
    /// Which of several audio streams that is; `None` for one stream alone.
    pub sound: Option<SoundChoice>,
    /// The duration that the file declares.
    pub declared: DeclaredDuration,
}

impl Source {
    /// Opens a video: a regular local file. Permanent errors carry FFmpeg's message; no other file
    /// is ever opened.
    pub fn open(path: &Path) -> Result<Self, MediaError> {
        Self::open_as(path, None, true)
    }

    /// Like [`open`](Self::open), but the file may also have sound alone: its video track then has
    /// no codec and no size.
    pub fn open_video_or_sound(path: &Path) -> Result<Self, MediaError> {
        Self::open_as(path, None, false)
    }

    /// Like [`open`](Self::open), but the file may also be an image.
    pub fn open_video_or_picture(path: &Path) -> Result<Self, MediaError> {
        Self::open_as(path, picture_file::demuxer(path)?, true)
    }

    fn open_as(path: &Path, picture: Option<ffmpeg::format::Input>, needs_video: bool) -> Result<Self, MediaError> {
        let metadata = std::fs::metadata(path).map_err(|error| {
            let message = format!("cannot read the file: {error}");
            match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => MediaError::Permanent { message },
                _ => MediaError::Transient { message },
            }
        })?;
        if !metadata.is_file() {
            return Err(MediaError::permanent("the file is not a regular file"));
        }
        if metadata.len() == 0 {
            return Err(MediaError::permanent("the file is empty"));
        }
        let Some(name) = path.to_str().filter(|name| !name.contains('\0')) else {
            return Err(MediaError::permanent("the file name is not valid UTF-8"));
        };
        let mut options = Dictionary::new();
        options.set("protocol_whitelist", "file");
        let (name, what) = (format!("file:{name}"), if picture.is_some() { "the image" } else { "the video" });
        let is_picture = picture.is_some();
        let opened = match picture {
            Some(format) => {
                ffmpeg::format::open_with(&name, &ffmpeg::Format::Input(format), options).map(|c| c.input())
            }
            None => {
                options.set("format_whitelist", CONTAINERS);
                ffmpeg::format::input_with_dictionary(&name, options)
            }
        };
        let opened = opened.map_err(|error| match picture_file::demuxer(path) {
            Err(refused) => refused,
            Ok(Some(_)) if !is_picture => MediaError::permanent("the file is an image, not a video"),
            _ => MediaError::from_ffmpeg(&format!("cannot open {what}"), error),
        })?;
        let mut source = Self::choose_streams(opened, needs_video)?;
        source.video.is_picture = is_picture;
        Ok(source)
    }

    /// Returns the configuration record of the video stream; empty if it has none.
    #[expect(unsafe_code, reason = "ffmpeg-next does not expose a stream's extradata")]
    pub fn video_extradata(&self) -> Vec<u8> {
        let Some(stream) = self.input.stream(self.video.index) else { return Vec::new() };
        // SAFETY: the stream borrows its container, which owns the parameters and their extradata;
        // it is copied.
        unsafe {
            let parameters = (*stream.as_ptr()).codecpar;
            let (data, size) = ((*parameters).extradata, (*parameters).extradata_size);
            match usize::try_from(size) {
                Ok(size @ 1..) if !data.is_null() => std::slice::from_raw_parts(data, size).to_vec(),
                _ => Vec::new(),
            }
        }
    }

    /// Chooses the first video stream, like OpenCV (and so PySceneDetect) and `-map 0:v:0`; cover
    /// art does not count. Chooses audio like the `ffmpeg` program: by default flag, then by
    /// channels, then the first.
    fn choose_streams(input: Input, needs_video: bool) -> Result<Self, MediaError> {
        if input.nb_streams() > MAX_STREAMS {
            let message = format!(
                "the file has {} streams, more than {MAX_STREAMS}: keep one stream of video and one of sound",
                input.nb_streams()
            );
            return Err(MediaError::permanent(message));
        }
        let is_default = |stream: &Stream<'_>| stream.disposition().contains(Disposition::DEFAULT);
        let is_video = |s: &Stream<'_>| {
            s.parameters().medium() == Type::Video && !s.disposition().contains(Disposition::ATTACHED_PIC)
        };
        let audio = input
            .streams()
            .filter(|s| s.parameters().medium() == Type::Audio)
            .min_by_key(|s| (Reverse(is_default(s)), Reverse(stream_shape(s).channels), s.index()))
            .map(|s| s.index());
        let sounds: Vec<usize> =
            input.streams().filter(|s| s.parameters().medium() == Type::Audio).map(|s| s.index()).collect();
        let sound = match (audio, sounds.len()) {
            (Some(chosen), 2..) => sounds.iter().position(|index| *index == chosen),
            _ => None,
        };
        let sound = sound.map(|at| SoundChoice { number: at as u32 + 1, of: sounds.len() as u32 });
        let Some(video) = input.streams().find(is_video) else {
            return match audio {
                Some(_) if !needs_video => {
                    Ok(Self { input, video: VideoTrack::none(), audio, sound, declared: DeclaredDuration::Unknown })
                }
                _ => Err(MediaError::permanent(NO_VIDEO)),
            };
        };
        let time_base = video.time_base();
        if time_base.numerator() <= 0 || time_base.denominator() <= 0 {
            return Err(MediaError::permanent(format!("the video stream's time base is {time_base}")));
        }
        let shape = stream_shape(&video);
        check_size(shape.width, shape.height)?;
        let positive = |rate: &Rational| rate.numerator() > 0 && rate.denominator() > 0;
        let track = VideoTrack {
            index: video.index(),
            time_base,
            start: known(video.start_time()),
            frame_rate: Some(video.avg_frame_rate()).filter(positive).or(Some(video.rate()).filter(positive)),
            codec: video.parameters().id().name().to_owned(),
            width: shape.width,
            height: shape.height,
            orientation: Orientation::of_stream(&video),
            is_picture: false,
            has_durations: WITH_DURATIONS.iter().any(|name| input.format().name().contains(name)),
            is_avi: input.format().name() == "avi",
            opencv_orientation: Orientation::unmirrored_of_stream(&video),
            other_streams: input.streams().filter(is_video).count().saturating_sub(1) as u32,
        };
        let declared = declared_duration(&input, &video);
        Ok(Self { input, video: track, audio, sound, declared })
    }
}

fn declared_duration(input: &Input, video: &Stream<'_>) -> DeclaredDuration {
    if guessed_from_bit_rate(input) {
        return DeclaredDuration::Unknown;
    }
    let base = video.time_base();
    let sane = |ticks: i64| ticks > 0 && i128::from(ticks) * i128::from(base.0) < MAX_SECONDS * i128::from(base.1);
    if sane(video.duration()) {
        return DeclaredDuration::Stream(video.duration());
    }
    // Matroska counts its duration from time zero, other containers from their first timestamp.
    let begin = if input.format().name().contains("matroska") { 0 } else { known(container_start(input)).unwrap_or(0) };
    let end =
        known(input.duration()).map(|length| begin.saturating_add(length).rescale(ffmpeg::rescale::TIME_BASE, base));
    match end.map(|end| end.saturating_sub(known(video.start_time()).unwrap_or(0))) {
        Some(ticks) if sane(ticks) => DeclaredDuration::Container(ticks),
        _ => DeclaredDuration::Unknown,
    }
}

/// Maps FFmpeg's "no value" to none.
fn known(ticks: i64) -> Option<i64> {
    Some(ticks).filter(|&ticks| ticks != ffi::AV_NOPTS_VALUE)
}

/// Picture size and channels from a stream's header.
struct StreamShape {
    width: u32,
    height: u32,
    channels: u32,
}

#[expect(unsafe_code, reason = "ffmpeg-next exposes these header fields only on an opened decoder")]
fn stream_shape(stream: &Stream<'_>) -> StreamShape {
    // SAFETY: the stream borrows its container, which owns the parameters; plain integers are read.
    let (width, height, channels) = unsafe {
        let parameters = (*stream.as_ptr()).codecpar;
        ((*parameters).width, (*parameters).height, (*parameters).ch_layout.nb_channels)
    };
    let natural = |n: i32| u32::try_from(n).unwrap_or(0);
    StreamShape { width: natural(width), height: natural(height), channels: natural(channels) }
}

#[expect(unsafe_code, reason = "ffmpeg-next does not expose how a duration was estimated")]
fn guessed_from_bit_rate(input: &Input) -> bool {
    // SAFETY: the container is alive; FFmpeg sets the field to one of its three values.
    let method = unsafe { (*input.as_ptr()).duration_estimation_method };
    method == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE
}

#[expect(unsafe_code, reason = "ffmpeg-next does not expose when a container starts")]
fn container_start(input: &Input) -> i64 {
    // SAFETY: the container is alive; a plain integer is read.
    unsafe { (*input.as_ptr()).start_time }
}
