//! The parent's side: starts the child, answers its calls, and maps every way to end to a result.

use crate::detector::Detector;
use crate::error::{Clock, MediaError};
use crate::frame_visitor::FrameVisitor;
use crate::picture::{Picture, check_size};
use crate::report::DecodeReport;
use crate::request::DecodeRequest;
use crate::sandbox::protocol::{DecodeLimits, Reply, Request, SUBCOMMAND};
use crate::sandbox::shared_memory::SharedMemory;
use jhalak_common::telemetry::list::{DECODE_CHILD_ENDS, DECODE_FRAMES, DECODE_MEDIA_SECONDS, DECODE_SECONDS};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use tracing::Span;

/// The longest line that is read from the child, in bytes.
const MAX_REPLY: u64 = 16 << 20;
/// Bytes kept from the end of the child's stderr.
const STDERR_KEPT: usize = 8 << 10;
/// Environment variables that the child needs to find its libraries.
const KEPT_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "RUST_BACKTRACE", "PATH"];

/// Numbers of the signals with a meaning here, the same on every supported Linux.
mod signal {
    pub const ABORT: i32 = 6;
    pub const CPU_TIME: i32 = 24;
    pub const FILE_SIZE: i32 = 25;
}

/// Decodes in a child process. `exe` must be an executable that calls
/// [`run_child`](crate::run_child) for [`SUBCOMMAND`]: usually `std::env::current_exe()`. Dropping
/// the future kills the child.
pub async fn decode(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
) -> Result<DecodeReport, MediaError> {
    run(exe, request, limits, cancel, Hooks::default()).await
}

/// Like [`decode`], with the visitor that receives frames. It is called in this process, frame by
/// frame, on a thread for blocking work. Its error ends the decode and is returned.
pub async fn decode_with_visitor(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    visitor: Box<dyn FrameVisitor + Send>,
) -> Result<DecodeReport, MediaError> {
    run(exe, request, limits, cancel, Hooks { visitor: Some(visitor), ..Hooks::default() }).await
}

/// Like [`decode`], with the detector that scene-object keyframes need. It is called in this
/// process, picture by picture, on a thread for blocking work.
pub async fn decode_with_detector(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    detector: Box<dyn Detector + Send>,
) -> Result<DecodeReport, MediaError> {
    // Without shared memory, pictures go through the pipe.
    let memory = SharedMemory::create().ok();
    run(exe, request, limits, cancel, Hooks { detector: Some(detector), memory, ..Hooks::default() }).await
}

/// The code that answers the child's calls.
#[derive(Default)]
struct Hooks {
    detector: Option<Box<dyn Detector + Send>>,
    /// Memory for the pictures that the child sends to the detector, if memory can be shared.
    memory: Option<SharedMemory>,
    visitor: Option<Box<dyn FrameVisitor + Send>>,
}

async fn run(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    hooks: Hooks,
) -> Result<DecodeReport, MediaError> {
    let began = Instant::now();
    let ended = run_child(exe, request, limits, cancel, hooks).await;
    DECODE_SECONDS.add(&[], began.elapsed().as_secs_f64());
    let reason = match &ended {
        Ok(report) => {
            DECODE_MEDIA_SECONDS.add(&[], report.video.duration_s);
            DECODE_FRAMES.add(&[], report.usage.frames_decoded as f64);
            "ok"
        }
        Err(MediaError::Permanent { .. }) => "refused",
        Err(MediaError::Transient { .. } | MediaError::DiskFull { .. }) => "failed",
        Err(MediaError::Crashed { .. }) => "crash",
        Err(MediaError::TimedOut { clock: Clock::Wall, .. }) => "wall",
        Err(MediaError::TimedOut { clock: Clock::Cpu, .. }) => "cpu",
        Err(MediaError::MemoryExceeded { .. }) => "memory",
        Err(MediaError::Cancelled) => "cancelled",
        Err(MediaError::Bug { .. }) => "bug",
    };
    DECODE_CHILD_ENDS.increment(&[reason]);
    ended
}

async fn run_child(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    hooks: Hooks,
) -> Result<DecodeReport, MediaError> {
    let shared_memory = hooks.memory.as_ref().map(SharedMemory::path);
    let request = Request { decode: request.clone(), limits: limits.clone(), shared_memory };
    let mut request = serde_json::to_vec(&request)
        .map_err(|error| MediaError::permanent(format!("cannot serialize the request: {error}")))?;
    request.push(b'\n');

    let mut child = start(exe)?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(MediaError::bug("a child without pipes"));
    };
    let own = |pipe: std::io::Result<OwnedFd>| {
        pipe.map(File::from).map_err(|error| MediaError::transient(format!("cannot use the decoder's pipes: {error}")))
    };
    let (to, from) = (own(stdin.into_owned_fd())?, own(stdout.into_owned_fd())?);
    let mut log = Vec::new();
    let conversation = async {
        // One thread for all calls: moving a picture to another thread costs more than a small
        // model's inference. The thread ends when the child does.
        let span = Span::current();
        let serve = move || span.in_scope(|| serve(BufReader::new(from), to, &request, hooks));
        let serve = tokio::task::spawn_blocking(serve);
        let (served, (), status) = tokio::join!(serve, keep_last(stderr, &mut log), child.wait());
        (served, status)
    };
    let ended = tokio::select! {
        ended = conversation => Ok(ended),
        () = cancel.cancelled() => Err(MediaError::Cancelled),
        () = tokio::time::sleep(Duration::from_secs(limits.wall_s)) => {
            Err(MediaError::TimedOut { clock: Clock::Wall, limit_s: limits.wall_s })
        }
    };
    match ended {
        Ok((Err(error), _)) => Err(MediaError::bug(format!("the detector or the visitor panicked: {error}"))),
        Ok((Ok(Err(error)), _)) => Err(error),
        Ok((Ok(Ok(reply)), Ok(status))) => interpret(status, &reply, &last_messages(&log), limits),
        Ok((Ok(Ok(_)), Err(error))) => Err(MediaError::transient(format!("cannot wait for the decoder: {error}"))),
        Err(stopped) => {
            // Reap the child before returning, so that its memory and files are free.
            child.kill().await.map_err(|error| MediaError::transient(format!("cannot kill the decoder: {error}")))?;
            Err(stopped)
        }
    }
}

fn start(exe: &Path) -> Result<Child, MediaError> {
    let mut command = Command::new(exe);
    command.arg(SUBCOMMAND).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(KEPT_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    // Its own process group: an interrupt from the terminal reaches only the parent, which decides.
    command.process_group(0).kill_on_drop(true);
    command.spawn().map_err(|error| MediaError::transient(format!("cannot start {}: {error}", exe.display())))
}

/// Sends the request, answers the child's detector and visitor calls, and returns the child's final
/// line, if any; the exit status says more than a broken pipe. `to` stays open until the child
/// ends.
///
/// # Errors
/// An error of a hook, or a picture of invalid size, ends the decode: the child then finds its pipe
/// closed.
fn serve(mut from: impl BufRead, mut to: impl Write, request: &[u8], mut hooks: Hooks) -> Result<Vec<u8>, MediaError> {
    let mut last = Vec::new();
    let mut picture = Picture::default();
    // Ignores the error: a child that stopped reading may have written the reason, which is read to
    // its end.
    let _ = to.write_all(request);
    loop {
        let mut line = Vec::new();
        if !matches!((&mut from).take(MAX_REPLY).read_until(b'\n', &mut line), Ok(1..)) {
            return Ok(last);
        }
        match serde_json::from_slice(&line) {
            Ok(Reply::Visit { position, width, height }) => {
                check_size(width, height)?;
                let mut rgb = vec![0; width as usize * height as usize * 3];
                if from.read_exact(&mut rgb).is_err() {
                    return Ok(last);
                }
                let visitor = hooks.visitor.as_mut();
                let visitor =
                    visitor.ok_or_else(|| MediaError::bug("the decoder sent a frame and there is no visitor"))?;
                visitor.visit(position, Picture { width, height, rgb: rgb.into() })?;
            }
            Ok(Reply::Detect { width, height, is_shared }) => {
                resize(&mut picture, (width, height, is_shared), hooks.memory.as_ref())?;
                if !is_shared && from.read_exact(&mut picture.rgb).is_err() {
                    return Ok(last);
                }
                let detector = hooks.detector.as_mut();
                let detector =
                    detector.ok_or_else(|| MediaError::bug("the decoder called a detector and there is none"))?;
                let objects = serde_json::to_vec(&detector.detect(&picture)?);
                let mut objects =
                    objects.map_err(|error| MediaError::bug(format!("cannot serialize objects: {error}")))?;
                objects.push(b'\n');
                // As above: the child decodes on during detection and may have failed.
                let _ = to.write_all(&objects);
            }
            _ => last = line,
        }
    }
}

/// Gives `picture` this size, in shared memory or in its own. Memory that fits is used again.
fn resize(
    picture: &mut Picture,
    (width, height, is_shared): (u32, u32, bool),
    memory: Option<&SharedMemory>,
) -> Result<(), MediaError> {
    check_size(width, height)?;
    (picture.width, picture.height) = (width, height);
    let bytes = width as usize * height as usize * 3;
    if picture.rgb.is_shared() != is_shared || picture.rgb.len() != bytes {
        picture.rgb = match memory {
            _ if !is_shared => vec![0; bytes].into(),
            None => return Err(MediaError::bug("the decoder used shared memory and there is none")),
            Some(memory) => memory
                .pixels(bytes)
                .map_err(|error| MediaError::transient(format!("cannot map the decoder's picture: {error}")))?,
        };
    }
    Ok(())
}

/// Reads to the end and keeps the last [`STDERR_KEPT`] bytes.
async fn keep_last(mut from: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > 2 * STDERR_KEPT {
            kept.drain(..kept.len() - STDERR_KEPT);
        }
    }
}

fn interpret(
    status: ExitStatus,
    reply: &[u8],
    stderr: &str,
    limits: &DecodeLimits,
) -> Result<DecodeReport, MediaError> {
    if let Some(number) = status.signal() {
        return Err(match number {
            signal::CPU_TIME => MediaError::TimedOut { clock: Clock::Cpu, limit_s: limits.cpu_s },
            signal::FILE_SIZE => MediaError::permanent(format!(
                "an output of the decode exceeds {} MB (decode limits, output_mb)",
                limits.output_mb
            )),
            signal::ABORT if stderr.contains("memory allocation of") => {
                MediaError::MemoryExceeded { limit_mb: limits.memory_mb, message: stderr.to_owned() }
            }
            signal => MediaError::Crashed { signal, message: stderr.to_owned() },
        });
    }
    match serde_json::from_slice(reply) {
        Ok(Reply::Report(report)) => Ok(*report),
        // FFmpeg reports too many streams as out of memory.
        Ok(Reply::Error(MediaError::MemoryExceeded { message, .. })) if stderr.contains("max_streams") => {
            Err(MediaError::Permanent { message: format!("{message} ({stderr})") })
        }
        Ok(Reply::Error(MediaError::Permanent { message })) if !stderr.is_empty() => {
            Err(MediaError::Permanent { message: format!("{message} ({stderr})") })
        }
        Ok(Reply::Error(MediaError::Bug { message })) if !stderr.is_empty() => {
            Err(MediaError::Bug { message: format!("{message} ({stderr})") })
        }
        Ok(Reply::Error(error)) => Err(error),
        Ok(Reply::Detect { .. } | Reply::Visit { .. }) => Err(MediaError::bug("the decoder ended during a call")),
        Err(error) => {
            Err(MediaError::bug(format!("the decoder ended with {status} and without a result: {error}: {stderr}")))
        }
    }
}

/// Returns the last three distinct lines of the log, without the addresses that FFmpeg prints with
/// every name.
fn last_messages(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().rev().map(without_address).map(without_list).filter(|line| !line.is_empty()) {
        if !lines.contains(&line) {
            lines.push(line);
        }
        if lines.len() == 3 {
            break;
        }
    }
    lines.reverse();
    lines.join("; ")
}

/// Replaces the list of all formats in `[hls] Format not on whitelist 'mov,...'`.
fn without_list(line: String) -> String {
    match line.split_once(" Format not on whitelist") {
        Some((format, _)) => format!("{format} is not an accepted container format"),
        None => line,
    }
}

/// Turns `[mov @ 0x55d0c0ffee] text` into `[mov] text`.
fn without_address(line: &str) -> String {
    let Some(at) = line.find(" @ 0x") else {
        return line.trim().to_owned();
    };
    let digits = line[at + 5..].find(|c: char| !c.is_ascii_hexdigit()).map_or(line.len(), |n| at + 5 + n);
    format!("{}{}", &line[..at], &line[digits..]).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Object;
    use crate::frame_visitor::FramePosition;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};
    use tracing::Instrument;

    #[test]
    fn messages_are_the_last_three_lines_without_addresses_or_repetition() {
        let log = b"[h264 @ 0x1f] a\n[mov,mp4 @ 0x5606c062bbc0] moov atom not found\n\nx\nx\ny\n";
        assert_eq!(last_messages(log), "[mov,mp4] moov atom not found; x; y");
        let log = b"[hls @ 0x1f] Format not on whitelist 'mov,matroska'\n";
        assert_eq!(last_messages(log), "[hls] is not an accepted container format");
        assert_eq!(last_messages(b""), "");
    }

    #[test]
    fn an_error_of_the_child_during_detection_is_returned() {
        struct Blind;
        impl Detector for Blind {
            fn detect(&mut self, _: &Picture) -> Result<Vec<Object>, MediaError> {
                Ok(Vec::new())
            }
        }
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let line = |reply: &Reply| [serde_json::to_vec(reply).expect("plain data"), b"\n".to_vec()].concat();
        let error = line(&Reply::Error(MediaError::transient("the disk is full")));
        let call = line(&Reply::Detect { width: 1, height: 1, is_shared: false });
        let sent = [call, vec![0; 3], error.clone()].concat();
        let hooks = Hooks { detector: Some(Box::new(Blind)), ..Hooks::default() };
        assert_eq!(serve(&sent[..], Closed, b"", hooks), Ok(error));
    }

    #[tokio::test]
    async fn a_flood_on_stderr_is_kept_within_bounds() {
        let mut kept = Vec::new();
        keep_last(&vec![b'x'; 1 << 20][..], &mut kept).await;
        assert!(kept.len() <= 2 * STDERR_KEPT);
    }
    /// A detector's log lines carry the run and job of the caller's span.
    #[tokio::test]
    async fn hooks_are_called_inside_the_span_of_the_caller() {
        struct Watch(Arc<Mutex<Vec<&'static str>>>);
        impl FrameVisitor for Watch {
            fn visit(&mut self, _: FramePosition, _: Picture) -> Result<(), MediaError> {
                let name = Span::current().metadata().map_or("none", |span| span.name());
                self.0.lock().expect("no panic in a visit").push(name);
                Ok(())
            }
        }
        // Another test may have set one that also records spans.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let line = |reply: &Reply| [serde_json::to_vec(reply).expect("plain data"), b"\n".to_vec()].concat();
        let position = FramePosition { frame: 0, time_s: 0.0 };
        let visit = line(&Reply::Visit { position, width: 1, height: 1 });
        let error = line(&Reply::Error(MediaError::permanent("no more frames")));
        let replies = folder.path().join("replies");
        std::fs::write(&replies, [visit, b"rgb".to_vec(), error].concat()).expect("room on disk");
        let decoder = folder.path().join("decoder");
        std::fs::write(&decoder, format!("#!/bin/sh\ncat '{}'\n", replies.display())).expect("room on disk");
        std::fs::set_permissions(&decoder, std::fs::Permissions::from_mode(0o755)).expect("our file");

        let seen = Arc::default();
        let visitor = Box::new(Watch(Arc::clone(&seen)));
        let request = DecodeRequest::new("x", "x.mp4", folder.path());
        let (limits, cancel) = (DecodeLimits::default(), CancellationToken::new());
        let decode = decode_with_visitor(&decoder, &request, &limits, &cancel, visitor);
        let ended = decode.instrument(tracing::error_span!("job", job = "j-1")).await;
        assert_eq!(ended, Err(MediaError::permanent("no more frames")));
        assert_eq!(*seen.lock().expect("no panic in a visit"), ["job"]);
    }
}
