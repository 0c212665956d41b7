//! A decoder that crashes, hangs or floods stderr costs one attempt and nothing else.

use crate::support::{EXE, folder, made, request};
use jhalak_worker::media::error::Clock;
use jhalak_worker::media::{DecodeLimits, MediaError, sandbox};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Writes a script that behaves like a broken decoder.
fn broken_decoder(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("decoder");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn with_decoder(script: &str, limits: DecodeLimits) -> MediaError {
    let files = folder();
    let exe = broken_decoder(files.path(), script);
    sandbox::decode(&exe, &request(Path::new("x.mp4"), files.path()), &limits, &CancellationToken::new())
        .await
        .unwrap_err()
}

/// Makes two minutes of complex 720p video: too long to finish before the limits in these tests.
fn long_video(folder: &Path) -> PathBuf {
    let source = "-f lavfi -i testsrc2=s=1280x720:r=25:d=12 -c:v mpeg2video -q:v 2 -f mpegts";
    let twelve_seconds = made(folder, "part.ts", source);
    let path = folder.join("long.ts");
    std::fs::write(&path, std::fs::read(twelve_seconds).unwrap().repeat(10)).unwrap();
    path
}

#[tokio::test]
async fn a_crash_is_reported_with_its_signal_and_the_end_of_stderr() {
    let crashed = with_decoder("echo 'invalid slice' >&2; kill -SEGV $$", DecodeLimits::default()).await;
    assert_eq!(crashed, MediaError::Crashed { signal: 11, message: "invalid slice".to_owned() });
    let aborted = with_decoder("kill -ABRT $$", DecodeLimits::default()).await;
    assert!(matches!(aborted, MediaError::Crashed { signal: 6, .. }));
}

#[tokio::test]
async fn a_hang_ends_at_the_wall_limit_even_if_the_decoder_ignores_signals() {
    let limits = DecodeLimits { wall_s: 1, ..Default::default() };
    let begun = Instant::now();
    let hung = with_decoder("trap '' TERM INT HUP; while :; do sleep 1; done", limits).await;
    assert_eq!(hung, MediaError::TimedOut { clock: Clock::Wall, limit_s: 1 });
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_invalid_reply_and_a_flood_on_stderr_are_a_bug_and_do_not_hang() {
    let bug =
        with_decoder("yes 'a line of the log' | head -c 3000000 >&2; echo nonsense; exit 7", DecodeLimits::default())
            .await;
    assert!(matches!(&bug, MediaError::Bug { message } if message.contains("exit status: 7")), "{bug:?}");
    let missing = Path::new("/nonexistent/decoder");
    let files = folder();
    let request = request(Path::new("x.mp4"), files.path());
    let error = sandbox::decode(missing, &request, &Default::default(), &Default::default()).await.unwrap_err();
    assert!(matches!(error, MediaError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn real_decodes_stop_at_their_limits_and_at_cancellation() {
    let files = folder();
    let video = long_video(files.path());
    let request = request(&video, files.path());
    let run = async |limits: DecodeLimits, cancel: CancellationToken| {
        sandbox::decode(Path::new(EXE), &request, &limits, &cancel).await.unwrap_err()
    };
    let cpu = run(DecodeLimits { cpu_s: 1, ..Default::default() }, CancellationToken::new()).await;
    assert_eq!(cpu, MediaError::TimedOut { clock: Clock::Cpu, limit_s: 1 });
    let memory = run(DecodeLimits { memory_mb: 4, ..Default::default() }, CancellationToken::new()).await;
    assert!(matches!(memory, MediaError::MemoryExceeded { limit_mb: 4, .. }), "{memory:?}");
    let output = run(DecodeLimits { output_mb: 0, ..Default::default() }, CancellationToken::new()).await;
    assert!(matches!(&output, MediaError::Permanent { message } if message.contains("output_mb")), "{output:?}");
    let cancel = CancellationToken::new();
    cancel.cancel();
    assert_eq!(run(DecodeLimits::default(), cancel).await, MediaError::Cancelled);
}

#[tokio::test]
async fn a_missing_output_folder_is_transient() {
    let files = folder();
    let video = made(files.path(), "plain.mp4", "-f lavfi -i testsrc2=s=64x48:d=1 -c:v mpeg4");
    let request = request(&video, &files.path().join("absent"));
    let error = sandbox::decode(Path::new(EXE), &request, &Default::default(), &Default::default()).await.unwrap_err();
    assert!(matches!(&error, MediaError::Transient { message } if message.contains("keyframes.tar")), "{error:?}");
}

/// The process ids of the children of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let tasks = Path::new("/proc").join(parent.to_string()).join("task").read_dir().into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited 20 s for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Makes this test program act as a worker: the video to decode.
const VIDEO: &str = "JHALAK_TEST_WORKER_VIDEO";

/// Not a test: the worker process that the next test starts.
#[tokio::test]
async fn acts_as_a_worker() {
    if let Some(video) = std::env::var_os(VIDEO).map(PathBuf::from) {
        let request = request(&video, video.parent().unwrap());
        let _ = sandbox::decode(Path::new(EXE), &request, &Default::default(), &Default::default()).await;
    }
}

#[test]
fn a_decoder_ends_when_its_worker_is_killed() {
    let files = folder();
    let video = long_video(files.path());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "containment::acts_as_a_worker"]).env(VIDEO, &video);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut worker = command.spawn().unwrap();
    let decoder = until("the decoder to start", || children(worker.id()).first().copied());
    let alive = move || {
        let status = std::fs::read_to_string(format!("/proc/{decoder}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    };
    until("the decoder to write", || files.path().join("keyframes.tar").exists().then_some(()));
    assert!(alive());
    worker.kill().unwrap();
    worker.wait().unwrap();
    until("the decoder to end", || (!alive()).then_some(()));
    // It was ended early: otherwise the last keyframe would exist.
    let archive = std::fs::read(files.path().join("keyframes.tar")).unwrap();
    assert!(!archive.windows(16).any(|name| name == b"tt0240200-15.jpg"));
}
