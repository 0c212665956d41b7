//! The child's side.

use super::shared_memory::Canvas;
use super::{Answer, DecodeLimits, Order};
use crate::decode;
use crate::detector::{Detector, Object};
use crate::error::MediaError;
use crate::frame_visitor::{FramePlace, Viewer};
use crate::picture::Picture;
use crate::picture::pixels::Pixels;
use crate::request::DecodeReport;
use ffmpeg_next::util::log;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{BufRead, Write};
use std::process::ExitCode;

/// Runs one decode as its parent orders it; for [`SUBCOMMAND`](super::SUBCOMMAND). Must be called before any other
/// thread exists. Exits with 0 once an answer, good or bad, is written.
pub fn run_child() -> ExitCode {
    let answer = match take_order() {
        Ok(order) => match std::panic::catch_unwind(|| run(&order)) {
            Ok(Ok(report)) => Answer::Report(Box::new(report)),
            Ok(Err(MediaError::MemoryExceeded { message, .. })) => {
                Answer::Error(MediaError::MemoryExceeded { limit_mb: order.limits.memory_mb, message })
            }
            Ok(Err(error)) => Answer::Error(error),
            Err(_) => Answer::Error(MediaError::bug("the decode panicked")),
        },
        Err(error) => Answer::Error(error),
    };
    let mut stdout = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, &answer).map_err(std::io::Error::from);
    match written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot answer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(order: &Order) -> Result<DecodeReport, MediaError> {
    let canvas = order.canvas.as_deref().and_then(|address| Canvas::open(address).ok());
    let mut detector = RemoteDetector { canvas };
    let detector = order.request.scene_object.as_ref().map(|_| &mut detector as &mut dyn Detector);
    let mut viewer = RemoteViewer;
    let viewer = order.request.frames.as_ref().map(|_| &mut viewer as &mut dyn Viewer);
    decode::run_with(&order.request, &mut |_, _| {}, decode::Guests { detector, viewer })
}

/// Writes a line and the bytes of a picture to the parent.
fn send(question: &Answer, rgb: &[u8]) -> std::io::Result<()> {
    let question = serde_json::to_vec(question)?;
    let mut stdout = std::io::stdout().lock();
    [&question, b"\n".as_slice(), rgb].into_iter().try_for_each(|part| stdout.write_all(part))?;
    stdout.flush()
}

/// The viewer in the parent. A full pipe is what holds the decode up.
struct RemoteViewer;

impl Viewer for RemoteViewer {
    fn view(&mut self, place: FramePlace, picture: Picture) -> Result<(), MediaError> {
        send(&Answer::View { place, width: picture.width, height: picture.height }, &picture.rgb)
            .map_err(|error| MediaError::bug(format!("cannot reach the viewer: {error}")))
    }
}

/// The detector in the parent.
struct RemoteDetector {
    canvas: Option<Canvas>,
}

impl Detector for RemoteDetector {
    fn canvas(&mut self, bytes: usize) -> Option<Pixels> {
        self.canvas.as_ref().and_then(|canvas| canvas.pixels(bytes).ok())
    }

    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        self.begin(rgb)?;
        self.finish()
    }

    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        let on_canvas = rgb.rgb.is_shared();
        let question = Answer::Detect { width: rgb.width, height: rgb.height, on_canvas };
        send(&question, if on_canvas { &[] } else { &rgb.rgb }).map_err(|error| out_of_reach(&error))?;
        Ok(None)
    }

    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        let mut reply = String::new();
        std::io::stdin().lock().read_line(&mut reply).map_err(|error| out_of_reach(&error))?;
        serde_json::from_str(&reply).map_err(|error| out_of_reach(&error))
    }
}

fn out_of_reach(error: &dyn std::fmt::Display) -> MediaError {
    MediaError::bug(format!("cannot reach the detector: {error}"))
}

fn take_order() -> Result<Order, MediaError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| MediaError::bug(format!("cannot read the order: {error}")))?;
    let order: Order = serde_json::from_str(&line)
        .map_err(|error| MediaError::bug(format!("cannot understand the order: {error}")))?;
    watch_lifeline()?;
    limit(&order.limits)?;
    log::set_level(log::Level::Error);
    Ok(order)
}

/// Ends this process as soon as the parent closes its end of standard input, be it by dying. What the parent writes is left to whoever waits
/// for it.
fn watch_lifeline() -> Result<(), MediaError> {
    let watch = || {
        let stdin = std::io::stdin();
        // No event is asked for: what is told all the same is that nobody can write any more.
        while let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&stdin, PollFlags::empty())], None) {}
        std::process::abort();
    };
    let started = std::thread::Builder::new().name("lifeline".to_owned()).stack_size(64 * 1024).spawn(watch);
    started.map(drop).map_err(|error| MediaError::transient(format!("cannot start the lifeline thread: {error}")))
}

fn limit(limits: &DecodeLimits) -> Result<(), MediaError> {
    const MB: u64 = 1 << 20;
    let set = |resource, soft: u64, hard: u64| {
        let new = Rlimit { current: Some(soft), maximum: Some(hard) };
        setrlimit(resource, new)
            .map_err(|error| MediaError::transient(format!("cannot set limit {resource:?} to {soft}: {error}")))
    };
    set(Resource::Core, 0, 0)?;
    set(Resource::Nofile, 64, 64)?;
    // The soft limit ends the process by SIGXCPU, which the parent tells apart from other deaths.
    set(Resource::Cpu, limits.cpu_s, limits.cpu_s + 5)?;
    set(Resource::Fsize, limits.output_mb * MB, limits.output_mb * MB)?;
    let memory = mapped_bytes() + limits.memory_mb * MB;
    set(Resource::As, memory, memory)
}

/// Address space that the program and its libraries take before any file is opened.
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = size.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    // Without /proc: more than this program maps, so that the limit errs on the generous side.
    kilobytes.unwrap_or(1 << 20) * 1024
}
