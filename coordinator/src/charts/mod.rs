//! Charts as HTML and SVG, without a script, in the colours of the page's scheme. Each has its
//! numbers in a table, for screen readers and for copying.
//!
//! Rows of text are HTML, so that they keep their size on a phone; only curves are SVG. The classes
//! are styled by [`STYLE`], which expects the variables of the page's palette.

mod axis;
mod bars;
mod dots;
mod lines;
mod markup;
mod scatter;
mod timeline;

pub use bars::{Bar, bars};
pub use dots::{Dot, DotRow, Dots};
pub use lines::{Line, Lines};
pub use markup::escape;
pub use scatter::{Point, scatter};
pub use timeline::{Marks, Timeline};

/// The style sheet of all charts.
pub const STYLE: &str = include_str!("charts.css");

/// Colours for series and categories: classes `c0` to `c7`. What comes after them shares the last.
pub const COLOURS: usize = 8;

/// A chart: its picture, described in one sentence, and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The heading.
    pub title: String,
    /// A description of the chart, with its units: a sentence or two.
    pub note: String,
    /// The description that stands for the picture.
    pub label: String,
    /// The picture as HTML.
    pub picture: String,
    /// Names of the series by colour class; empty where the picture needs no key.
    pub key: Vec<(String, String)>,
    /// The numbers.
    pub numbers: Numbers,
}

/// The numbers of a chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Numbers {
    /// The heads of the columns; the first names the rows.
    pub head: Vec<String>,
    /// The rows, each as long as the head.
    pub rows: Vec<Vec<String>>,
    /// Whether the table is on paper too: the picture does not state these numbers.
    pub is_printed: bool,
}

impl Chart {
    /// Returns the chart as a `figure` element, with its key and its numbers folded away.
    pub fn figure(&self) -> String {
        let mut html = String::from("<figure class=\"chart\"><figcaption>");
        html += &format!("<strong>{}</strong>", escape(&self.title));
        if !self.note.is_empty() {
            html += &format!(" <span>{}</span>", escape(&self.note));
        }
        html += "</figcaption>";
        if !self.key.is_empty() {
            html += "<ul class=\"chart-key\">";
            for (class, name) in &self.key {
                html += &format!("<li><i class=\"{}\"></i>{}</li>", escape(class), escape(name));
            }
            html += "</ul>";
        }
        html += &format!("<div role=\"img\" aria-label=\"{}\">{}</div>", escape(&self.label), self.picture);
        html += &self.numbers.folded(&self.title);
        html += "</figure>";
        html
    }
}

/// Longer tables of numbers that the picture does not state are left out on paper.
const MAX_PRINTED: usize = 12;

impl Numbers {
    /// Returns the numbers of a picture that does not state them: a short table is on paper too.
    fn unstated(head: Vec<String>, rows: Vec<Vec<String>>) -> Numbers {
        Numbers { is_printed: rows.len() <= MAX_PRINTED, head, rows }
    }

    /// Returns the table inside a closed `details` element.
    fn folded(&self, title: &str) -> String {
        let title = escape(title);
        let printed = if self.is_printed { " printed" } else { "" };
        let mut html = format!(
            "<details class=\"numbers{printed}\"><summary>Numbers<span class=\"unseen\"> of {title}</span></summary>\
             <div class=\"wide\" role=\"group\" aria-label=\"Numbers: {title}\" tabindex=\"0\"><table><thead><tr>"
        );
        for (place, name) in self.head.iter().enumerate() {
            let class = if place == 0 { "" } else { " class=\"number\"" };
            html += &format!("<th scope=\"col\"{class}>{}</th>", escape(name));
        }
        html += "</tr></thead><tbody>";
        for row in &self.rows {
            html += "<tr>";
            for (place, cell) in row.iter().enumerate() {
                html += &match place {
                    0 => format!("<th scope=\"row\"><bdi>{}</bdi></th>", escape(cell)),
                    _ => format!("<td class=\"number\">{}</td>", escape(cell)),
                };
            }
            html += "</tr>";
        }
        html += "</tbody></table></div></details>";
        html
    }
}

/// Returns the class of the colour at this place.
pub fn colour(place: usize) -> String {
    format!("c{}", place.min(COLOURS - 1))
}
