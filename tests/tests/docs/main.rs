//! The documents keep their promises: paths exist, commands parse, lines and paragraphs are short.
//! `tests/tests/run/readme.rs` runs the commands of README.

mod commands;
mod comments;
mod form;
mod paths;
