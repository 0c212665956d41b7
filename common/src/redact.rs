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

/// What stands in the place of a text that may hold a password.
const HIDDEN: &str = "(not shown: it may hold a password)";

/// Schemes of stores, queues and servers: what follows one of them is a location, however it is
/// written.
const SCHEMES: [&str; 27] = [
    "abfs", "abfss", "amqp", "amqps", "az", "azure", "file", "ftp", "ftps", "gcs", "gs", "hdfs", "http", "https",
    "memory", "minio", "oss", "r2", "redis", "s3", "s3a", "s3n", "scp", "sftp", "ssh", "swift", "wasb",
];

fn is_known_scheme(word: &str) -> bool {
    SCHEMES.contains(&word.to_ascii_lowercase().as_str())
}

/// Returns a store's or queue's location for a message about a mistake in it: whole if it cannot
/// hold a secret, else its scheme alone.
pub fn shown_location(location: &str) -> String {
    // A path, or a location of an object: nothing in it separates a user from a password.
    let plain = |text: &str| !text.contains(['@', ':', '?', '#', '=']) && !text.trim_start_matches('/').contains("//");
    let is_plain = match location.split_once("://") {
        Some((scheme, rest)) => is_known_scheme(scheme) && !scheme.starts_with("amqp") && plain(rest),
        None => plain(location),
    };
    if is_plain {
        return location.escape_debug().to_string();
    }
    match location.split_once(':') {
        Some((scheme, _)) if is_known_scheme(scheme) => {
            format!("{scheme}:... (the rest may hold a password and is not shown)")
        }
        _ => HIDDEN.to_string(),
    }
}

/// Whether `text` starts as a URL does, written well or badly: with a word and a colon before any
/// slash, or with a known scheme before two slashes. A path that does is written as `./path`.
pub fn looks_like_url(text: &str) -> bool {
    let is_scheme = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let before_slashes = text.split_once("//").map(|(word, _)| word);
    text.split_once(':').is_some_and(|(word, _)| is_scheme(word)) || before_slashes.is_some_and(is_known_scheme)
}

/// Returns the value of a setting for display: without what may be a password in a location.
pub fn shown_setting(value: &str) -> String {
    let is_web = ["http://", "https://"].iter().any(|scheme| value.starts_with(scheme))
        && is_unambiguous(value)
        && !value.contains(['@', '?', '#']);
    let is_location = value.split_once(':').is_some_and(|(word, _)| is_known_scheme(word) || value.contains('@'));
    if is_web || !(is_location || looks_like_url(value) && value.contains("//")) {
        return value.to_owned();
    }
    shown_location(value)
}

/// Returns a message without the words in it that may hold a password: a location that was given in
/// the wrong option is quoted by the error about it.
pub fn redact_message(text: &str) -> String {
    let is_border = |c: char| c.is_whitespace() || "'\"`<>".contains(c);
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(is_border) {
        let word = part.trim_end_matches(is_border);
        // An option and its value, or a setting and its value.
        let start = word.rfind('=').filter(|at| !word[..*at].contains(':')).map_or(0, |at| at + 1);
        match hidden_word(&word[start..]) {
            Some(shown) => {
                out.push_str(&word[..start]);
                out.push_str(&shown);
                out.push_str(&part[word.len()..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

/// Returns what to show of a word that may hold a password; None of any other word.
fn hidden_word(word: &str) -> Option<String> {
    let (scheme, rest) = match word.split_once("//") {
        Some((scheme, rest)) if is_known_scheme(scheme) => (scheme, rest),
        _ => word.split_once(':')?,
    };
    if scheme.is_empty() || rest.is_empty() || scheme.contains(['/', '@']) {
        return None;
    }
    let is_known = is_known_scheme(scheme);
    let is_secret = match rest.strip_prefix("//") {
        Some(rest) => {
            let authority = rest.split('/').next().unwrap_or_default();
            match scheme {
                // Keys of objects have an @ in their path.
                "s3" | "file" => authority.contains([':', '@']),
                _ if is_known => rest.contains('@'),
                _ => authority.contains('@'),
            }
        }
        None => rest.contains('@') || (is_known && rest.trim_start_matches('/').contains(':')),
    };
    is_secret.then(|| if is_known { format!("{scheme}:... {HIDDEN}") } else { HIDDEN.to_owned() })
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
            "s3:/key:s3cret@b",
            "gs://key:s3cret@b/x",
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

    #[test]
    fn settings_and_messages_show_what_holds_no_password() {
        for value in [
            "s3://bucket/prefix",
            "http://127.0.0.1:9000",
            "films.example.org:8443",
            "/data/a:b",
            "memory",
            "2 of 3: all",
            "file:///data",
        ] {
            assert_eq!(shown_setting(value), value);
        }
        for text in [
            "the store file:///data/artifacts/keyframes/ab/tt1@cd/commit.json is damaged: repeat the run",
            "s3://bucket/artifacts/a@b: missing",
            "movies.csv line 3: `a@b.org` is not an id",
            "cannot reach amqp://broker:5672/films: refused",
            "write s3://bucket/prefix; `memory:` is the queue of one process",
        ] {
            assert_eq!(redact_message(text), text);
        }
        for word in
            ["s3:/key:s3cret@b", "s3:key:s3cret", "gs://key:s3cret@b/x", "user:s3cret@host/a", "s3//key:s3cret@b"]
        {
            for text in [format!("invalid value '{word}' for '--out <DIR>'"), format!("read --out={word}: no file")] {
                let shown = redact_message(&text);
                assert!(!shown.contains("s3cret") && shown.contains("--out"), "{shown}");
            }
            assert!(!shown_setting(word).contains("s3cret"), "{word}");
        }
        for (text, is_one) in [("gs://b/x", true), ("s3:/b", true), ("S3://b", true), ("s3//b/x", true), ("a:b", true)]
        {
            assert_eq!(looks_like_url(text), is_one, "{text}");
        }
        for path in ["out//x.csv", "/a:b", "./s3:/b", "results/a:b", "me@home.csv", "s3/b"] {
            assert!(!looks_like_url(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_is_shown(
            scheme in "(amqp|amqps|s3|S3|http|https|file|gs|az|sftp|)(:///|://|:/|//|:|)",
            user in "(user|AKIA0|)",
            // No word of a message has three of these letters in a row.
            password in "[Q-Z]{3}[a-zA-Z0-9@/?#:%\\\\ ]{0,8}[Q-Z]{3}",
        ) {
            let url = format!("{scheme}{user}:{password}@broker:5672/x");
            for shown in [redact_url(&url), shown_location(&url), shown_setting(&url)] {
                prop_assert!(!shown.contains(&password[..3]) && !shown.contains(&password[password.len() - 3..]), "{shown}");
            }
        }
    }
}
