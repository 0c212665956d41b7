//! The child's side: limits itself, decodes, and asks the parent's detector and visitor.

use crate::decode;
use crate::detector::{Detector, Object};
use crate::error::MediaError;
use crate::frame_visitor::{FramePosition, FrameVisitor};
use crate::picture::Picture;
use crate::picture::pixels::Pixels;
use crate::report::DecodeReport;
use crate::sandbox::protocol::{DecodeLimits, Reply, Request};
use crate::sandbox::shared_memory::SharedMemory;
use ffmpeg_next::util::log;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{BufRead, Write};
use std::process::ExitCode;

/// Runs the decode that the parent requests; for [`SUBCOMMAND`](crate::sandbox::SUBCOMMAND). Must
/// be called before any other thread exists. Exits with 0 once a report or an error is written.
pub fn run_child() -> ExitCode {
    let reply = match read_request() {
        Ok(request) => match std::panic::catch_unwind(|| run(&request)) {
            Ok(Ok(report)) => Reply::Report(Box::new(report)),
            Ok(Err(MediaError::MemoryExceeded { message, .. })) => {
                Reply::Error(MediaError::MemoryExceeded { limit_mb: request.limits.memory_mb, message })
            }
            Ok(Err(error)) => Reply::Error(error),
            Err(_) => Reply::Error(MediaError::bug("the decode panicked")),
        },
        Err(error) => Reply::Error(error),
    };
    let mut stdout = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut stdout, &reply).map_err(std::io::Error::from);
    match written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot write the reply: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(request: &Request) -> Result<DecodeReport, MediaError> {
    let memory = request.shared_memory.as_deref().and_then(|path| SharedMemory::open(path).ok());
    let mut detector = RemoteDetector { memory };
    let detector = request.decode.scene_object.as_ref().map(|_| &mut detector as &mut dyn Detector);
    let mut visitor = RemoteVisitor;
    let visitor = request.decode.frames.as_ref().map(|_| &mut visitor as &mut dyn FrameVisitor);
    decode::run_with(&request.decode, &mut |_, _| {}, decode::Hooks { detector, visitor })
}

/// Writes a line and the bytes of a picture to the parent.
fn send(line: &Reply, rgb: &[u8]) -> std::io::Result<()> {
    let line = serde_json::to_vec(line)?;
    let mut stdout = std::io::stdout().lock();
    [&line, b"\n".as_slice(), rgb].into_iter().try_for_each(|part| stdout.write_all(part))?;
    stdout.flush()
}

/// The visitor in the parent. A full pipe blocks the decode.
struct RemoteVisitor;

impl FrameVisitor for RemoteVisitor {
    fn visit(&mut self, position: FramePosition, picture: Picture) -> Result<(), MediaError> {
        send(&Reply::Visit { position, width: picture.width, height: picture.height }, &picture.rgb)
            .map_err(|error| MediaError::bug(format!("cannot reach the visitor: {error}")))
    }
}

/// The detector in the parent.
struct RemoteDetector {
    memory: Option<SharedMemory>,
}

impl Detector for RemoteDetector {
    fn shared_buffer(&mut self, bytes: usize) -> Option<Pixels> {
        self.memory.as_ref().and_then(|memory| memory.pixels(bytes).ok())
    }

    fn detect(&mut self, rgb: &Picture) -> Result<Vec<Object>, MediaError> {
        self.begin(rgb)?;
        self.finish()
    }

    fn begin(&mut self, rgb: &Picture) -> Result<Option<Vec<Object>>, MediaError> {
        let is_shared = rgb.rgb.is_shared();
        let line = Reply::Detect { width: rgb.width, height: rgb.height, is_shared };
        send(&line, if is_shared { &[] } else { &rgb.rgb }).map_err(|error| unreachable_detector(&error))?;
        Ok(None)
    }

    fn finish(&mut self) -> Result<Vec<Object>, MediaError> {
        let mut objects = String::new();
        std::io::stdin().lock().read_line(&mut objects).map_err(|error| unreachable_detector(&error))?;
        serde_json::from_str(&objects).map_err(|error| unreachable_detector(&error))
    }
}

fn unreachable_detector(error: &dyn std::fmt::Display) -> MediaError {
    MediaError::bug(format!("cannot reach the detector: {error}"))
}

fn read_request() -> Result<Request, MediaError> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| MediaError::bug(format!("cannot read the request: {error}")))?;
    let request: Request =
        serde_json::from_str(&line).map_err(|error| MediaError::bug(format!("cannot parse the request: {error}")))?;
    watch_parent()?;
    limit(&request.limits)?;
    log::set_level(log::Level::Error);
    Ok(request)
}

/// Aborts this process as soon as the parent closes its end of standard input, also by dying.
/// Leaves what the parent writes to [`RemoteDetector`].
fn watch_parent() -> Result<(), MediaError> {
    let watch = || {
        let stdin = std::io::stdin();
        // Asks for no event: poll still reports that the last writer is gone.
        while let Ok(0) | Err(Errno::INTR) = poll(&mut [PollFd::new(&stdin, PollFlags::empty())], None) {}
        std::process::abort();
    };
    let started = std::thread::Builder::new().name("parent-watch".to_owned()).stack_size(64 * 1024).spawn(watch);
    started.map(drop).map_err(|error| MediaError::transient(format!("cannot start the parent-watch thread: {error}")))
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
    // The soft limit ends the process by SIGXCPU, which the parent distinguishes from other
    // signals.
    set(Resource::Cpu, limits.cpu_s, limits.cpu_s + 5)?;
    set(Resource::Fsize, limits.output_mb * MB, limits.output_mb * MB)?;
    let memory = mapped_bytes() + limits.memory_mb * MB;
    set(Resource::As, memory, memory)
}

/// Address space of the program and its libraries before any file is opened.
fn mapped_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = size.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    // Without /proc: more than this program maps, so that the limit is rather too high than too
    // low.
    kilobytes.unwrap_or(1 << 20) * 1024
}
