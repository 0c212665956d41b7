//! `jhalak completions` and `jhalak man`: made from the same definition as the help pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;
use jhalak_common::process::exit;
use jhalak_common::{Error, Result};
use serde_json::json;

use super::help::EXIT_CODES;
use super::output_path;
use crate::console::output::Output;

/// Print completions for a shell
#[derive(Args)]
#[command(after_help = "Examples:
  # Write those for bash; `source jhalak.bash` loads them
  jhalak completions bash > jhalak.bash
  # Print those for zsh
  jhalak completions zsh")]
pub struct Completions {
    /// Shell
    shell: Shell,
}

/// Write manual pages, one per command
#[derive(Args)]
#[command(
    after_help = "Examples:
  # Write the pages to a folder that man searches
  jhalak man --out ~/.local/share/man/man1
  # Write them to a folder of your own
  jhalak man --out pages",
    arg_required_else_help = true
)]
pub struct Man {
    /// Folder for the pages; created if missing
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "markdown",
        value_parser = output_path::folder(),
        help_heading = "Output"
    )]
    out: Option<PathBuf>,
    /// Print the reference page of the documentation
    #[arg(long, hide = true)]
    markdown: bool,
}

impl Completions {
    pub(in crate::commands) fn execute(self, mut program: clap::Command, output: &Output) -> Result<u8> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut program, "jhalak", &mut text);
        let text = String::from_utf8_lossy(&text).into_owned();
        output.print(&json!({ "shell": self.shell.to_string(), "completions": text }), &text)?;
        Ok(exit::DONE)
    }
}

impl Man {
    pub(in crate::commands) fn execute(self, program: clap::Command, output: &Output) -> Result<u8> {
        let Some(out) = self.out else {
            let text = as_markdown(program);
            output.print(&text, &text)?;
            return Ok(exit::DONE);
        };
        let within = |e: std::io::Error| Error::from(e).context(format!("the manual pages in {}", out.display()));
        std::fs::create_dir_all(&out).map_err(within)?;
        clap_mangen::generate_to(program, &out).map_err(within)?;
        let mut pages: Vec<String> = std::fs::read_dir(&out)
            .map_err(within)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.starts_with("jhalak"))
            .collect();
        pages.sort();
        let text = format!("{} pages in {}", pages.len(), out.display());
        output.print(&json!({ "out": out, "pages": pages }), &text)?;
        Ok(exit::DONE)
    }
}

/// The help pages of all commands, for the documentation.
fn as_markdown(program: clap::Command) -> String {
    let mut text = format!("# Commands and exit codes\n\n{EXIT_CODES}.\n\nThis page is printed by the program.\n");
    let mut root = program.term_width(100);
    root.build();
    add_pages(&mut root, "", &mut text);
    text
}

fn add_pages(command: &mut clap::Command, path: &str, text: &mut String) {
    let name = format!("{path}{}", command.get_name());
    let level = if path.split_whitespace().count() > 1 { "###" } else { "##" };
    text.push_str(&format!(
        "\n{level} {name}\n\n```text\n{}\n```\n",
        command.render_long_help().to_string().trim_end()
    ));
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        add_pages(sub, &format!("{name} "), text);
    }
}
