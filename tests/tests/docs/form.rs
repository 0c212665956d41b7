//! Checks the form of the documents: short lines, short paragraphs, and a link to every page.

use std::path::{Path, PathBuf};

use jhalak_tests::markdown::Document;

/// The longest line, in characters.
const MAX_LINE: usize = 120;
/// The longest paragraph or list item, in lines.
const MAX_PARAGRAPH: usize = 5;

#[test]
fn lines_are_at_most_120_characters_wide() {
    let problems: Vec<String> = Document::all().iter().flat_map(long_lines).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn paragraphs_and_list_items_are_at_most_five_lines_long() {
    let problems: Vec<String> = Document::all().iter().flat_map(long_paragraphs).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_readme_or_the_book_links_every_page_of_docs() {
    let (readme, summary) = (Document::read("README.md"), Document::read("docs/SUMMARY.md"));
    let mut linked: Vec<String> = readme.links().into_iter().map(|(_, target)| target.to_owned()).collect();
    assert!(linked.iter().any(|target| target == "docs/SUMMARY.md"), "README.md links the book's pages");
    linked.extend(summary.links().into_iter().map(|(_, target)| format!("docs/{target}")));
    for document in Document::all() {
        let path = document.path.display().to_string();
        let is_page = path.starts_with("docs/") && path != "docs/SUMMARY.md";
        assert!(!is_page || linked.contains(&path), "neither README.md nor docs/SUMMARY.md links {path}");
    }
}

#[test]
fn a_long_line_and_a_long_paragraph_are_found() {
    let document = |path: &str, text: String| Document { path: PathBuf::from(path), text };
    let row = format!("| {} |", "x".repeat(MAX_LINE));
    assert_eq!(long_lines(&document("README.md", row.clone())).len(), 1);
    assert_eq!(long_lines(&document("FIGURES.md", row.clone())).len(), 0, "rows of tables cannot be wrapped");
    assert_eq!(long_lines(&document("FIGURES.md", row.replace('|', ""))).len(), 1);
    assert_eq!(long_lines(&document("README.md", "ü".repeat(MAX_LINE))).len(), 0, "characters count, not bytes");

    let lines = |count: usize| vec!["x"; count].join("\n");
    assert_eq!(long_paragraphs(&document("README.md", lines(6))).len(), 1);
    assert_eq!(long_paragraphs(&document("README.md", format!("- {}\n- {}", lines(5), lines(5)))).len(), 0);
    assert_eq!(long_paragraphs(&document("README.md", format!("{}\n\n```sh\n{}\n```", lines(5), lines(9)))).len(), 0);
}

/// A line for each line of `document` that is too long. Only README and docs/ keep the rows of
/// their tables short too.
fn long_lines(document: &Document) -> Vec<String> {
    let short_tables = document.path == Path::new("README.md") || document.path.starts_with("docs");
    let is_long = |line: &str| line.chars().count() > MAX_LINE && (short_tables || !line.starts_with('|'));
    let long = document.text.lines().zip(1..).filter(|(line, _)| is_long(line));
    long.map(|(line, number)| {
        let path = document.path.display();
        format!("{path}:{number}: {} characters, more than {MAX_LINE}", line.chars().count())
    })
    .collect()
}

/// A line for each paragraph or list item of `document` that is too long.
fn long_paragraphs(document: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut length, mut previous) = (0, 0);
    for (number, line) in document.prose() {
        let text = line.trim_start();
        let is_item = text.starts_with("- ") || text.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
        let is_paragraph = !text.is_empty() && !text.starts_with(['|', '#']);
        // A code block between two lines ends a paragraph too.
        let continues = is_paragraph && !is_item && number == previous + 1;
        length = if continues { length + 1 } else { usize::from(is_paragraph) };
        if length == MAX_PARAGRAPH + 1 {
            problems
                .push(format!("{}:{number}: a paragraph of more than {MAX_PARAGRAPH} lines", document.path.display()));
        }
        previous = number;
    }
    problems
}
