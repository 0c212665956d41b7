//! Every path and link in a document leads to a file or folder of the repository.
//!
//! A word of a code span, or of a command in a code block, is a path of the repository if
//!
//! - its first component is an entry of the root or of the document's folder, and others follow, or
//! - it is an entry of the root, or
//! - its name ends in `.rs`, `.py` or `.sh`.
//!
//! It exists if it names a file or folder from the root, from the document's folder, or as the end
//! of a path: `scenes/bgr.rs`. `{a,b}` stands for both. Patterns, placeholders in CAPITALS and
//! paths under `.local` are not checked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jhalak_tests::markdown::{Document, normalised, repository_paths};

/// Extensions that only files of the repository have.
const SOURCES: [&str; 3] = [".rs", ".py", ".sh"];
/// Languages of the code blocks whose words are checked.
const SHELLS: [&str; 2] = ["sh", "console"];

#[test]
fn paths_in_documents_exist() {
    let paths = repository_paths();
    let problems: Vec<String> = Document::all().iter().flat_map(|document| missing_paths(document, &paths)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let paths = repository_paths();
    let problems: Vec<String> = Document::all().iter().flat_map(|document| dead_links(document, &paths)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn a_path_that_is_gone_is_found_and_a_placeholder_is_not() {
    let paths: BTreeSet<String> =
        ["common", "common/src", "common/src/error.rs", "k8s", "k8s/base"].map(str::to_owned).into();
    let document = |text: &str| Document { path: PathBuf::from("k8s/README.md"), text: text.to_owned() };
    for (text, missing) in [
        ("`common/src/gone.rs`", "common/src/gone.rs"),
        ("run `common/gone.sh --now`", "common/gone.sh"),
        ("`common/src/{error,gone}.rs`", "common/src/gone.rs"),
        ("`base/gone`", "base/gone"),
        ("```sh\ncommon/gone.py  # in common/src\n```", "common/gone.py"),
    ] {
        let found = missing_paths(&document(text), &paths);
        assert!(matches!(found.as_slice(), [one] if one.contains(missing)), "{text}: {found:?}");
    }
    for text in [
        "`common/src/error.rs`",
        "`src/error.rs`",
        "`base/`",
        "`common/NAME/x.rs`",
        "`runs/RUN/x`",
        "`common/*/x.rs`",
        "`.local/x.sh`",
    ] {
        assert_eq!(missing_paths(&document(text), &paths), Vec::<String>::new(), "{text}");
    }
    let links =
        dead_links(&document("[a](../common/gone.rs) [b](../common/src) <img src=\"gone.png\"> [c](#gone)"), &paths);
    assert_eq!(links.len(), 3, "{links:?}");
}

/// A line for each word of `document` that is a path of the repository and does not exist.
fn missing_paths(document: &Document, paths: &BTreeSet<String>) -> Vec<String> {
    let folder = document.path.parent().unwrap_or(Path::new(""));
    let mut words: Vec<(usize, &str)> = Vec::new();
    for (number, span) in document.code_spans() {
        words.extend(span.split_whitespace().map(|word| (number, word)));
    }
    for block in document.code_blocks().into_iter().filter(|block| SHELLS.contains(&block.language)) {
        for (line, number) in block.lines.iter().zip(block.line..) {
            let command = line.split(" #").next().unwrap_or(line);
            let is_command = block.language == "sh" || command.starts_with("$ ");
            words.extend(command.split_whitespace().filter(|_| is_command).map(|word| (number, word)));
        }
    }
    let mut problems = Vec::new();
    for (number, word) in words {
        for word in expanded(word) {
            let word = word.trim_end_matches([',', ':', ';', '.', ')', '/']).trim_start_matches('(');
            if is_path(word, folder, paths) && !is_pattern(word) && !exists(word, folder, paths) {
                problems.push(format!("{}:{number}: {word} does not exist", document.path.display()));
            }
        }
    }
    problems
}

/// `{a,b}` in a word, written out.
fn expanded(word: &str) -> Vec<String> {
    match word.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
        Some((before, (list, after))) => list.split(',').map(|one| format!("{before}{one}{after}")).collect(),
        None => vec![word.to_owned()],
    }
}

fn is_path(word: &str, folder: &Path, paths: &BTreeSet<String>) -> bool {
    let is_entry = |name: &str| paths.contains(name) || paths.contains(&below(folder, name));
    match word.split_once('/') {
        Some((first, _)) if is_entry(first) => true,
        _ if word.starts_with(".local/") => false,
        _ => paths.contains(word) || SOURCES.iter().any(|end| word.ends_with(end)),
    }
}

/// Whether a word stands for many paths, or for one that the reader has to fill in.
fn is_pattern(word: &str) -> bool {
    let is_placeholder =
        |part: &str| part.contains(char::is_uppercase) && !part.contains(|c: char| c.is_lowercase() || c == '.');
    word.contains(['*', '?', '<', '>', '$', '|', '"', '\'', '='])
        || word.split('/').any(|p| p == "..." || is_placeholder(p))
}

fn exists(word: &str, folder: &Path, paths: &BTreeSet<String>) -> bool {
    let end = format!("/{word}");
    paths.contains(word) || paths.contains(&below(folder, word)) || paths.iter().any(|path| path.ends_with(&end))
}

fn below(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// A line for each link of `document` whose file or heading does not exist. Addresses are not
/// checked.
fn dead_links(document: &Document, paths: &BTreeSet<String>) -> Vec<String> {
    let folder = document.path.parent().unwrap_or(Path::new(""));
    let mut problems = Vec::new();
    for (number, link) in document.links() {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        // `make docs` writes these pages.
        if document.path == Path::new("docs/SUMMARY.md") && ["settings.md", "commands.md"].contains(&link) {
            continue;
        }
        let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
        let target = match file {
            "" => Some(document.path.display().to_string()),
            file => normalised(&folder.join(file)).filter(|path| paths.contains(path)),
        };
        let is_there = match (target, heading) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(_), Some(heading)) if file.is_empty() => document.anchors().contains(heading),
            (Some(path), Some(heading)) => Document::read(&path).anchors().contains(heading),
        };
        if !is_there {
            problems.push(format!("{}:{number}: the link {link} leads nowhere", document.path.display()));
        }
    }
    problems
}
