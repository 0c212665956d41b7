//! README and the tutorial hold: after `make run` their commands succeed and print what they show.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use jhalak_tests::markdown::{Document, Transcript};
use jhalak_tests::programs::{Ended, program, run};
use jhalak_tests::repository;

#[test]
fn commands_of_readme_and_tutorial_print_what_they_show_after_make_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    checkout(folder.path());
    let ran = run(&mut in_checkout(folder.path(), &make_run()));
    assert_eq!(ran.code, Some(0), "make run: {}", ran.err);
    let mut problems: Vec<String> = Vec::new();
    for (document, examples) in [("README.md", 3), ("docs/tutorial.md", 4)] {
        let transcripts = Document::read(document).transcripts();
        assert!(transcripts.len() >= examples, "the examples of {document} are found");
        problems.extend(transcripts.iter().filter_map(|shown| difference(document, shown, folder.path())));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

#[test]
fn an_output_that_differs_in_more_than_its_numbers_is_found() {
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let out = "scene,start\n1,0.000\nend 10.5\n";
    assert!(shows(&shown(&["scene,start", "1,0.000", "end 4.25"]), out), "numbers may differ");
    assert!(shows(&shown(&["scene,start", "..."]), out));
    assert!(shows(&shown(&["...", "end 4.25"]), out));
    for differs in [&["scene,start"][..], &["scene,end", "..."], &["...", "end x"], &["OUTPUT-TODO"], &[]] {
        assert!(!shows(&shown(differs), out), "{differs:?}");
    }
}

/// Fills `folder` with what a checkout has after `make setup`: the demo's settings, models and
/// films. The store is its own.
fn checkout(folder: &Path) {
    std::fs::create_dir(folder.join(".local")).expect("a folder that can be written");
    for name in ["demo", ".local/demo", ".local/models", ".local/onnxruntime"] {
        let target = repository().join(name);
        assert!(target.is_dir(), "{} is missing: run scripts/setup.sh test", target.display());
        symlink(target, folder.join(name)).expect("a link");
    }
}

/// The command of the Makefile's target `run`.
fn make_run() -> String {
    let makefile = std::fs::read_to_string(repository().join("Makefile")).expect("the Makefile");
    let recipe = makefile.lines().skip_while(|line| !line.starts_with("run:")).nth(1).expect("a recipe");
    let arguments = recipe.trim().strip_prefix("$(RELEASE)/jhalak ").expect("`make run` runs jhalak");
    format!("jhalak {arguments} --quiet")
}

/// A shell command in `folder` with the built programs on its PATH, the settings of nobody else,
/// and short training: numbers in outputs are not compared.
fn in_checkout(folder: &Path, line: &str) -> Command {
    let jhalak = program("jhalak");
    let programs = jhalak.parent().expect("a program lies in a folder").display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("JHALAK_")) {
        command.env_remove(key);
    }
    command
        .current_dir(folder)
        .env("PATH", path)
        .env("JHALAK__EVALUATE__FOLDS", "2")
        .env("JHALAK__EVALUATE__EPOCHS", "1")
        .args(["-o", "pipefail", "-c", line]);
    command
}

/// How a command's output differs from what the document shows; None if it does not.
fn difference(document: &str, shown: &Transcript, folder: &Path) -> Option<String> {
    let Ended { code, out, err } = run(&mut in_checkout(folder, &shown.command));
    if code == Some(0) && shows(&shown.output, &out) {
        return None;
    }
    let Transcript { line, command, output } = shown;
    let expected = output.join("\n");
    Some(format!("{document}:{line}: {command}\nexit code {code:?}\n{err}\nit shows\n{expected}\nit prints\n{out}"))
}

/// Whether `out` has the lines shown and no others, but for numbers and the width of blanks. `...`
/// stands for any number of lines.
fn shows(shown: &[String], out: &str) -> bool {
    let printed: Vec<String> = out.lines().map(masked).collect();
    let mut at = 0;
    let mut skip = false;
    for line in shown {
        if line.trim() == "..." {
            skip = true;
            continue;
        }
        let line = masked(line);
        let found = printed[at..].iter().position(|printed| *printed == line);
        match found {
            Some(0) => at += 1,
            Some(distance) if skip => at += distance + 1,
            _ => return false,
        }
        skip = false;
    }
    skip || at == printed.len()
}

/// A line with `#` for each number, and one blank for several.
fn masked(line: &str) -> String {
    let mut text = String::new();
    for c in line.chars() {
        let is_digit = c.is_ascii_digit() || (c == '.' && text.ends_with('#'));
        let c = if is_digit { '#' } else { c };
        if !(text.ends_with(c) && matches!(c, '#' | ' ')) {
            text.push(c);
        }
    }
    text.trim_end().to_owned()
}
