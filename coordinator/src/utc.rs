//! Times as people read them.

use jiff::Timestamp;

/// Returns a time to the second: `2026-11-30 22:57:49 UTC`.
pub fn to_the_second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Returns the time in an RFC 3339 text as [`to_the_second`] does, and any other text as it is.
pub fn of_text(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), to_the_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second_in_utc() {
        assert_eq!(of_text("2026-11-30T22:57:49.123456789Z"), "2026-11-30 22:57:49 UTC");
        assert_eq!(of_text("2026-12-01T00:30:00+05:30"), "2026-11-30 19:00:00 UTC");
        assert_eq!(of_text("not yet"), "not yet");
    }
}
