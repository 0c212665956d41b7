//! Text and numbers in HTML.

/// Escapes text for elements and quoted attributes. Control characters become U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            c if c.is_control() && c != '\n' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Formats a coordinate or a percentage with two decimals; what is not finite becomes 0.
pub(super) fn coordinate(value: f64) -> String {
    format!("{:.2}", if value.is_finite() { value } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_holds_no_markup() {
        assert_eq!(escape("<a href='x\"y'>&\u{1b}"), "&lt;a href=&#x27;x&quot;y&#x27;&gt;&amp;\u{FFFD}");
        assert_eq!((coordinate(f64::NAN), coordinate(1.005e2)), ("0.00".to_owned(), "100.50".to_owned()));
    }
}
