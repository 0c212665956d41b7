//! The parent's side.

use super::shared_memory::Canvas;
use super::{Answer, DecodeLimits, Order, SUBCOMMAND};
use crate::detector::Detector;
use crate::error::{Clock, MediaError};
use crate::frame_visitor::Viewer;
use crate::picture::{Picture, check_size};
use crate::request::{DecodeReport, DecodeRequest};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// The longest answer that is read.
const MAX_ANSWER: u64 = 16 << 20;
/// How much of what the child says last is kept.
const WORDS_KEPT: usize = 8 << 10;
/// Variables of the environment that the child needs to find its libraries.
const KEPT_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "RUST_BACKTRACE", "PATH"];

/// Numbers of the signals that have a meaning here, the same on every Linux that this is built for.
mod signal {
    pub const ABORT: i32 = 6;
    pub const CPU_TIME: i32 = 24;
    pub const FILE_SIZE: i32 = 25;
}

/// Decodes in a child process. `exe` must be an executable that calls [`run_child`](super::run_child) for
/// [`SUBCOMMAND`]: usually `std::env::current_exe()`. Dropping the future kills the child.
pub async fn decode(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
) -> Result<DecodeReport, MediaError> {
    converse(exe, request, limits, cancel, Guests::default()).await
}

/// As [`decode`], with the viewer that frames are asked for. It is called here, on a thread for blocking work, frame by frame; its error ends
/// the decode and is what is returned.
pub async fn view_frames(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    viewer: Box<dyn Viewer + Send>,
) -> Result<DecodeReport, MediaError> {
    converse(exe, request, limits, cancel, Guests { viewer: Some(viewer), ..Guests::default() }).await
}

/// Who answers the child's questions.
#[derive(Default)]
struct Guests {
    detector: Option<Box<dyn Detector + Send>>,
    /// Where the child paints pictures for the detector, if there is memory that both can share.
    canvas: Option<Canvas>,
    viewer: Option<Box<dyn Viewer + Send>>,
}

/// As [`decode`], with the detector that scene-object keyframes need. It is called here, on a thread for blocking work,
/// picture by picture.
pub async fn decode_with_detector(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    detector: Box<dyn Detector + Send>,
) -> Result<DecodeReport, MediaError> {
    // Without memory to share, pictures go through the pipe.
    let canvas = Canvas::create().ok();
    converse(exe, request, limits, cancel, Guests { detector: Some(detector), canvas, ..Guests::default() }).await
}

async fn converse(
    exe: &Path,
    request: &DecodeRequest,
    limits: &DecodeLimits,
    cancel: &CancellationToken,
    guests: Guests,
) -> Result<DecodeReport, MediaError> {
    let canvas = guests.canvas.as_ref().map(Canvas::address);
    let order = Order { request: request.clone(), limits: limits.clone(), canvas };
    let mut order =
        serde_json::to_vec(&order).map_err(|error| MediaError::permanent(format!("cannot send the order: {error}")))?;
    order.push(b'\n');

    let mut child = start(exe)?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(MediaError::bug("a child without pipes"));
    };
    let own = |pipe: std::io::Result<OwnedFd>| {
        pipe.map(File::from).map_err(|error| MediaError::transient(format!("cannot use the decoder's pipes: {error}")))
    };
    let (lifeline, from) = (own(stdin.into_owned_fd())?, own(stdout.into_owned_fd())?);
    let mut words = Vec::new();
    let conversation = async {
        // One thread for all of it: a picture that has to change threads costs more than a small model's answer. It ends when the child does.
        let talk = tokio::task::spawn_blocking(move || talk(BufReader::new(from), lifeline, &order, guests));
        let (talked, (), status) = tokio::join!(talk, keep_last(stderr, &mut words), child.wait());
        (talked, status)
    };
    let ended = tokio::select! {
        ended = conversation => Ok(ended),
        () = cancel.cancelled() => Err(MediaError::Cancelled),
        () = tokio::time::sleep(Duration::from_secs(limits.wall_s)) => {
            Err(MediaError::TimedOut { clock: Clock::Wall, limit_s: limits.wall_s })
        }
    };
    match ended {
        Ok((Err(error), _)) => Err(MediaError::bug(format!("the detector or the viewer panicked: {error}"))),
        Ok((Ok(Err(refused)), _)) => Err(refused),
        Ok((Ok(Ok(answer)), Ok(status))) => interpret(status, &answer, &ffmpegs_words(&words), limits),
        Ok((Ok(Ok(_)), Err(error))) => Err(MediaError::transient(format!("cannot wait for the decoder: {error}"))),
        Err(stopped) => {
            // Reap it before returning: its memory and its files are free then.
            child.kill().await.map_err(|error| MediaError::transient(format!("cannot kill the decoder: {error}")))?;
            Err(stopped)
        }
    }
}

fn start(exe: &Path) -> Result<Child, MediaError> {
    let mut command = Command::new(exe);
    command.arg(SUBCOMMAND).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.envs(KEPT_VARIABLES.iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value))));
    // Its own group: an interrupt from the terminal goes to the parent, which decides.
    command.process_group(0).kill_on_drop(true);
    command.spawn().map_err(|error| MediaError::transient(format!("cannot start {}: {error}", exe.display())))
}

/// Sends the order, lets the guests look at what the child shows, and gives the last line that asks for nothing, as far as there is one: how the
/// child ended says more than a broken pipe. `to` stays open until the child is done.
///
/// # Errors
/// Why a guest, or a picture that cannot be, ends the decode: the child meets a closed pipe then.
fn talk(mut from: impl BufRead, mut to: impl Write, order: &[u8], mut guests: Guests) -> Result<Vec<u8>, MediaError> {
    let mut answer = Vec::new();
    let mut picture = Picture::default();
    // A child that reads no more may have said why: what it wrote is read to its end all the same.
    let _ = to.write_all(order);
    loop {
        let mut line = Vec::new();
        if !matches!((&mut from).take(MAX_ANSWER).read_until(b'\n', &mut line), Ok(1..)) {
            return Ok(answer);
        }
        match serde_json::from_slice(&line) {
            Ok(Answer::View { place, width, height }) => {
                check_size(width, height)?;
                let mut rgb = vec![0; width as usize * height as usize * 3];
                if from.read_exact(&mut rgb).is_err() {
                    return Ok(answer);
                }
                let viewer = guests.viewer.as_mut();
                let viewer =
                    viewer.ok_or_else(|| MediaError::bug("the decoder shows frames and there is no viewer"))?;
                viewer.view(place, Picture { width, height, rgb: rgb.into() })?;
            }
            Ok(Answer::Detect { width, height, on_canvas }) => {
                room_for(&mut picture, (width, height, on_canvas), guests.canvas.as_ref())?;
                if !on_canvas && from.read_exact(&mut picture.rgb).is_err() {
                    return Ok(answer);
                }
                let detector = guests.detector.as_mut();
                let detector =
                    detector.ok_or_else(|| MediaError::bug("the decoder asked for a detector and there is none"))?;
                let objects = serde_json::to_vec(&detector.detect(&picture)?);
                let mut objects =
                    objects.map_err(|error| MediaError::bug(format!("objects do not serialise: {error}")))?;
                objects.push(b'\n');
                // As above: it goes on decoding while the detector looks.
                let _ = to.write_all(&objects);
            }
            _ => answer = line,
        }
    }
}

/// Makes `picture` one of this size: on the canvas, or with memory of its own. What fits already is used again.
fn room_for(
    picture: &mut Picture,
    (width, height, on_canvas): (u32, u32, bool),
    canvas: Option<&Canvas>,
) -> Result<(), MediaError> {
    check_size(width, height)?;
    (picture.width, picture.height) = (width, height);
    let bytes = width as usize * height as usize * 3;
    if picture.rgb.is_shared() != on_canvas || picture.rgb.len() != bytes {
        picture.rgb = match canvas {
            _ if !on_canvas => vec![0; bytes].into(),
            None => return Err(MediaError::bug("the decoder painted on a canvas that there is not")),
            Some(canvas) => canvas
                .pixels(bytes)
                .map_err(|error| MediaError::transient(format!("cannot see the decoder's picture: {error}")))?,
        };
    }
    Ok(())
}

/// Reads to the end, keeping the last [`WORDS_KEPT`] bytes.
async fn keep_last(mut from: impl AsyncRead + Unpin, kept: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > 2 * WORDS_KEPT {
            kept.drain(..kept.len() - WORDS_KEPT);
        }
    }
}

fn interpret(
    status: ExitStatus,
    answer: &[u8],
    words: &str,
    limits: &DecodeLimits,
) -> Result<DecodeReport, MediaError> {
    if let Some(number) = status.signal() {
        return Err(match number {
            signal::CPU_TIME => MediaError::TimedOut { clock: Clock::Cpu, limit_s: limits.cpu_s },
            signal::FILE_SIZE => MediaError::permanent(format!(
                "an output of the decode exceeds {} MB (decode limits, output_mb)",
                limits.output_mb
            )),
            signal::ABORT if words.contains("memory allocation of") => {
                MediaError::MemoryExceeded { limit_mb: limits.memory_mb, message: words.to_owned() }
            }
            signal => MediaError::Crashed { signal, message: words.to_owned() },
        });
    }
    match serde_json::from_slice(answer) {
        Ok(Answer::Report(report)) => Ok(*report),
        // FFmpeg reports too many streams as a lack of memory.
        Ok(Answer::Error(MediaError::MemoryExceeded { message, .. })) if words.contains("max_streams") => {
            Err(MediaError::Permanent { message: format!("{message} ({words})") })
        }
        Ok(Answer::Error(MediaError::Permanent { message })) if !words.is_empty() => {
            Err(MediaError::Permanent { message: format!("{message} ({words})") })
        }
        Ok(Answer::Error(MediaError::Bug { message })) if !words.is_empty() => {
            Err(MediaError::Bug { message: format!("{message} ({words})") })
        }
        Ok(Answer::Error(error)) => Err(error),
        Ok(Answer::Detect { .. } | Answer::View { .. }) => Err(MediaError::bug("the decoder ended with a question")),
        Err(error) => Err(MediaError::bug(format!("the decoder ended with {status} and no answer: {error}: {words}"))),
    }
}

/// The last three different lines of the log, without the addresses that FFmpeg prints with every name.
fn ffmpegs_words(log: &[u8]) -> String {
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

/// `[hls] Format not on whitelist 'mov,...'` without the list of all formats.
fn without_list(line: String) -> String {
    match line.split_once(" Format not on whitelist") {
        Some((format, _)) => format!("{format} is no format that a trailer may have"),
        None => line,
    }
}

/// `[mov @ 0x55d0c0ffee] text` becomes `[mov] text`.
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

    #[test]
    fn words_are_the_last_three_lines_without_addresses_or_repetition() {
        let log = b"[h264 @ 0x1f] a\n[mov,mp4 @ 0x5606c062bbc0] moov atom not found\n\nx\nx\ny\n";
        assert_eq!(ffmpegs_words(log), "[mov,mp4] moov atom not found; x; y");
        let log = b"[hls @ 0x1f] Format not on whitelist 'mov,matroska'\n";
        assert_eq!(ffmpegs_words(log), "[hls] is no format that a trailer may have");
        assert_eq!(ffmpegs_words(b""), "");
    }

    #[test]
    fn a_child_that_fails_while_the_detector_looks_is_heard() {
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
        let line = |answer: &Answer| [serde_json::to_vec(answer).expect("plain data"), b"\n".to_vec()].concat();
        let error = line(&Answer::Error(MediaError::transient("the disk is full")));
        let question = line(&Answer::Detect { width: 1, height: 1, on_canvas: false });
        let said = [question, vec![0; 3], error.clone()].concat();
        let guests = Guests { detector: Some(Box::new(Blind)), ..Guests::default() };
        assert_eq!(talk(&said[..], Closed, b"", guests), Ok(error));
    }

    #[tokio::test]
    async fn a_flood_of_words_is_kept_within_bounds() {
        let mut kept = Vec::new();
        keep_last(&vec![b'x'; 1 << 20][..], &mut kept).await;
        assert!(kept.len() <= 2 * WORDS_KEPT);
    }
}
