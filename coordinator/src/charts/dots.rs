//! Dots with intervals, many rows on one axis: for figures that are compared by eye.

use super::axis::Axis;
use super::markup::{coordinate, escape};
use super::{Chart, Numbers, colour};

/// A figure and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    /// The figure.
    pub value: f64,
    /// Its interval, if known.
    pub interval: Option<[f64; 2]>,
}

/// A row: one dot for each series, where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct DotRow {
    /// The name of the row.
    pub name: String,
    /// Set off from the other rows, as baselines are.
    pub soft: bool,
    /// As many as the chart has series.
    pub dots: Vec<Option<Dot>>,
}

/// The rows and series of a chart.
#[derive(Debug, Clone)]
pub struct Dots {
    /// The heading.
    pub title: String,
    /// A description of the chart, with its units.
    pub note: String,
    /// The names of the series.
    pub series: Vec<String>,
    /// A mark through all rows for each series, such as the figure of a baseline.
    pub marks: Vec<Option<f64>>,
    /// The rows, in the order in which they are drawn.
    pub rows: Vec<DotRow>,
    /// Formats a figure.
    pub format: fn(f64) -> String,
}

impl Dots {
    /// Draws the chart.
    pub fn chart(&self) -> Chart {
        let dots = || self.rows.iter().flat_map(|row| row.dots.iter().flatten());
        let ends = dots().flat_map(|dot| [Some(dot.value), dot.interval.map(|i| i[0]), dot.interval.map(|i| i[1])]);
        let axis = Axis::around(ends.chain(self.marks.iter().copied()).flatten());
        let at = |value: f64| coordinate(100.0 * axis.place(value));
        let mut picture =
            format!("<div class=\"dots\" style=\"--series:{}\"><span class=\"name\"></span>", self.series.len());
        picture += "<span class=\"axis\">";
        for tick in &axis.ticks {
            picture += &format!("<span style=\"left:{}%\">{}</span>", at(*tick), escape(&(self.format)(*tick)));
        }
        picture += "</span><span class=\"value\"></span>";
        for row in &self.rows {
            let soft = if row.soft { " soft" } else { "" };
            picture += &format!("<span class=\"name{soft}\">{}</span><span class=\"track\">", escape(&row.name));
            for tick in &axis.ticks {
                picture += &format!("<i class=\"tick\" style=\"left:{}%\"></i>", at(*tick));
            }
            for (place, mark) in self.marks.iter().enumerate() {
                if let Some(mark) = mark {
                    picture += &format!("<i class=\"mark {}\" style=\"left:{}%\"></i>", colour(place), at(*mark));
                }
            }
            let mut values = String::new();
            for (place, dot) in row.dots.iter().enumerate() {
                let (class, y) = (colour(place), place);
                match dot {
                    Some(dot) => {
                        if let Some([low, high]) = dot.interval {
                            let (from, to) = (100.0 * axis.place(low), 100.0 * axis.place(high));
                            picture += &format!(
                                "<i class=\"interval {class}\" style=\"--y:{y};left:{}%;width:{}%\"></i>",
                                coordinate(from),
                                coordinate(to - from)
                            );
                        }
                        picture += &format!("<i class=\"dot {class}\" style=\"--y:{y};left:{}%\"></i>", at(dot.value));
                        values += &format!("<span class=\"{class}\">{}</span>", escape(&(self.format)(dot.value)));
                    }
                    None => values += "<span class=\"none\">–</span>",
                }
            }
            picture += &format!("</span><span class=\"value\">{values}</span>");
        }
        picture += "</div>";
        let mut head = vec!["Row".to_owned()];
        head.extend(self.series.iter().flat_map(|name| [name.clone(), format!("{name}, interval")]));
        let cells = |dot: &Option<Dot>| match dot {
            None => ["–".to_owned(), "–".to_owned()],
            Some(dot) => {
                let ends = dot.interval.map(|ends| ends.map(self.format).join(" to "));
                [(self.format)(dot.value), ends.unwrap_or_else(|| "–".to_owned())]
            }
        };
        let numbers = self
            .rows
            .iter()
            .map(|row| std::iter::once(row.name.clone()).chain(row.dots.iter().flat_map(cells)).collect());
        Chart {
            title: self.title.clone(),
            note: self.note.clone(),
            label: format!(
                "{}: {} rows with dots and intervals; the numbers are in the table below.",
                self.title,
                self.rows.len()
            ),
            picture,
            key: self.series.iter().enumerate().map(|(place, name)| (colour(place), name.clone())).collect(),
            numbers: Numbers::unstated(head, numbers.collect()),
        }
    }
}
