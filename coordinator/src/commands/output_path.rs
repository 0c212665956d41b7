//! Paths of files and folders that a command writes on this machine.
//!
//! A location in S3 must not become a folder named `s3:`, and a file must not be named after a form
//! that it does not have: both would be noticed after the work.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command};
use jhalak_common::redact::{looks_like_url, shown_location};

/// Endings of files of some form. A file of one form is not named after another.
const ENDINGS: [&str; 30] = [
    "arrow",
    "avro",
    "bin",
    "csv",
    "feather",
    "gz",
    "h5",
    "html",
    "ipc",
    "jpeg",
    "jpg",
    "json",
    "jsonl",
    "md",
    "ndjson",
    "npy",
    "npz",
    "onnx",
    "parquet",
    "pdf",
    "pickle",
    "pkl",
    "png",
    "pq",
    "safetensors",
    "tar",
    "tsv",
    "txt",
    "xlsx",
    "zip",
];

/// Accepts the path of a folder on this machine.
pub(in crate::commands) fn folder() -> OutputPath {
    OutputPath { form: None, also: "" }
}

/// Accepts the path of a folder, where the caller accepts `s3://bucket/prefix` too.
pub(in crate::commands) fn folder_or_s3() -> OutputPath {
    OutputPath { form: None, also: " or s3://bucket/prefix" }
}

/// Accepts the path of a file of this form: `name` for messages, the endings of its names in lower
/// case. Names without a known ending are accepted too.
#[cfg(feature = "local")]
pub(in crate::commands) fn file(name: &'static str, endings: &'static [&'static str]) -> OutputPath {
    OutputPath { form: Some((name, endings)), also: "" }
}

/// See [`folder`] and [`file`].
#[derive(Clone)]
pub(in crate::commands) struct OutputPath {
    form: Option<(&'static str, &'static [&'static str])>,
    /// Other forms that the option has, for messages.
    also: &'static str,
}

impl OutputPath {
    /// Returns the path that `value` names, or why it cannot be written to.
    pub(in crate::commands) fn parse(&self, value: &OsStr) -> Result<PathBuf, String> {
        let text = value.to_string_lossy();
        if text.trim().is_empty() {
            return Err("is empty: name a path".to_owned());
        }
        let path = match text.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => PathBuf::from(path),
            Some(_) => return Err("must be a path or file:///path".to_owned()),
            None if looks_like_url(&text) => {
                return Err(format!(
                    "`{}` is not a path on this machine: name a path{}. A name with a colon is written as ./NAME",
                    shown_location(&text),
                    self.also
                ));
            }
            None => PathBuf::from(value),
        };
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        match self.form {
            Some((name, endings)) if ENDINGS.contains(&ending.as_str()) && !endings.contains(&ending.as_str()) => {
                Err(format!(
                    "`{}` ends in .{ending}, and the file is {name}: let its name end in .{}",
                    text.escape_debug(),
                    endings.first().unwrap_or(&"")
                ))
            }
            _ => Ok(path),
        }
    }
}

impl TypedValueParser for OutputPath {
    type Value = PathBuf;

    /// Fails without quoting the value, which may hold a password.
    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<PathBuf, clap::Error> {
        self.parse(value).map_err(|why| {
            let arg = arg.map_or_else(|| "the path".to_owned(), ToString::to_string);
            clap::Error::raw(ErrorKind::ValueValidation, format!("{arg} {why}\n")).with_cmd(command)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::commands::Cli;

    #[test]
    fn locations_elsewhere_and_names_of_another_form_are_refused() {
        let parse = |path: &str| folder().parse(OsStr::new(path));
        for path in ["out", "/tmp/a:b", "./s3:", "a b/ü", "results/x:1", "~/x"] {
            assert_eq!(parse(path), Ok(PathBuf::from(path)));
        }
        assert_eq!(parse("file:///tmp/x"), Ok(PathBuf::from("/tmp/x")));
        for path in
            ["s3://b/x", "S3://b/x", "s3:/b/x", "gs://b/x", "az:x", "file://x", "https://h/x", "s3//b/x", "", "a:b"]
        {
            assert!(parse(path).is_err(), "{path}");
        }
        let refused = parse("s3:/key:s3cret@b/x").expect_err("a mistyped location");
        assert!(!refused.contains("s3cret") && refused.contains("./NAME"), "{refused}");

        let table = |name: &str| file("Parquet", &["parquet", "pq"]).parse(OsStr::new(name)).is_ok();
        for (name, is_one) in
            [("x.parquet", true), ("x", true), ("x.PQ", true), ("v1.2", true), ("x.csv", false), ("x.JSON", false)]
        {
            assert_eq!(table(name), is_one, "{name}");
        }
    }

    /// Every option and argument that names what is written.
    #[cfg(feature = "local")]
    #[test]
    fn every_command_refuses_to_write_to_a_location_elsewhere() {
        for line in [
            "fit --dataset d --out",
            "embed x.mp4 --out",
            "keyframes x.mp4 --out",
            "keyframes x.mp4 --out k --sheet",
            "evaluate --dataset d --predictions",
            "scenes x.mp4 --csv",
            "init",
            "man --out",
            "detect x.mp4 --draw",
            "recommend --all-users --out",
        ] {
            for place in ["s3://bucket/x.png", "gs://b/x.png", "s3:/key:s3cret@b/x.png"] {
                let words = ["jhalak"].into_iter().chain(line.split(' ')).chain([place]);
                let refused = Cli::try_parse_from(words).map(|_| ()).expect_err(line).to_string();
                assert!(refused.contains("not a path on this machine"), "{line}: {refused}");
                assert!(!refused.contains("s3cret"), "{line}: {refused}");
            }
        }
    }
}
