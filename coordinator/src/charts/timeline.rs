//! Draws a video over time: a curve with its threshold, bands between cuts, the sound, and
//! rows of marks, all over one axis of seconds.

use super::axis::Axis;
use super::markup::{coordinate, escape};
use super::{Chart, Numbers, colour};

/// Most points of a drawn curve: the highest value of each stretch is kept.
const MAX_POINTS: usize = 600;

/// A row of marks.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// Its name.
    pub name: String,
    /// Times in seconds.
    pub times_s: Vec<f64>,
}

/// The contents of the chart. Times are in seconds from the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timeline {
    /// The heading.
    pub title: String,
    /// The length of the video.
    pub duration_s: f64,
    /// The value of each frame, at equal distances over the duration.
    pub curve: Vec<f64>,
    /// A line across the curve.
    pub threshold: Option<f64>,
    /// First and last second of each band.
    pub bands: Vec<[f64; 2]>,
    /// The loudest sample of equal stretches, from 0 to 1; empty without sound.
    pub sound: Vec<f64>,
    /// Rows of marks.
    pub marks: Vec<Marks>,
}

impl Timeline {
    /// Draws the chart.
    pub fn chart(&self) -> Chart {
        let duration = if self.duration_s > 0.0 { self.duration_s } else { 1.0 };
        let percent = |seconds: f64| coordinate((100.0 * seconds / duration).clamp(0.0, 100.0));
        let mut picture = String::from("<div class=\"timeline\">");
        if !self.curve.is_empty() {
            picture += &format!(
                "<span class=\"name\">change</span><span class=\"track curve\">{}</span>",
                self.scores(duration)
            );
        }
        if !self.sound.is_empty() {
            picture += &format!("<span class=\"name\">sound</span><span class=\"track sound\">{}</span>", self.wave());
        }
        for (place, row) in self.marks.iter().enumerate() {
            picture += &format!("<span class=\"name\">{}</span><span class=\"track marks\">", escape(&row.name));
            for time in &row.times_s {
                picture += &format!("<i class=\"{}\" style=\"left:{}%\"></i>", colour(place), percent(*time));
            }
            picture += "</span>";
        }
        picture += "<span class=\"name\"></span><span class=\"axis\">";
        let axis = Axis::around([0.0, duration]);
        for tick in axis.ticks.iter().filter(|tick| **tick <= duration) {
            picture += &format!("<span style=\"left:{}%\">{} s</span>", percent(*tick), axis.text(*tick));
        }
        picture += "</span></div>";
        Chart {
            title: self.title.clone(),
            note: String::new(),
            label: format!("{}: {:.1} seconds; the numbers are in the table below.", self.title, self.duration_s),
            picture,
            key: Vec::new(),
            numbers: self.numbers(),
        }
    }

    fn scores(&self, duration: f64) -> String {
        let stretch = self.curve.len().div_ceil(MAX_POINTS).max(1);
        let top = self.curve.iter().copied().chain(self.threshold).filter(|v| v.is_finite()).fold(1e-9, f64::max);
        let y = |value: f64| coordinate(98.0 - 94.0 * (value / top).clamp(0.0, 1.0));
        let mut svg = String::from("<svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        for (place, [from, to]) in self.bands.iter().enumerate() {
            let (from, to) = (1000.0 * from / duration, 1000.0 * to / duration);
            let class = if place % 2 == 0 { "band" } else { "band other" };
            svg += &format!(
                "<rect class=\"{class}\" x=\"{}\" y=\"0\" width=\"{}\" height=\"100\"/>",
                coordinate(from),
                coordinate((to - from).max(0.0))
            );
            if place > 0 {
                svg += &format!("<line class=\"cut\" x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"100\"/>", coordinate(from));
            }
        }
        if let Some(threshold) = self.threshold {
            svg += &format!("<line class=\"threshold\" x1=\"0\" x2=\"1000\" y1=\"{0}\" y2=\"{0}\"/>", y(threshold));
        }
        let highest = |part: &[f64]| part.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        let points = self.curve.chunks(stretch).enumerate().map(|(place, part)| {
            let x = 1000.0 * (place * stretch) as f64 / self.curve.len() as f64;
            format!("{},{}", coordinate(x), y(highest(part)))
        });
        svg += &format!("<polyline class=\"c0\" points=\"{}\"/></svg>", points.collect::<Vec<_>>().join(" "));
        svg
    }

    fn wave(&self) -> String {
        let width = 1000.0 / self.sound.len() as f64;
        let mut path = String::new();
        for (place, peak) in self.sound.iter().enumerate() {
            let high = 48.0 * peak.clamp(0.0, 1.0);
            path += &format!(
                "M{} {}V{}",
                coordinate((place as f64 + 0.5) * width),
                coordinate(50.0 - high),
                coordinate(50.5 + high)
            );
        }
        format!(
            "<svg viewBox=\"0 0 1000 100\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path class=\"c2\" d=\"{path}\"/></svg>"
        )
    }

    fn numbers(&self) -> Numbers {
        let mut rows: Vec<Vec<String>> = Vec::new();
        for (place, [from, to]) in self.bands.iter().enumerate() {
            rows.push(vec![format!("scene {}", place + 1), format!("{from:.2}"), format!("{to:.2}")]);
        }
        for row in &self.marks {
            for (place, time) in row.times_s.iter().enumerate() {
                rows.push(vec![format!("{}, keyframe {}", row.name, place + 1), format!("{time:.2}"), "–".to_owned()]);
            }
        }
        Numbers { head: ["What", "from s", "to s"].map(str::to_owned).to_vec(), rows, is_printed: false }
    }
}
