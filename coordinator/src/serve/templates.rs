//! The templates of the pages, compiled once.

use jhalak_common::counted::count;
use jhalak_common::{Error, Result};
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::signed::{decimal, signed};

/// Every template by its name. The file extension enables escaping.
const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("templates/base.html")),
    ("parts.html", include_str!("templates/parts.html")),
    ("failure.html", include_str!("templates/failure.html")),
    ("sign_in.html", include_str!("templates/sign_in.html")),
    ("runs.html", include_str!("templates/runs.html")),
    ("run.html", include_str!("templates/run.html")),
    ("live.html", include_str!("templates/live.html")),
    ("compare.html", include_str!("templates/compare.html")),
    ("trailers.html", include_str!("templates/trailers.html")),
    ("trailer.html", include_str!("templates/trailer.html")),
    ("of_trailer.html", include_str!("templates/of_trailer.html")),
    ("neighbours.html", include_str!("templates/neighbours.html")),
    ("neighbours_part.html", include_str!("templates/neighbours_part.html")),
    ("audience.html", include_str!("templates/audience.html")),
    ("audience_part.html", include_str!("templates/audience_part.html")),
    ("quarantine.html", include_str!("templates/quarantine.html")),
    ("recommend.html", include_str!("templates/recommend.html")),
    ("upload.html", include_str!("templates/upload.html")),
];

/// The characters that need no escape within one segment of a path or one value of a query.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The compiled templates.
pub struct Templates(Environment<'static>);

impl Templates {
    /// Compiles the templates.
    ///
    /// # Errors
    /// Bug for a template that does not compile.
    pub fn new() -> Result<Templates> {
        let mut environment = Environment::new();
        // An unknown name in a template is an error, not an empty string.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        environment.add_filter("segment", |text: String| segment(&text));
        environment.add_filter("count", count);
        environment.add_filter("percent", |share: f64| format!("{:.1}", 100.0 * share));
        environment.add_filter("points", |share: f64| signed(100.0 * share, 1));
        environment.add_filter("signed", signed);
        environment.add_filter("decimals", decimal);
        environment.add_filter("bytes", bytes);
        environment.add_filter("duration", duration);
        environment.add_filter("clock", clock);
        environment.add_filter("utc", |text: String| crate::utc::of_text(&text));
        for (name, text) in TEMPLATES {
            environment.add_template(name, text).map_err(|e| broken(name, e))?;
        }
        Ok(Templates(environment))
    }

    /// Renders a template.
    ///
    /// # Errors
    /// Bug where the template does not match the value.
    pub fn render<T: Serialize>(&self, name: &str, value: Serde<&T>) -> Result<String> {
        let template = self.0.get_template(name).map_err(|e| broken(name, e))?;
        template.render(value).map_err(|e| broken(name, e))
    }
}

fn broken(name: &str, error: minijinja::Error) -> Error {
    Error::bug(format!("the template {name} cannot be rendered")).with_source(error)
}

/// Returns `text` as one segment of a path or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Returns a size in a unit of its own: `1.4 MB`.
fn bytes(size: u64) -> String {
    let mut value = size as f64;
    for unit in ["bytes", "kB", "MB", "GB"] {
        if value < 1000.0 {
            return if unit == "bytes" { format!("{size} bytes") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

/// Returns a time in seconds as people say it: `42 s`, `3 min 20 s`, `2 h 5 min`.
fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..172_800 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} days", whole / 86_400),
    }
}

/// Returns a position in a video: `1:02.5`.
fn clock(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sizes_and_times_are_shown_in_short() {
        assert_eq!((count(7).as_str(), count(1234567).as_str()), ("7", "1,234,567"));
        assert_eq!((bytes(999).as_str(), bytes(1_400_000).as_str()), ("999 bytes", "1.4 MB"));
        assert_eq!((duration(59.4).as_str(), duration(200.0).as_str()), ("59 s", "3 min 20 s"));
        assert_eq!((clock(0.0).as_str(), clock(62.54).as_str()), ("0:00.0", "1:02.5"));
    }

    #[test]
    fn templates_compile_and_a_title_with_a_script_is_escaped() {
        let templates = Templates::new().expect("every template compiles");
        let value = serde_json::json!({ "version": "0", "page": { "status": 404, "reason": "Not found", "message": "<script>alert(1)</script>" } });
        let html = templates.render("failure.html", Serde(&value)).expect("it matches");
        assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script>alert"), "{html}");
        assert_eq!(segment("a b/?<é>"), "a%20b%2F%3F%3C%C3%A9%3E");
    }
}
