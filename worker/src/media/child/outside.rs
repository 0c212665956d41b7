//! The parent's side.

use super::canvas::Canvas;
use super::{Answer, DecodeLimits, Order, Reply, SUBCOMMAND};
use crate::media::detector::{Detector, Object};
use crate::media::error::{Clock, MediaError};
use crate::media::picture::{Picture, check_size};
use crate::media::request::{DecodeReport, DecodeRequest};
use crate::media::viewer::{FramePlace, Viewer};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
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
    /// The last picture that the detector saw: its memory is used again.
    picture: Picture,
    /// Where the child paints pictures for the detector, if there is memory that both can share.
    canvas: Option<Canvas>,
    viewer: Option<Box<dyn Viewer + Send>>,
    /// Why the viewer wants no more.
    refused: Option<MediaError>,
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
    mut guests: Guests,
) -> Result<DecodeReport, MediaError> {
    let canvas = guests.canvas.as_ref().map(Canvas::address);
    let order = Order { request: request.clone(), limits: limits.clone(), canvas };
    let mut order =
        serde_json::to_vec(&order).map_err(|error| MediaError::permanent(format!("cannot send the order: {error}")))?;
    order.push(b'\n');

    let mut child = start(exe)?;
    let (Some(mut lifeline), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(MediaError::bug("a child without pipes"));
    };
    let mut answer = Vec::new();
    let mut words = Vec::new();
    let conversation = async {
        // A child that dies before it has read everything is told apart by its status.
        let _ = lifeline.write_all(&order).await;
        let talk = last_answer(BufReader::new(stdout), &mut lifeline, &mut guests, &mut answer);
        let (_, (), status) = tokio::join!(talk, keep_last(stderr, &mut words), child.wait());
        status
    };
    let status = tokio::select! {
        status = conversation => Ok(status),
        () = cancel.cancelled() => Err(MediaError::Cancelled),
        () = tokio::time::sleep(Duration::from_secs(limits.wall_s)) => {
            Err(MediaError::TimedOut { clock: Clock::Wall, limit_s: limits.wall_s })
        }
    };
    if let Some(refused) = guests.refused {
        return Err(refused);
    }
    match status {
        Ok(Ok(status)) => interpret(status, &answer, &ffmpegs_words(&words), limits),
        Ok(Err(error)) => Err(MediaError::transient(format!("cannot wait for the decoder: {error}"))),
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

/// Reads the child's lines to the end and keeps the last one that asks for nothing; lets the detector look at pictures.
async fn last_answer(
    mut from: impl AsyncBufRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    guests: &mut Guests,
    answer: &mut Vec<u8>,
) -> std::io::Result<()> {
    loop {
        let mut line = Vec::new();
        if (&mut from).take(MAX_ANSWER).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let question = match serde_json::from_slice(&line) {
            Ok(Answer::Detect { width, height, on_canvas }) => (width, height, on_canvas),
            Ok(Answer::View { place, width, height }) => {
                if let Err(refused) = view(&mut from, place, (width, height), &mut guests.viewer).await? {
                    // The child meets a closed pipe and ends.
                    guests.refused = Some(refused);
                    return Ok(());
                }
                continue;
            }
            _ => {
                *answer = line;
                continue;
            }
        };
        let reply = match detect(&mut from, question, guests).await? {
            Ok(objects) => Reply::Objects(objects),
            Err(error) => Reply::Error(error),
        };
        let mut reply = serde_json::to_vec(&reply)?;
        reply.push(b'\n');
        to.write_all(&reply).await?;
    }
}

/// Reads a frame and shows it to the viewer.
async fn view(
    from: &mut (impl AsyncRead + Unpin),
    place: FramePlace,
    (width, height): (u32, u32),
    viewer: &mut Option<Box<dyn Viewer + Send>>,
) -> std::io::Result<Result<(), MediaError>> {
    if let Err(refused) = check_size(width, height) {
        return Ok(Err(refused));
    }
    let mut picture = Picture { width, height, rgb: vec![0; width as usize * height as usize * 3].into() };
    from.read_exact(&mut picture.rgb).await?;
    let Some(mut present) = viewer.take() else {
        return Ok(Err(MediaError::bug("the decoder shows frames and there is no viewer")));
    };
    let look = move || {
        let seen = present.view(place, picture);
        (present, seen)
    };
    Ok(match tokio::task::spawn_blocking(look).await {
        Ok((present, seen)) => {
            *viewer = Some(present);
            seen
        }
        Err(error) => Err(MediaError::bug(format!("the viewer panicked: {error}"))),
    })
}

/// Reads a picture and lets the detector look at it.
async fn detect(
    from: &mut (impl AsyncRead + Unpin),
    (width, height, on_canvas): (u32, u32, bool),
    guests: &mut Guests,
) -> std::io::Result<Result<Vec<Object>, MediaError>> {
    if let Err(refused) = check_size(width, height) {
        return Ok(Err(refused));
    }
    let bytes = width as usize * height as usize * 3;
    let mut picture = std::mem::take(&mut guests.picture);
    (picture.width, picture.height) = (width, height);
    if picture.rgb.is_shared() != on_canvas || picture.rgb.len() != bytes {
        picture.rgb = match &guests.canvas {
            _ if !on_canvas => vec![0; bytes].into(),
            None => return Ok(Err(MediaError::bug("the decoder painted on a canvas that there is not"))),
            Some(canvas) => match canvas.pixels(bytes) {
                Ok(pixels) => pixels,
                Err(error) => {
                    return Ok(Err(MediaError::transient(format!("cannot see the decoder's picture: {error}"))));
                }
            },
        };
    }
    if !on_canvas {
        from.read_exact(&mut picture.rgb).await?;
    }
    let Some(mut present) = guests.detector.take() else {
        return Ok(Err(MediaError::bug("the decoder asked for a detector and there is none")));
    };
    let look = move || {
        let objects = present.detect(&picture);
        (present, picture, objects)
    };
    Ok(match tokio::task::spawn_blocking(look).await {
        Ok((present, picture, objects)) => {
            (guests.detector, guests.picture) = (Some(present), picture);
            objects
        }
        Err(error) => Err(MediaError::bug(format!("the detector panicked: {error}"))),
    })
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

    #[test]
    fn words_are_the_last_three_lines_without_addresses_or_repetition() {
        let log = b"[h264 @ 0x1f] a\n[mov,mp4 @ 0x5606c062bbc0] moov atom not found\n\nx\nx\ny\n";
        assert_eq!(ffmpegs_words(log), "[mov,mp4] moov atom not found; x; y");
        let log = b"[hls @ 0x1f] Format not on whitelist 'mov,matroska'\n";
        assert_eq!(ffmpegs_words(log), "[hls] is no format that a trailer may have");
        assert_eq!(ffmpegs_words(b""), "");
    }

    #[tokio::test]
    async fn a_flood_of_words_is_kept_within_bounds() {
        let mut kept = Vec::new();
        keep_last(&vec![b'x'; 1 << 20][..], &mut kept).await;
        assert!(kept.len() <= 2 * WORDS_KEPT);
    }
}
