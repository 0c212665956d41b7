//! The built programs, run as a user runs them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::repository;

/// The path of a built program: cargo puts programs next to the folder of the tests.
///
/// # Panics
/// If it was not built: run `cargo build --workspace` first, as `scripts/test.sh` does.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let path = test.parent().and_then(Path::parent).expect("tests lie two folders deep").join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --workspace` first", path.display());
    path
}

/// A command of `program` with the models and the library that `make setup` installed, short
/// training, and nothing of the caller's settings.
pub fn command(name: &str, store: &Path) -> Command {
    let mut command = Command::new(program(name));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("JHALAK_")) {
        command.env_remove(key);
    }
    let local = repository().join(".local");
    command
        .env("JHALAK__STORE", store)
        .env("JHALAK__MODELS__FOLDER", local.join("models"))
        .env("JHALAK__MODELS__ONNXRUNTIME", local.join("onnxruntime/libonnxruntime.so"))
        .env("JHALAK__EVALUATE__FOLDS", "2")
        .env("JHALAK__EVALUATE__EPOCHS", "1")
        .env("JHALAK__RABBITMQ__RETRY_DELAYS_MS", "100,300")
        .env("JHALAK__TELEMETRY__LISTEN", "off");
    command
}

/// The output of a program and its exit code.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; None where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Ended {
    /// Parses its standard output as JSON, after a success.
    ///
    /// # Panics
    /// If the exit code is not 0, or the output is not JSON; prints its standard error.
    pub fn answer(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.json()
    }

    /// Parses its standard output as JSON.
    ///
    /// # Panics
    /// If it is not JSON; prints its standard error.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.out, self.err))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started.
pub fn run(command: &mut Command) -> Ended {
    command.output().expect("the program can be started").into()
}

/// The names of every file below `folder`, sorted, relative to it. Files that come and go while a
/// program writes are no error.
///
/// # Panics
/// If a path is not below the folder.
pub fn file_names(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for path in std::fs::read_dir(&next).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(folder).expect("a path below the folder").display().to_string());
            }
        }
    }
    found
}

/// The bytes of every file below `folder`, by their path relative to it. Only for folders that no
/// program writes to.
///
/// # Panics
/// If a file cannot be read.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = |name: &String| std::fs::read(folder.join(name)).expect("a readable file");
    file_names(folder).into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}
