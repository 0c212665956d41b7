//! Checks the form of comments: their width.

use jhalak_tests::markdown::repository_paths;
use jhalak_tests::repository;

/// The longest line of a comment, in characters.
const MAX_LINE: usize = 100;
/// The longest line of the help of a command, which a doc comment of `clap` holds.
const MAX_HELP_LINE: usize = 120;

#[test]
fn comments_are_at_most_100_characters_wide_and_help_120() {
    let mut problems = Vec::new();
    for path in repository_paths().iter().filter(|path| path.ends_with(".rs")) {
        let text = std::fs::read_to_string(repository().join(path)).expect("the repository can be read");
        let long = long_lines(path, &text);
        problems.extend(long.map(|(line, width)| format!("{path}:{line}: a comment of {width} characters")));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_wide_comment_is_found() {
    let wide = |start: &str| format!("let x = 1;\n    {start} {}", "x".repeat(MAX_LINE));
    let lines = |path: &str, text: String| long_lines(path, &text).map(|(line, _)| line).collect::<Vec<_>>();
    assert_eq!(lines("common/src/error.rs", wide("///")), [2]);
    assert_eq!(lines("common/src/error.rs", wide("/// |")), [0; 0], "rows of tables cannot be wrapped");
    assert_eq!(lines("coordinator/src/commands/serve.rs", wide("///")), [0; 0], "help is wider");
    assert_eq!(lines("coordinator/src/commands/serve.rs", wide("//")), [2]);
    assert_eq!(lines("common/src/error.rs", format!("//! ```text\n//! {}\n//! ```", "x".repeat(MAX_LINE))), [0; 0]);
}

/// Returns the number and the width of each comment line that is too wide. Tables and code blocks
/// keep their lines.
fn long_lines<'a>(path: &str, text: &'a str) -> impl Iterator<Item = (usize, usize)> + 'a {
    let has_help = path.starts_with("coordinator/src/commands/") || path == "worker/src/main.rs";
    let mut in_code = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let comment = line.trim_start();
        let text = comment.strip_prefix("//")?.trim_start_matches(['/', '!']).trim_start();
        in_code ^= text.starts_with("```");
        let is_help = has_help && comment.starts_with("///");
        let (width, max) = (line.chars().count(), if is_help { MAX_HELP_LINE } else { MAX_LINE });
        (width > max && !in_code && !text.starts_with('|')).then_some((number, width))
    })
}
