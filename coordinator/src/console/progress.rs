//! Progress on stderr: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jhalak_common::process::exit::escape_controls;
use jhalak_common::run::LEAST_SHARE;

/// Minimum time between two plain lines.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Shows the progress of a run on stderr.
#[derive(Clone)]
pub struct Progress {
    bars: Option<MultiProgress>,
    quiet: bool,
}

/// The bar of one stage.
pub struct Bar {
    name: &'static str,
    all: usize,
    bar: Option<ProgressBar>,
    quiet: bool,
    plain: Mutex<Plain>,
}

struct Plain {
    done: usize,
    quarantined: usize,
    /// The share of the work that is done, by costs; None where steps cost the same.
    share: Option<f64>,
    started: Instant,
    shown: Instant,
}

impl Progress {
    /// Shows bars when stderr is a terminal, plain lines otherwise, and nothing when `quiet`.
    pub fn new(quiet: bool) -> Progress {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Progress { bars, quiet }
    }

    /// Prints one line.
    pub fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        let line = escape_controls(line);
        match &self.bars {
            // A terminal that was closed shows nothing.
            Some(bars) => drop(bars.println(&line)),
            None => print_line(&line),
        }
    }

    /// Clears the bars before the program ends with an error, which would be printed behind them.
    pub fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
    }

    /// Prints one line, also when quiet: what a command leaves out never passes in silence.
    pub fn warn(&self, line: &str) {
        match self.quiet {
            true => print_line(&escape_controls(line)),
            false => self.say(line),
        }
    }

    /// Starts the bar of a stage of `all` jobs, of which `done` have their end state already.
    pub fn stage(&self, name: &'static str, all: usize, done: usize) -> Bar {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(all as u64).with_position(done as u64).with_prefix(name));
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        if bar.is_none() {
            let before = if done > 0 { format!(", {done} of {all} done before") } else { String::new() };
            self.say(&format!("{name}: {} to do{before}", all - done));
        }
        Bar {
            name,
            all,
            bar,
            quiet: self.quiet,
            plain: Mutex::new(Plain { done, quarantined: 0, share: None, started: now, shown: now }),
        }
    }

    /// Starts the bar of `all` steps of work in this process.
    pub fn steps(&self, name: &'static str, all: usize) -> Bar {
        self.stage(name, all, 0)
    }

    /// Whether progress is shown at all.
    pub fn is_shown(&self) -> bool {
        !self.quiet
    }

    /// Starts counting the pictures of a video, of which the file states `total`.
    pub fn frames(&self, name: &'static str, total: Pictures) -> FrameCounter {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix} {spinner} {msg}");
            let bar = bars.add(ProgressBar::new_spinner().with_prefix(name));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        let now = Instant::now();
        FrameCounter { name, bar, quiet: self.quiet, total, pictures: 0, started: now, shown: now }
    }

    /// Returns a writer for log lines that keeps the bars intact.
    pub fn log_writer(&self) -> impl for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static {
        let bars = self.bars.clone();
        move || LogLine { bars: bars.clone(), line: Vec::new() }
    }
}

impl Bar {
    /// Counts a step as done.
    pub fn step(&self, what: &str) {
        self.count(0);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}{what}", self.left().map(|left| format!("{left} left, ")).unwrap_or_default()));
            bar.inc(1);
        }
    }

    /// Notes which share of the work is done, from 0 to 1, for the estimate of the time left.
    pub fn share(&self, share: f64) {
        if let Ok(mut plain) = self.plain.lock() {
            plain.share = Some(share);
        }
    }

    /// The time left, once enough has ended to tell: the first steps are often the longest ones.
    fn left(&self) -> Option<String> {
        let plain = self.plain.lock().ok()?;
        let share = plain.share.unwrap_or(plain.done as f64 / self.all.max(1) as f64);
        let seconds = plain.started.elapsed().as_secs_f64();
        (LEAST_SHARE..1.0).contains(&share).then(|| duration(seconds * (1.0 - share) / share))
    }

    /// Counts a job as quarantined.
    pub fn quarantined(&self, about: &str, reason: &str) {
        let line = format!("quarantined: {about}: {reason}");
        match &self.bar {
            Some(bar) => {
                bar.println(line);
                bar.inc(1);
            }
            None if !self.quiet => print_line(&line),
            None => {}
        }
        self.count(1);
    }

    /// Ends the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_with_message("");
        }
        self.line(true);
    }

    fn count(&self, quarantined: usize) {
        if let Ok(mut plain) = self.plain.lock() {
            plain.done += 1;
            plain.quarantined += quarantined;
        }
        self.line(false);
    }

    fn line(&self, last: bool) {
        let left = self.left().map(|left| format!(", {left} left")).unwrap_or_default();
        let Ok(mut plain) = self.plain.lock() else { return };
        if self.quiet || self.bar.is_some() || (!last && plain.shown.elapsed() < PLAIN_INTERVAL) {
            return;
        }
        plain.shown = Instant::now();
        let failed = if plain.quarantined > 0 { format!(", {} quarantined", plain.quarantined) } else { String::new() };
        print_line(&format!(
            "{}: {} of {} after {:.0} s{left}{failed}",
            self.name,
            plain.done,
            self.all,
            plain.started.elapsed().as_secs_f64()
        ));
    }
}

/// How long a video is, as far as its file states it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pictures {
    /// Its length in seconds.
    pub seconds: Option<f64>,
    /// The most pictures that are looked at.
    pub most: Option<u64>,
}

impl Pictures {
    /// Returns how far the work is, `elapsed_s` after its start. The time left is estimated once
    /// enough is done, and is the longest: scenes that are too short are skipped.
    fn line(&self, pictures: u64, time_s: Option<f64>, elapsed_s: f64) -> String {
        let mut line = format!("{pictures} pictures");
        let share = match (time_s, self.seconds, self.most) {
            (Some(time), Some(seconds), _) if seconds > 0.0 => {
                line.push_str(&format!(", {time:.1} of {seconds:.1} s of the video"));
                Some(time / seconds)
            }
            (Some(time), ..) => {
                line.push_str(&format!(", {time:.1} s into the video"));
                None
            }
            (None, _, Some(most)) if most > 0 => {
                line = format!("{pictures} of at most {most} pictures");
                Some(pictures as f64 / most as f64)
            }
            _ => None,
        };
        if let Some(share) = share.filter(|share| (LEAST_SHARE..1.0).contains(share)) {
            line.push_str(&format!(", {} left", duration(elapsed_s * (1.0 - share) / share)));
        }
        line
    }
}

/// Shows how far into a video its pictures have been looked at.
pub struct FrameCounter {
    name: &'static str,
    bar: Option<ProgressBar>,
    quiet: bool,
    total: Pictures,
    pictures: u64,
    started: Instant,
    /// When a plain line was shown.
    shown: Instant,
}

impl FrameCounter {
    /// Counts one picture, shown at `time_s` in the video.
    pub fn count(&mut self, time_s: Option<f64>) {
        if self.pictures == 0 {
            // Models are loaded before the first one.
            self.started = Instant::now();
        }
        self.pictures += 1;
        let line = || self.total.line(self.pictures, time_s, self.started.elapsed().as_secs_f64());
        if let Some(bar) = &self.bar {
            bar.set_message(line());
        } else if !self.quiet && self.shown.elapsed() >= PLAIN_INTERVAL {
            print_line(&format!("{}: {}", self.name, line()));
            self.shown = Instant::now();
        }
    }
}

impl Drop for FrameCounter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows the state of a run that another process drives.
pub struct Meter {
    progress: Progress,
    bar: Option<ProgressBar>,
    last: Mutex<Option<(jhalak_common::run::Stage, Instant)>>,
}

impl Meter {
    /// Shows a bar when stderr is a terminal, plain lines otherwise.
    pub fn new(progress: &Progress) -> Meter {
        let bar = progress.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {pos}/{len} {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
            bars.add(ProgressBar::new(0).with_style(style))
        });
        Meter { progress: progress.clone(), bar, last: Mutex::default() }
    }

    /// Shows a state. Prints a plain line at each new stage and every few seconds.
    pub fn show(&self, state: &jhalak_common::run::RunState) {
        let done = state.committed + state.quarantined;
        let mut details = Vec::new();
        details.extend(state.rate().map(|rate| {
            if rate < 1.0 { format!("{:.1} per minute", rate * 60.0) } else { format!("{rate:.1} per second") }
        }));
        details.extend(state.left_s().filter(|_| done < state.jobs).map(|s| format!("{} left", duration(s))));
        details.extend(
            state.stalled_s().map(|s| format!("no job has ended for {} (see `jhalak status --jobs`)", duration(s))),
        );
        details.extend((state.quarantined > 0).then(|| format!("{} quarantined", state.quarantined)));
        let details = details.join(", ");
        if let Some(bar) = &self.bar {
            bar.set_prefix(state.stage.name());
            bar.set_length(state.jobs as u64);
            bar.set_position(done as u64);
            bar.set_message(details);
            return;
        }
        let Ok(mut last) = self.last.lock() else { return };
        if last.is_some_and(|(stage, at)| stage == state.stage && at.elapsed() < PLAIN_INTERVAL) {
            return;
        }
        *last = Some((state.stage, Instant::now()));
        let counts = if state.jobs > 0 { format!(": {done} of {}", state.jobs) } else { String::new() };
        let details = if details.is_empty() { String::new() } else { format!(", {details}") };
        self.progress.say(&format!("{}{counts}{details}", state.stage.name()));
    }

    /// Prints one line above the bar.
    pub fn say(&self, line: &str) {
        self.progress.say(line);
    }

    /// Removes the bar.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line on stderr. A reader that has closed the pipe wants nothing more, and does not end
/// the work.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Formats seconds for people.
fn duration(seconds: f64) -> String {
    let s = seconds.ceil() as u64;
    match s {
        0..120 => format!("{s} s"),
        120..7_200 => format!("{} min", s.div_ceil(60)),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

struct LogLine {
    bars: Option<MultiProgress>,
    line: Vec<u8>,
}

impl std::io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end();
        match &self.bars {
            _ if line.is_empty() => {}
            Some(bars) => drop(bars.println(line)),
            None => print_line(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_a_video_have_a_total_and_a_late_estimate() {
        let video = Pictures { seconds: Some(100.0), most: Some(250) };
        assert_eq!(video.line(10, Some(4.0), 8.0), "10 pictures, 4.0 of 100.0 s of the video");
        assert_eq!(video.line(50, Some(20.0), 8.0), "50 pictures, 20.0 of 100.0 s of the video, 32 s left");
        assert_eq!(video.line(125, None, 60.0), "125 of at most 250 pictures, 60 s left");
        assert_eq!(video.line(300, None, 60.0), "300 of at most 250 pictures");
        assert_eq!(Pictures::default().line(7, Some(1.5), 3.0), "7 pictures, 1.5 s into the video");
        assert_eq!(Pictures::default().line(7, None, 3.0), "7 pictures");
    }
}
