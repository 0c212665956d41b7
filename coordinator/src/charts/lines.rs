//! Curves over a numeric axis.

use super::axis::Axis;
use super::markup::{coordinate, escape};
use super::{Chart, Numbers, colour};

/// The size of the drawing in CSS pixels: it is never shown larger, and smaller only on the
/// narrowest phones, so that its text keeps its size.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 220.0;
/// The room for the axes, in the same units.
const LEFT: f64 = 40.0;
const BOTTOM: f64 = 36.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 12.0;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name in the key.
    pub name: String,
    /// The place of its colour.
    pub colour: usize,
    /// Drawn with dashes.
    pub dashed: bool,
    /// Drawn with a dot at each point.
    pub dotted: bool,
    /// Its points, in ascending order of x.
    pub points: Vec<[f64; 2]>,
}

/// The curves of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// The heading.
    pub title: String,
    /// A description of the chart.
    pub note: String,
    /// The quantities of the axes.
    pub axes: [String; 2],
    /// Values that the axes hold in any case.
    pub holds: [Vec<f64>; 2],
    /// Whether a line of equal x and y is drawn.
    pub diagonal: bool,
    /// The curves.
    pub lines: Vec<Line>,
}

impl Lines {
    /// Draws the chart.
    pub fn chart(&self) -> Chart {
        let all = |of: usize| {
            let points = self.lines.iter().flat_map(move |line| line.points.iter().map(move |point| point[of]));
            points.chain(self.holds[of].iter().copied())
        };
        let (x_axis, y_axis) = (Axis::around(all(0)), Axis::around(all(1)));
        let x = |value: f64| LEFT + x_axis.place(value) * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - y_axis.place(value) * (HEIGHT - BOTTOM - TOP);
        let mut svg = format!("<svg class=\"lines\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-hidden=\"true\">");
        for tick in &y_axis.ticks {
            let (at, text) = (coordinate(y(*tick)), y_axis.text(*tick));
            svg += &format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\"/>", WIDTH - RIGHT);
            svg +=
                &format!("<text x=\"{}\" y=\"{}\" class=\"end\">{text}</text>", LEFT - 6.0, coordinate(y(*tick) + 4.0));
        }
        for tick in &x_axis.ticks {
            let text = x_axis.text(*tick);
            svg += &format!(
                "<text x=\"{}\" y=\"{}\" class=\"middle\">{text}</text>",
                coordinate(x(*tick)),
                HEIGHT - BOTTOM + 15.0
            );
        }
        svg += &format!(
            "<text x=\"{}\" y=\"{}\" class=\"middle title\">{}</text>",
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 5.0,
            escape(&self.axes[0])
        );
        if self.diagonal {
            let (low, high) = (x_axis.low.max(y_axis.low), x_axis.high.min(y_axis.high));
            svg += &format!(
                "<line class=\"diagonal\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
                coordinate(x(low)),
                coordinate(y(low)),
                coordinate(x(high)),
                coordinate(y(high))
            );
        }
        for line in &self.lines {
            let class = colour(line.colour);
            let points: Vec<String> =
                line.points.iter().map(|[a, b]| format!("{},{}", coordinate(x(*a)), coordinate(y(*b)))).collect();
            let dashed = if line.dashed { " dashed" } else { "" };
            svg += &format!("<polyline class=\"{class}{dashed}\" points=\"{}\"/>", points.join(" "));
            if line.dotted {
                for [a, b] in &line.points {
                    svg += &format!(
                        "<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"3\"/>",
                        coordinate(x(*a)),
                        coordinate(y(*b))
                    );
                }
            }
        }
        svg += "</svg>";
        let key = self.lines.iter().filter(|line| !line.name.is_empty()).map(|line| {
            (format!("{}{}", colour(line.colour), if line.dashed { " dashed" } else { "" }), line.name.clone())
        });
        let mut key: Vec<(String, String)> = key.collect();
        key.dedup();
        let rows = self.lines.iter().flat_map(|line| {
            let row = |[a, b]: &[f64; 2]| vec![line.name.clone(), format!("{a:.3}"), format!("{b:.4}")];
            line.points.iter().map(row)
        });
        Chart {
            title: self.title.clone(),
            note: format!("{} Upwards: {}.", self.note, self.axes[1]).trim_start().to_owned(),
            label: format!("{}: {} curves; the numbers are in the table below.", self.title, self.lines.len()),
            picture: svg,
            key,
            numbers: Numbers::unstated(
                vec!["Curve".to_owned(), self.axes[0].clone(), self.axes[1].clone()],
                rows.collect(),
            ),
        }
    }
}
