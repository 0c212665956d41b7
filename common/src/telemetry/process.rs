//! The figures of this process that Prometheus calls process_*: read from /proc when they are asked
//! for.

use std::sync::Mutex;
use std::time::Duration;

use super::list::{CPU_SECONDS, OPEN_FDS, RESIDENT_MEMORY, START_TIME};

/// Reads them again. Figures that this system does not show stay away.
pub(super) fn observe() {
    if let Some(fds) = std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        // One of them is the folder that is read.
        OPEN_FDS.set(&[], fds.saturating_sub(1) as f64);
    }
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return };
    // The name, in brackets, may hold anything.
    let fields: Vec<f64> =
        stat.rsplit(')').next().unwrap_or_default().split(' ').skip(1).map(|f| f.parse().unwrap_or(0.0)).collect();
    // Numbered from the third field of proc(5): utime to cstime, starttime, rss.
    let [Some(cpu), Some(start), Some(pages)] = [fields.get(11..15), fields.get(19..20), fields.get(21..22)] else {
        return;
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    RESIDENT_MEMORY.set(&[], pages[0] * rustix::param::page_size() as f64);
    add_up_to(cpu.iter().sum::<f64>() / ticks);
    let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    if let Some(boot) = boot {
        START_TIME.set(&[], boot + start[0] / ticks);
    }
}

/// Raises the counter of CPU time to `seconds`.
fn add_up_to(seconds: f64) {
    static COUNTED: Mutex<Duration> = Mutex::new(Duration::ZERO);
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    if let Ok(mut counted) = COUNTED.lock()
        && seconds > *counted
    {
        CPU_SECONDS.add(&[], (seconds - *counted).as_secs_f64());
        *counted = seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metric::{Program, text};

    #[test]
    fn the_figures_of_this_process_are_plausible() {
        observe();
        let text = text(&[&CPU_SECONDS.0, &RESIDENT_MEMORY.0, &OPEN_FDS.0, &START_TIME.0], Program::Both);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).expect("a line");
            line.parse().expect("a number")
        };
        assert!((1e6..1e12).contains(&value("process_resident_memory_bytes")), "{text}");
        assert!(value("process_open_fds") >= 3.0, "{text}");
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!((now - 7.0 * 86_400.0..=now + 2.0).contains(&value("process_start_time_seconds")), "{text}");
        assert!(value("process_cpu_seconds_total") >= 0.0, "{text}");
    }
}
