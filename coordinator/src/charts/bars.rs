//! Horizontal bars from 0.

use super::markup::{coordinate, escape};
use super::{Chart, Numbers};

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// Its length; negative and not finite ones are drawn as 0.
    pub length: f64,
    /// The value as text.
    pub value: String,
}

/// Charts bars; the longest fills its track, unless `full` names a longer length. `unit` heads the
/// numbers.
pub fn bars(title: &str, note: &str, unit: &str, full: f64, bars: &[Bar]) -> Chart {
    let most = bars.iter().map(|bar| bar.length).filter(|length| length.is_finite()).fold(full, f64::max);
    let mut picture = String::from("<div class=\"hbars\">");
    for bar in bars {
        let share = if most > 0.0 { 100.0 * bar.length.max(0.0) / most } else { 0.0 };
        picture += &format!(
            "<span class=\"name\"><bdi>{}</bdi></span><span class=\"track\"><i style=\"width:{}%\"></i></span><span class=\"value\">{}</span>",
            escape(&bar.name),
            coordinate(share),
            escape(&bar.value)
        );
    }
    picture += "</div>";
    let rows = bars.iter().map(|bar| vec![bar.name.clone(), bar.value.clone()]).collect();
    let label = format!("{title}: {} bars; the numbers are in the table below.", bars.len());
    Chart {
        title: title.to_owned(),
        note: note.to_owned(),
        label,
        picture,
        key: Vec::new(),
        numbers: Numbers { head: vec![String::from("What"), unit.to_owned()], rows, is_printed: false },
    }
}
