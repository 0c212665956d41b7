//! Removing secrets from URLs.
//!
//! A URL that is mistyped may hold a password anywhere: of a location that cannot be read as one
//! way only, nothing after the scheme is shown, and nothing of it is looked up as a host.

/// Whether `url` contains a password.
pub fn has_password(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|parsed| parsed.password().is_some())
}

/// Whether the user, the password and the host of `url` are where they seem to be. An `@`, `/`, `?`
/// or `#` of a password must be written as %40, %2F, %3F and %23, or the URL means another host.
pub fn is_unambiguous(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    authority.matches('@').count() <= 1 && !path.contains('@') && !authority.contains(char::is_whitespace)
}

/// Returns `url` without user, password and query, for logs and reports.
pub fn redact_url(url: &str) -> String {
    match url::Url::parse(url) {
        Ok(mut parsed) if parsed.has_authority() && is_unambiguous(url) => {
            // Both fail only for URLs that cannot have credentials.
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.set_query(None);
            parsed.set_fragment(None);
            parsed.to_string()
        }
        _ if url == "memory:" => url.to_string(),
        _ => "(a URL that cannot be read)".to_string(),
    }
}

/// Returns a store's or queue's location for a message about a mistake in it: whole if it cannot
/// hold a secret, else its scheme alone.
pub fn shown_location(location: &str) -> String {
    // A path, or a location of an object: nothing in it separates a user from a password.
    let plain = |text: &str| !text.contains(['@', ':', '?', '#', '=']) && !text.trim_start_matches('/').contains("//");
    let is_plain = match location.split_once("://") {
        Some(("s3" | "file", rest)) => plain(rest),
        Some(_) => false,
        None => plain(location),
    };
    if is_plain {
        return location.escape_debug().to_string();
    }
    let scheme = location.split(':').next().unwrap_or_default();
    let is_scheme = scheme.len() < location.len()
        && ["amqp", "amqps", "s3", "http", "https", "file", "memory"].contains(&scheme.to_ascii_lowercase().as_str());
    match is_scheme {
        true => format!("{scheme}:... (the rest may hold a password and is not shown)"),
        false => "(not shown: it may hold a password)".to_string(),
    }
}

/// Whether a location without a scheme can only be meant as a path: a mistyped URL would become a
/// folder whose name holds a password.
pub fn is_path(location: &str) -> bool {
    location.starts_with(['/', '.', '~'])
        || !(location.contains(':') || location.contains('@') || location.contains("//"))
}

/// Returns a text of another program, such as a parser that quotes its input, without what may hold
/// a password: values of a wrong type, and quoted texts and words that look like parts of a URL.
pub fn redact_text(text: &str) -> String {
    const HIDDEN: &str = "(not shown: it may hold a password)";
    let hide = |part: &str| part.contains('@') || part.contains("://");
    let words = |plain: &str| {
        let words: Vec<&str> = plain.split(' ').map(|word| if hide(word) { HIDDEN } else { word }).collect();
        words.join(" ")
    };
    let line = |line: &str| {
        let mut out = String::new();
        let quotes = line.matches('"').count();
        // Odd parts are inside quotes; the last one may not be closed.
        for (n, part) in line.split('"').enumerate() {
            let is_value = out.ends_with("string ") || out.ends_with("character ");
            match n % 2 == 1 {
                true if is_value || hide(part) => out.push_str(HIDDEN),
                true if n == quotes => out.push_str(&format!("\"{part}")),
                true => out.push_str(&format!("\"{part}\"")),
                false => out.push_str(&words(part)),
            }
        }
        out
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_redacted_url_holds_no_user_password_or_query() {
        for (url, expected) in [
            ("amqp://user:s3cret@broker:5672/v", "amqp://broker:5672/v"),
            ("amqps://user:s3cret@broker/%2f?heartbeat=7&token=s3cret", "amqps://broker/%2f"),
            ("memory:", "memory:"),
            ("amqp:user:s3cret", "(a URL that cannot be read)"),
            ("user:s3cret@broker", "(a URL that cannot be read)"),
            ("", "(a URL that cannot be read)"),
            // A password with special characters as they are: the host would be another.
            ("amqp://user:1/s3cret@broker", "(a URL that cannot be read)"),
            ("amqp://user:s3@cret@broker", "(a URL that cannot be read)"),
            ("amqp://user:1?s3cret@broker", "(a URL that cannot be read)"),
            ("amqp://user:1#s3cret@broker", "(a URL that cannot be read)"),
        ] {
            assert_eq!(redact_url(url), expected, "{url}");
        }
    }

    #[test]
    fn plain_locations_are_shown_and_mistyped_ones_are_not() {
        for location in ["/data/films", ".local/store", "films", "s3://bucket/prefix", "file:///data/films"] {
            assert_eq!(shown_location(location), location);
        }
        for location in [
            "amqp//user:s3cret",
            "memory:s3cret",
            "S3://bucket?secret=s3cret",
            "s3://AKIA:s3cret",
            "minio:s3cret",
            "s3//key:s3cret",
            "https://u:s3cret@h/x",
            "file://key:s3cret@/x",
        ] {
            assert!(!shown_location(location).contains("s3cret"), "{location}");
            assert!(!is_path(location) || location.contains("://"), "{location}");
        }
        assert!(is_path("/data/a:b") && is_path("films") && is_path("./a@b"));
        let shown = redact_text("invalid type: string \"amqp://u:s3cret@h\", expected a map");
        assert!(!shown.contains("s3cret") && shown.contains("expected a map"), "{shown}");
        for (text, kept) in [
            ("invalid type: string \"s3cret\", expected an integer for key `rabbitmq.heartbeat_s`", "heartbeat_s"),
            ("queue = \"amqp://u:my s3cret word@h\"", "queue = "),
            ("1 | queue = \"amqp://u:my s3cret word@h", "1 | queue = "),
            ("unknown field `amqp://u:s3cret@h`, expected `store`", "expected `store`"),
        ] {
            let shown = redact_text(text);
            assert!(!shown.contains("s3cret") && shown.contains(kept), "{shown}");
        }
        assert_eq!(redact_text("expected `\"` in \"a file\""), "expected `\"` in \"a file\"");
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_is_shown(
            scheme in "(amqp|amqps|s3|http|https|file|)(://|:/|//|:|)",
            password in "[A-Z]{3}[a-zA-Z0-9@/?#:%\\\\ ]{0,8}[A-Z]{3}",
        ) {
            let url = format!("{scheme}user:{password}@broker:5672/x");
            for shown in [redact_url(&url), shown_location(&url)] {
                prop_assert!(!shown.contains(&password[..3]) && !shown.contains(&password[password.len() - 3..]), "{shown}");
            }
        }
    }
}
