//! A video on the command line: checked here, decoded in a child process with the limits of the
//! settings.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::builder::TypedValueParser;
use jhalak_common::process::shutdown;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, ErrorKind, Result};
use jhalak_worker::jobs::decode_limits;
use jhalak_worker::media::frame_visitor::{FramePosition, FrameVisitor};
use jhalak_worker::media::picture::Picture;
use jhalak_worker::media::picture::image_file::ImageFormat;
use jhalak_worker::media::picture::pixels::Pixels;
use jhalak_worker::media::sandbox::{decode_with_detector, decode_with_visitor};
use jhalak_worker::media::{DecodeReport, DecodeRequest, Detector, MediaError, Object, Outcome, sandbox};
use jhalak_worker::scratch::{JobFolder, OUTPUT_MB, Scratch};
use tokio_util::sync::CancellationToken;

use crate::commands::output_path;
use crate::console::output::Output;
use crate::console::progress::{FrameCounter, Pictures, Progress};

/// A decoded video.
pub(in crate::commands) struct Decoded {
    /// The report of the decode.
    pub report: DecodeReport,
    /// Holds the outputs; removed when dropped.
    _folder: JobFolder,
    _scratch: Scratch,
}

/// The code that receives pictures during a decode.
pub(in crate::commands) enum Hook {
    /// No hook: the decode writes files only.
    None,
    /// The detector that scene-object keyframes need.
    Detector(Box<dyn Detector + Send>),
    /// A visitor of the requested frames.
    Visitor(Box<dyn FrameVisitor + Send>),
}

/// A visitor or a detector whose pictures are counted for the person at the terminal.
pub(in crate::commands) struct Counted<T> {
    inner: T,
    counter: FrameCounter,
}

impl<T> Counted<T> {
    /// Counts what `inner` receives.
    pub fn new(inner: T, counter: FrameCounter) -> Self {
        Counted { inner, counter }
    }
}

impl<T: FrameVisitor> FrameVisitor for Counted<T> {
    fn visit(&mut self, position: FramePosition, picture: Picture) -> Result<(), MediaError> {
        self.counter.count(Some(position.time_s));
        self.inner.visit(position, picture)
    }
}

impl Detector for Counted<Box<dyn Detector + Send>> {
    fn shared_buffer(&mut self, bytes: usize) -> Option<Pixels> {
        self.inner.shared_buffer(bytes)
    }

    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        self.counter.count(None);
        self.inner.detect(rgb)
    }

    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        self.counter.count(None);
        self.inner.begin(rgb)
    }

    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        self.inner.finish()
    }
}

/// Decodes `video` as `ask` says. Interrupted, it leaves nothing behind.
pub(in crate::commands) async fn decode(
    video: &Path,
    settings: &Settings,
    ask: impl FnOnce(&mut DecodeRequest),
    hook: Hook,
) -> Result<Decoded> {
    decode_until(&shutdown::on_signal()?, video, settings, ask, hook).await
}

/// Does the same until `stop`.
pub(super) async fn decode_until(
    stop: &CancellationToken,
    video: &Path,
    settings: &Settings,
    ask: impl FnOnce(&mut DecodeRequest),
    hook: Hook,
) -> Result<Decoded> {
    check(video)?;
    let scratch = Scratch::create(&settings.worker.scratch, settings.worker.scratch_mb)?;
    let folder = scratch.job_folder(0).await?;
    let name = video.file_stem().unwrap_or_default().to_string_lossy();
    let mut request = DecodeRequest::new(name, plainly_named(video, folder.path())?, folder.path());
    ask(&mut request);
    let limits = decode_limits(&settings.decode);
    let program = std::env::current_exe().map_err(|e| Error::from(e).context("the path of this program"))?;
    let decoded = match hook {
        Hook::Detector(detector) => decode_with_detector(&program, &request, &limits, stop, detector).await,
        Hook::Visitor(viewer) => decode_with_visitor(&program, &request, &limits, stop, viewer).await,
        Hook::None => sandbox::decode(&program, &request, &limits, stop).await,
    };
    let report = decoded.map_err(|error| scratch.explain_full(decode_error(error, video), OUTPUT_MB << 20))?;
    Ok(Decoded { report, _folder: folder, _scratch: scratch })
}

/// Returns what the file states of its length, of which every `stride`-th picture is looked at, for the
/// progress. Nothing if no progress is shown, or the file states nothing: the decode reports faults.
pub(in crate::commands) async fn stated_length(
    video: &Path,
    settings: &Settings,
    stride: u64,
    progress: &Progress,
) -> Pictures {
    if !progress.is_shown() {
        return Pictures::default();
    }
    let Ok(decoded) = decode(video, settings, |_| {}, Hook::None).await else { return Pictures::default() };
    let video = &decoded.report.video;
    let seconds = video.announced_s.filter(|seconds| *seconds > 0.0 && !decoded.report.is_picture);
    let most = seconds.map(|seconds| (seconds * video.fps).ceil() as u64 / stride.max(1)).filter(|most| *most > 0);
    Pictures { seconds, most }
}

/// Checks that `video` is a readable regular file, so that a wrong path gets a clear error before any decoding.
pub(in crate::commands) fn check(video: &Path) -> Result<()> {
    let shown = video.display();
    let is_address = video.to_str().and_then(|name| name.split_once("://")).is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    let metadata = match std::fs::metadata(video) {
        Ok(metadata) => metadata,
        Err(_) if is_address => {
            return Err(Error::invalid(format!("{shown} is a URL, not a file: fetch it first, then pass the file")));
        }
        Err(error) => return Err(Error::invalid(format!("cannot read {shown}: {error}"))),
    };
    if metadata.is_dir() {
        return Err(Error::invalid(format!("{shown} is a folder: pass a video file in it")));
    }
    if !metadata.is_file() {
        return Err(Error::invalid(format!("{shown} is not a regular file")));
    }
    if metadata.len() == 0 {
        return Err(Error::invalid(format!("{shown} is empty")));
    }
    match File::open(video) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::invalid(format!("cannot read {shown}: {error}"))),
    }
}

/// Returns a UTF-8 path to the video: a link in the scratch folder if its own path is not UTF-8.
fn plainly_named(video: &Path, folder: &Path) -> Result<PathBuf> {
    let video = std::path::absolute(video)?;
    if video.to_str().is_some() {
        return Ok(video);
    }
    let link = folder.join("video");
    std::os::unix::fs::symlink(&video, &link)?;
    Ok(link)
}

/// Returns the error of a failed decode. A crash or a timeout counts as invalid input: nothing retries here.
fn decode_error(error: MediaError, video: &Path) -> Error {
    let is_the_files = matches!(error, MediaError::Crashed { .. } | MediaError::TimedOut { .. });
    let error = Error::from(error);
    let kind = if is_the_files { ErrorKind::InvalidInput } else { error.kind() };
    Error::new(kind, format!("{}: {error}", video.display()))
}

/// Accepts the name of a picture that can be written.
pub(super) fn picture() -> impl TypedValueParser<Value = PathBuf> {
    output_path::file("a picture", &["jpg", "jpeg", "png"]).try_map(|path| ImageFormat::of(&path).map(|_| path))
}

/// Reports on stderr how the decode ended: complete or short, and the number of damaged packets and frames.
pub(super) fn report_decode(video: &Path, report: &DecodeReport, found: &str, output: &Output) {
    let video_info = &report.video;
    let time = match report.is_picture {
        true => String::new(),
        false => format!(
            ", {} frames at {:.3} fps, {:.3} s",
            video_info.frames.unwrap_or(0),
            video_info.fps,
            video_info.duration_s
        ),
    };
    output.progress.say(&format!(
        "{}: {} {}x{}{time}; {found}",
        video.display(),
        video_info.codec,
        video_info.width,
        video_info.height
    ));
    if video_info.rate_varies && !report.is_picture {
        output.progress.say("the frame rate varies: times from frame numbers at the average rate are not those shown");
    }
    if let (Some(shown), false) = (video_info.shown_fps, report.is_picture) {
        output.progress.say(&format!(
            "the file states {:.3} frames per second, but shows {shown:.3}: times from frame numbers at the stated rate are not those shown",
            video_info.fps
        ));
    }
    if video_info.other_streams > 0 {
        output
            .progress
            .say(&format!("the file has {} video streams: the first one is read", video_info.other_streams + 1));
    }
    if let Outcome::Short { reason } = &report.outcome {
        output.progress.say(&format!("cut short: {reason}"));
    }
    if report.errors > 0 {
        output.progress.say(&format!("damaged: the decoder rejected {} packets or frames", report.errors));
    }
}
