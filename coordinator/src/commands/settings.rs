//! `jhalak settings`: every setting, its value and where that came from.

use std::path::Path;

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::settings::reference::{self, Entry, Origin};
use jhalak_common::{Error, Result};
use serde_json::Value;

use crate::console::output::Output;

/// Show every setting with its value, default, unit and origin
///
/// A value comes from the defaults, then from the configuration file (--config FILE, or jhalak.toml in the current
/// folder), then from the environment (JHALAK__SECTION__KEY), then from the command line (--set KEY=VALUE).
#[derive(Args)]
#[command(after_help = "Examples:
  # Show what is set differently from the defaults
  jhalak settings --changed
  # Explain the settings of a section
  jhalak settings extract")]
pub struct SettingsCommand {
    /// Show and explain the settings whose key contains this
    key: Option<String>,
    /// Show only settings set by a file, a variable or an option
    #[arg(long, help_heading = "Output")]
    changed: bool,
    /// Print a configuration file with every setting, commented out
    #[arg(long, conflicts_with_all = ["changed", "key"], help_heading = "Output")]
    toml: bool,
    /// Print the JSON Schema of a configuration file, for editors
    #[arg(long, conflicts_with_all = ["changed", "key", "toml"], help_heading = "Output")]
    schema: bool,
    /// Print the reference page of the documentation
    #[arg(long, hide = true)]
    markdown: bool,
}

impl SettingsCommand {
    pub(in crate::commands) fn execute(
        self,
        settings: &Settings,
        file: Option<&Path>,
        set: &[(String, String)],
        output: &Output,
    ) -> Result<u8> {
        if self.schema {
            let schema = reference::schema();
            let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
            output.print(&schema, &text)?;
            return Ok(exit::DONE);
        }
        let mut entries = reference::describe(settings, file, set)?;
        if self.toml || self.markdown {
            let text = if self.toml { as_toml(&entries) } else { as_markdown(&entries) };
            output.print(&text, &text)?;
            return Ok(exit::DONE);
        }
        if let Some(key) = &self.key {
            entries.retain(|entry| entry.key.contains(key.as_str()));
        }
        if self.changed {
            entries.retain(|entry| entry.origin != Origin::Default);
        }
        if entries.is_empty() && self.key.is_some() {
            let key = self.key.unwrap_or_default();
            return Err(Error::not_found(format!("no setting has `{key}` in its key: `jhalak settings` lists them")));
        }
        let explained = self.key.is_some();
        let mut text: String = entries.iter().map(|entry| line(entry, explained)).collect();
        if entries.is_empty() {
            text = "every setting has its default".to_owned();
        }
        output.print(&entries, &text)?;
        Ok(exit::DONE)
    }
}

/// A value as TOML writes it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn line(entry: &Entry, explained: bool) -> String {
    let mut line = format!("{} = {}  # {}\n", entry.key, shown(&entry.value), entry.origin.shown());
    if explained {
        for row in wrapped(&entry.about, 76) {
            line.push_str(&format!("    {row}\n"));
        }
        let unit = entry.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        line.push_str(&format!(
            "    {}{unit}; default {}; {}\n\n",
            entry.kind,
            shown(&entry.default),
            entry.variable()
        ));
    }
    line
}

/// Breaks a text into lines of at most `width` characters, at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A configuration file in which every setting is commented out.
pub(in crate::commands) fn as_toml(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Settings of Jhalak. Every line that starts with `#key` shows a default: remove the `#` to change it.\n\
         # The environment (JHALAK__SECTION__KEY) and the command line (--set section.key=value) override this file.\n",
    );
    let mut section = "";
    for entry in entries {
        let (of, name) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
        if of != section {
            text.push_str(&format!("\n[{of}]\n"));
            section = of;
        }
        text.push('\n');
        for row in wrapped(&entry.about, 96) {
            text.push_str(&format!("# {row}\n"));
        }
        let unit = entry.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        text.push_str(&format!("# ({}{unit})\n", entry.kind));
        match &entry.default {
            Value::Null => text.push_str(&format!("#{name} =\n")),
            value => text.push_str(&format!("#{name} = {}\n", shown(value))),
        }
    }
    text
}

/// The reference page. Defaults that depend on the machine are described.
fn as_markdown(entries: &[Entry]) -> String {
    let mut text = String::from(
        "# Settings\n\n\
         Settings come from the defaults, then from a TOML file (`--config FILE`, or `jhalak.toml` in the current folder),\n\
         then from the environment (`JHALAK__SECTION__KEY`), then from options (`--set section.key=value`).\n\
         `jhalak settings` shows the values in force and where they came from, `jhalak settings KEY` explains them,\n\
         `jhalak settings --toml` prints a file with every setting, and `jhalak settings --schema` a JSON Schema for\n\
         editors. Unknown keys are refused.\n\n\
         This page is printed by the program from the comments in `common/src/settings`.\n",
    );
    let mut section = None;
    for entry in entries {
        let (of, name) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
        if section != Some(of) {
            let title = if of.is_empty() { "At the top of the file".to_owned() } else { format!("[{of}]") };
            text.push_str(&format!("\n## {title}\n"));
            section = Some(of);
        }
        let default = match entry.key.as_str() {
            "models.folder" | "models.onnxruntime" => {
                "below `.local` if it exists, else in the cache folder".to_owned()
            }
            "worker.scratch" => "the system's folder for temporary files".to_owned(),
            _ => format!("`{}`", shown(&entry.default)),
        };
        let unit = entry.unit.map(|unit| format!(", in {unit}")).unwrap_or_default();
        text.push_str(&format!("\n**`{name}`** ({}{unit}; default {default})\n\n", entry.kind));
        for row in wrapped(&entry.about, 118) {
            text.push_str(&format!("{row}\n"));
        }
    }
    text
}
