//! Resources used by a decode, read from `/proc`; zero on systems without it.

use crate::report::Usage;

/// Returns the CPU time of this thread and the peak memory of this process so far.
pub fn so_far() -> Usage {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = read("/proc/thread-self/schedstat").split(' ').next().and_then(|n| n.parse::<u64>().ok());
    let status = read("/proc/self/status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Usage {
        cpu_s: nanoseconds.unwrap_or(0) as f64 / 1e9,
        peak_memory_mb: kilobytes.unwrap_or(0).div_ceil(1024),
        frames_decoded: 0,
    }
}
