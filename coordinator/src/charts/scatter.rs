//! A map of named points. Labels are placed where they cover no other label: some on wide screens
//! only.

use super::markup::{coordinate, escape};
use super::{Chart, Numbers, colour};

/// The width of the map in CSS pixels on paper, which is the narrowest that shows the labels of a
/// wide screen, and on a phone.
const WIDTHS: [f64; 2] = [670.0, 330.0];
/// Its height by its width.
const RATIO: f64 = 0.62;
/// The size of a letter and of a line of text, in CSS pixels.
const LETTER: f64 = 6.6;
const LINE: f64 = 15.0;
/// The largest number of letters of a label.
const MAX_LETTERS: usize = 26;

/// One point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub name: String,
    /// The place of its category in the key.
    pub category: usize,
    /// Its coordinates, in any unit.
    pub at: [f64; 2],
}

/// Charts points in their categories.
pub fn scatter(title: &str, note: &str, categories: &[String], points: &[Point]) -> Chart {
    let range = |of: usize| {
        let values = || points.iter().map(|point| point.at[of]).filter(|value| value.is_finite());
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        move |value: f64| if high > low { (0.05 + 0.9 * (value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.5 }
    };
    let (x, y) = (range(0), range(1));
    let places: Vec<[f64; 2]> = points.iter().map(|point| [x(point.at[0]), 1.0 - y(point.at[1])]).collect();
    let names: Vec<String> = points.iter().map(|point| shortened(&point.name)).collect();
    let [wide, narrow] = WIDTHS.map(|width| labelled(&places, &names, width));
    let mut picture = String::from("<div class=\"map\">");
    for (place, point) in points.iter().enumerate() {
        let [left, top] = places[place].map(|share| coordinate(100.0 * share));
        let class = colour(point.category);
        picture += &format!("<i class=\"{class}\" style=\"left:{left}%;top:{top}%\"></i>");
        if wide[place] || narrow[place] {
            let mut class = if places[place][0] > 0.6 { String::from("before") } else { String::from("after") };
            class += match (wide[place], narrow[place]) {
                (true, false) => " only-wide",
                (false, true) => " only-narrow",
                _ => "",
            };
            picture += &format!(
                "<span class=\"{class}\" style=\"left:{left}%;top:{top}%\"><bdi>{}</bdi></span>",
                escape(&names[place])
            );
        }
    }
    picture += "</div>";
    let rows = points.iter().map(|point| {
        let category = categories.get(point.category).cloned().unwrap_or_default();
        vec![point.name.clone(), category, format!("{:.3}", point.at[0]), format!("{:.3}", point.at[1])]
    });
    let key = categories.iter().enumerate().filter(|(place, _)| points.iter().any(|point| point.category == *place));
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        label: format!("{title}: {} points; the numbers are in the table below.", points.len()),
        picture,
        key: key.map(|(place, name)| (colour(place), name.clone())).collect(),
        numbers: Numbers {
            head: ["Name", "Group", "Across", "Up"].map(str::to_owned).to_vec(),
            rows: rows.collect(),
            is_printed: false,
        },
    }
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= MAX_LETTERS {
        return name.to_owned();
    }
    name.chars().take(MAX_LETTERS - 1).collect::<String>().trim_end().to_owned() + "…"
}

/// Returns which labels fit on a map of this width, in the order of the points.
fn labelled(places: &[[f64; 2]], names: &[String], width: f64) -> Vec<bool> {
    let mut taken: Vec<[f64; 4]> = places
        .iter()
        .map(|[x, y]| [x * width - 5.0, y * width * RATIO - 5.0, x * width + 5.0, y * width * RATIO + 5.0])
        .collect();
    let mut shown = Vec::with_capacity(places.len());
    for (place, ([x, y], name)) in places.iter().zip(names).enumerate() {
        let (x, y, long) = (x * width, y * width * RATIO, name.chars().count() as f64 * LETTER);
        let (left, right) = if x > 0.6 * width { (x - 8.0 - long, x - 8.0) } else { (x + 8.0, x + 8.0 + long) };
        let own = [left, y - LINE / 2.0, right, y + LINE / 2.0];
        let apart =
            |other: &[f64; 4]| own[2] <= other[0] || own[0] >= other[2] || own[3] <= other[1] || own[1] >= other[3];
        let fits = left >= 0.0
            && right <= width
            && taken.iter().enumerate().all(|(other, edges)| other == place || apart(edges));
        if fits {
            taken.push(own);
        }
        shown.push(fits);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cover_neither_labels_nor_points() {
        let names: Vec<String> = (0..60).map(|n| format!("a film with the name {n}")).collect();
        let places: Vec<[f64; 2]> = (0..60).map(|n| [f64::from(n % 8) / 8.0, f64::from(n / 8) / 8.0]).collect();
        let shown = labelled(&places, &names, 330.0);
        let count = shown.iter().filter(|shown| **shown).count();
        assert!(count > 0 && count < 60, "{count}");
        assert_eq!(labelled(&[[0.5, 0.5], [0.5, 0.5]], &["one".into(), "two".into()], 800.0), [true, false]);
    }
}
