//! The child's side.

use super::{Answer, DecodeLimits, Order};
use crate::media::decode;
use crate::media::error::MediaError;
use ffmpeg_next::util::log;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::io::{BufRead, Read, Write};
use std::process::ExitCode;

/// Runs one decode as its parent orders it; for [`SUBCOMMAND`](super::SUBCOMMAND). Must be called before any other
/// thread exists. Exits with 0 once an answer, good or bad, is written.
pub fn run_child() -> ExitCode {
    let answer = match take_order() {
        Ok(order) => match std::panic::catch_unwind(|| decode::run(&order.request)) {
            Ok(Ok(report)) => Answer::Report(report),
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

/// Ends this process as soon as the parent closes its end of standard input, be it by dying.
fn watch_lifeline() -> Result<(), MediaError> {
    let watch = || {
        let mut stdin = std::io::stdin().lock();
        let mut byte = [0];
        while matches!(stdin.read(&mut byte), Ok(1)) {}
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
