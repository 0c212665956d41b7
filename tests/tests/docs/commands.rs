//! Every `jhalak` command in a document is one that the program accepts.
//!
//! Commands in `sh` and `console` blocks must be complete. A code span that starts with `jhalak`
//! may leave required arguments out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use jhalak_coordinator::commands::Cli;
use jhalak_tests::markdown::Document;

#[test]
fn commands_in_documents_parse() {
    let documents = Document::all();
    let problems: Vec<String> = documents.iter().flat_map(refused_commands).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let readme = documents.iter().find(|document| document.path == Path::new("README.md")).expect("README.md");
    assert!(commands(readme).len() >= 5, "the commands of README are found");
}

#[test]
fn a_command_that_the_program_refuses_is_found() {
    let document = |text: &str| Document { path: PathBuf::from("README.md"), text: text.to_owned() };
    for refused in [
        "```sh\njhalak evaluate\n```",
        "```sh\njhalak run --dataset DIR --no-such-option  # a comment\n```",
        "```console\n$ jhalak scenes | cut -d, -f1\n```",
        "```sh\nF=\"--no-such-option\"\njhalak run --dataset DIR $F\n```",
        "```sh\nX=1 jhalak run\n```",
        "`jhalak no-such-command`",
        "`jhalak evaluate --no-such-option`",
    ] {
        assert_eq!(refused_commands(&document(refused)).len(), 1, "{refused}");
    }
    let accepted =
        "```sh\nF=\"--movies ids.txt\"\njhalak run --dataset DIR $F > log\n```\n`jhalak evaluate --folds PATH`";
    assert_eq!(refused_commands(&document(accepted)), Vec::<String>::new());
}

/// A line for each command of `document` that the program refuses.
fn refused_commands(document: &Document) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |number: usize, words: &[String], partial: bool| {
        let Err(error) = Cli::try_parse_from(words) else { return };
        let is_fine = match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => partial,
            _ => false,
        };
        if !is_fine {
            let place = document.path.display();
            problems.push(format!("{place}:{number}: `{}` is refused:\n{error}", words.join(" ")));
        }
    };
    for (number, words) in commands(document) {
        check(number, &words, false);
    }
    for (number, span) in document.code_spans() {
        let words: Vec<String> = span.split_whitespace().map(str::to_owned).collect();
        if words.first().is_some_and(|word| word == "jhalak") {
            check(number, &words, true);
        }
    }
    problems
}

/// The `jhalak` commands in the code blocks of `document`, split into words, with their lines'
/// numbers.
fn commands(document: &Document) -> Vec<(usize, Vec<String>)> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut commands = Vec::new();
    for block in document.code_blocks() {
        for (line, number) in block.lines.iter().zip(block.line..) {
            let line = match block.language {
                "sh" => line,
                "console" => match line.strip_prefix("$ ") {
                    Some(command) => command,
                    None => continue,
                },
                _ => continue,
            };
            for mut words in shell_commands(line, &variables) {
                let assigned = words.iter().take_while(|word| assignment(word).is_some()).count();
                let assignments: Vec<String> = words.drain(..assigned).collect();
                if words.is_empty() {
                    variables.extend(assignments.iter().filter_map(|word| assignment(word)));
                } else if words[0] == "jhalak" {
                    commands.push((number, words));
                }
            }
        }
    }
    commands
}

/// `NAME=VALUE` in two parts.
fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// The commands of a line of shell: words with quotes removed and variables replaced; comments and
/// redirections left out.
fn shell_commands(line: &str, variables: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word = String::new();
    let mut quote = None;
    // A blank after the line ends its last word.
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, ' ' | '|' | ';' | '&' | '>') => {
                let last = commands.last_mut().expect("there is always one");
                match word.strip_prefix('$').and_then(|name| variables.get(name)) {
                    Some(value) => last.extend(value.split_whitespace().map(str::to_owned)),
                    None if word.is_empty() => {}
                    None => last.push(word.clone()),
                }
                word.clear();
                // A redirection is followed by a file, which is not a command of this project.
                if c != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, c) => word.push(c),
        }
    }
    commands
}
