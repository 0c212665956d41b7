//! Reads the repository's Markdown documents, as far as the tests of the documents need them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::repository;

/// A Markdown document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its path relative to the repository's root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A fenced code block.
#[derive(Debug)]
pub struct CodeBlock<'a> {
    /// The language after the opening fence, empty if there is none.
    pub language: &'a str,
    /// The number of its first line, from 1.
    pub line: usize,
    /// Its lines, without the fences.
    pub lines: Vec<&'a str>,
}

/// A command of a `console` block with the output that the document shows.
#[derive(Debug, PartialEq, Eq)]
pub struct Transcript {
    /// The number of the command's line, from 1.
    pub line: usize,
    /// The command, without its prompt.
    pub command: String,
    /// The lines of output up to the next command. A line `...` stands for any number of lines.
    pub output: Vec<String>,
}

impl Document {
    /// Reads the document at `path`, relative to the repository's root.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(path: &str) -> Document {
        let text = std::fs::read_to_string(repository().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        Document { path: PathBuf::from(path), text }
    }

    /// Reads every Markdown document of the repository, in the order of their paths.
    pub fn all() -> Vec<Document> {
        let is_document = |path: &&String| path.ends_with(".md");
        repository_paths().iter().filter(is_document).map(|path| Document::read(path)).collect()
    }

    /// The lines outside code blocks, with their numbers from 1.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut in_code = false;
        let mut prose = Vec::new();
        for (line, number) in self.text.lines().zip(1..) {
            if is_fence(line) {
                in_code = !in_code;
            } else if !in_code {
                prose.push((number, line));
            }
        }
        prose
    }

    /// The fenced code blocks.
    pub fn code_blocks(&self) -> Vec<CodeBlock<'_>> {
        let mut blocks = Vec::new();
        let mut open: Option<CodeBlock<'_>> = None;
        for (line, number) in self.text.lines().zip(1..) {
            match open.take() {
                None if is_fence(line) => {
                    let language = line.trim_start().trim_start_matches('`').trim();
                    open = Some(CodeBlock { language, line: number + 1, lines: Vec::new() });
                }
                None => {}
                Some(block) if is_fence(line) => blocks.push(block),
                Some(mut block) => {
                    block.lines.push(line);
                    open = Some(block);
                }
            }
        }
        blocks
    }

    /// The code spans of the prose, with their lines' numbers. A span ends on the line on which it
    /// starts.
    pub fn code_spans(&self) -> Vec<(usize, &str)> {
        let spans = |(number, line)| str::split(line, '`').skip(1).step_by(2).map(move |span| (number, span));
        self.prose().into_iter().flat_map(spans).collect()
    }

    /// The targets of links and images in the prose, with their lines' numbers.
    pub fn links(&self) -> Vec<(usize, &str)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
                let targets = line.split(opening).skip(1).filter_map(|rest| rest.split(closing).next());
                links.extend(targets.map(|target| (number, target)));
            }
        }
        links
    }

    /// The anchors of its headings, as GitHub makes them.
    pub fn anchors(&self) -> BTreeSet<String> {
        let headings = self.prose().into_iter().filter_map(|(_, line)| line.strip_prefix('#'));
        headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
    }

    /// The commands of its `console` blocks, with the output shown. A command's line starts with `$
    /// `.
    pub fn transcripts(&self) -> Vec<Transcript> {
        let mut transcripts: Vec<Transcript> = Vec::new();
        for block in self.code_blocks().into_iter().filter(|block| block.language == "console") {
            for (line, number) in block.lines.iter().zip(block.line..) {
                if let Some(command) = line.strip_prefix("$ ") {
                    transcripts.push(Transcript { line: number, command: command.to_owned(), output: Vec::new() });
                } else if let Some(transcript) = transcripts.last_mut() {
                    transcript.output.push((*line).to_owned());
                }
            }
        }
        transcripts
    }
}

/// Every file and folder of the repository, relative to its root, sorted. Hidden folders (except
/// `.ci`) and build products are left out.
pub fn repository_paths() -> BTreeSet<String> {
    let root = repository();
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(root.join(&folder)).expect("the repository can be read") {
            let name = entry.expect("the repository can be read").file_name().to_string_lossy().into_owned();
            let is_hidden = name.starts_with('.') && name != ".ci";
            if is_hidden || matches!(name.as_str(), "target" | "__pycache__") {
                continue;
            }
            let path = folder.join(name);
            found.insert(path.display().to_string());
            if root.join(&path).is_dir() {
                open.push(path);
            }
        }
    }
    found
}

/// `path` without `.` and `..`; None if it leads out of the repository.
pub fn normalised(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.to_str()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
