//! Layout of the --help pages: one form for defaults and examples on every command, global options
//! only on the first page.

use std::path::PathBuf;

use clap::builder::Styles;
use clap::{Arg, ArgAction, Args, Command};
use jhalak_common::settings::Settings;

/// Summary of `jhalak --help`.
pub(super) const ABOUT: &str = "Predict which movies viewers like, from trailers and viewers' feedback";

/// Exit codes, shown at the top of `jhalak --help`.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 success, 1 internal error (a bug), 2 usage error, 3 invalid input, \
                                     4 finished with quarantined or left out parts, 5 service unreachable, 6 this machine cannot do the \
                                     work, 7 disk or store full, 8 the slot has a run of other settings, 130 interrupted";

/// The configuration file that is read without --config.
const CONFIG_HERE: &str = "jhalak.toml";

/// Last line of every command's page.
const GLOBAL_OPTIONS: &str = "Global options (--config, --set, --store, --queue, --json, -v, -q): see `jhalak --help`";

/// The options that every command accepts.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file (TOML)
    ///
    /// Environment variables (JHALAK__SECTION__KEY) override the file, and options override both.
    ///
    /// [default: jhalak.toml in the current folder, if it exists]
    #[arg(long, global = true, env = "JHALAK_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a setting, as in extract.jpeg_quality=90; repeatable
    ///
    /// `jhalak settings` lists all settings. Commas separate the values of a list.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub set: Vec<(String, String)>,
    /// Location of artifacts and runs: a path, file:///path or s3://bucket/prefix
    ///
    /// `jhalak doctor --store` without a URL checks the configured store.
    ///
    /// [default: setting store]
    #[arg(long, global = true, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub store: Option<String>,
    /// Message queue: amqp://user:password@host:port/vhost
    ///
    /// Prefer the environment variable JHALAK__QUEUE, which keeps the password out of the process list. `memory:` is
    /// the queue of `jhalak run`, inside one process.
    ///
    /// [default: setting queue]
    #[arg(long, global = true, value_name = "URL")]
    pub queue: Option<String>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Increase log verbosity: -v logs progress, -vv details
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Hide progress output
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print help: -h a summary, --help details and examples
    #[arg(short, long, global = true, action = ArgAction::Help)]
    pub help: Option<bool>,
}

impl GlobalArgs {
    /// Returns the configuration file: the given one, or `jhalak.toml` in the current folder.
    pub fn config_file(&self) -> Option<PathBuf> {
        let here = || Some(PathBuf::from(CONFIG_HERE)).filter(|file| file.is_file());
        self.config.clone().or_else(here)
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write section.key=value")?;
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_.".contains(c);
    match key.trim() {
        key if !key.is_empty() && key.chars().all(is_word) => Ok((key.to_owned(), value.trim().to_owned())),
        _ => Err("the key of a setting has letters, digits, `_` and `.`".to_owned()),
    }
}

/// The page of a subcommand: completes its defaults and examples, and leaves the global options to the first page.
///
/// clap copies a global option only into subcommands that lack its id, so a hidden copy is added first.
pub(super) fn subcommand(command: Command) -> Command {
    let globals = GlobalArgs::augment_args(Command::new("globals"));
    let hidden = globals.get_arguments().map(|arg| arg.clone().hide_short_help(true).hide_long_help(true));
    let examples = styled(&command.get_after_help().map(ToString::to_string).unwrap_or_default());
    let is_hidden = command.is_hide_set();
    let command = command.mut_args(with_default).mut_subcommands(subcommand).args(hidden);
    if is_hidden {
        return command;
    }
    command
        .after_help(format!("{examples}\n\nUse --help for details\n{GLOBAL_OPTIONS}"))
        .after_long_help(format!("{examples}\n\n{GLOBAL_OPTIONS}"))
}

/// Returns the examples with their heading in clap's style.
pub(super) fn styled(examples: &str) -> String {
    let styles = Styles::default();
    let heading = styles.get_header();
    examples.replacen("Examples:", &format!("{heading}Examples:{heading:#}"), 1)
}

/// Moves a last paragraph `[default: ...]` of an option's doc comment into clap's form, on the short page too.
///
/// `[default: setting KEY]` becomes the built-in value of the setting and its key.
pub(super) fn with_default(arg: Arg) -> Arg {
    // `--threshold -5` is a value out of range, not an option.
    let arg = if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let long = arg.get_long_help().map(ToString::to_string).unwrap_or_default();
    let Some((text, default)) = long.rsplit_once("\n\n[default: ") else { return arg };
    let default = default.trim_end_matches(']');
    let default = match default.strip_prefix("setting ") {
        Some(key) => format!("{} (setting {key})", built_in(key)),
        None => default.to_owned(),
    };
    arg.help(format!("{help} [default: {default}]")).long_help(format!("{text}\n\n[default: {default}]"))
}

/// The value of a setting that nobody has set; empty for an unknown key.
fn built_in(key: &str) -> String {
    let settings = serde_json::to_value(Settings::default()).unwrap_or_default();
    match settings.pointer(&format!("/{}", key.replace('.', "/"))) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::commands::Cli;

    /// Every visible command below `command`, with its name as it is typed.
    fn pages(command: &Command, path: &str) -> Vec<(String, Command)> {
        let path = format!("{path}{} ", command.get_name());
        let mut found = vec![(path.trim_end().to_owned(), command.clone())];
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            found.extend(pages(sub, &path));
        }
        found
    }

    fn all() -> Vec<(String, Command)> {
        pages(&Cli::command(), "")
    }

    /// The indented lines under "Examples:".
    fn example_lines(command: &Command) -> Vec<String> {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect()
    }

    /// The command lines among `lines`, those over several lines joined.
    fn commands(lines: &[String]) -> Vec<String> {
        let joined = lines.join("\n").replace("\\\n", " ");
        // A redirection or a pipe is not part of the command.
        let command = |line: &str| line.split(" > ").next().unwrap_or(line).trim().to_owned();
        joined.lines().map(command).filter(|line| !line.starts_with('#')).collect()
    }

    /// Splits a command line at spaces outside double quotes.
    fn words(line: &str) -> Vec<String> {
        let split = |(at, part): (usize, &str)| match at % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        };
        line.split('"').enumerate().flat_map(split).collect()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_summary_of_one_line() {
        for (name, command) in all() {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n'), "{name}: {about}");
            let column = if name.contains(' ') { "  quarantine  ".len() } else { 0 };
            assert!(column + about.len() <= 80, "{name}: wraps in the list of commands: {about}");
            assert!(about.starts_with(char::is_uppercase) && !about.ends_with('.'), "{name}: {about}");
        }
    }

    #[test]
    fn every_option_has_a_short_summary_and_a_heading() {
        for (name, command) in all() {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let summary = help.split(" [default: ").next().unwrap_or_default();
                assert!(!summary.is_empty() && summary.len() <= 100, "{name} {}: {help}", arg.get_id());
                assert!(arg.is_positional() || arg.get_help_heading().is_some(), "{name} {}: no heading", arg.get_id());
                assert!(!help.contains("[default:  (setting"), "{name} {}: an unknown setting", arg.get_id());
            }
        }
    }

    #[test]
    fn every_command_has_two_examples_that_parse() {
        for (name, command) in all() {
            let lines = example_lines(&command);
            for line in &lines {
                assert!(line.len() <= 80, "{name}: wider than 80 columns: {line}");
            }
            let commands = commands(&lines);
            assert!(commands.len() >= 2, "{name}: {commands:?}");
            assert!(commands.iter().any(|line| line.starts_with(&name)), "{name}: {commands:?}");
            for line in &commands {
                if let Err(error) = Cli::try_parse_from(words(line)) {
                    panic!("{name}: {line}: {error}");
                }
            }
        }
    }

    #[test]
    fn global_options_are_accepted_before_and_after_a_subcommand() {
        for line in ["jhalak --store s --json quarantine ls", "jhalak quarantine --json ls --store s"] {
            let cli = Cli::try_parse_from(words(line)).expect("accepted anywhere");
            assert!(cli.global.json && cli.global.store.as_deref() == Some("s"), "{line}");
        }
    }

    #[test]
    fn global_options_are_described_on_the_first_page_alone() {
        let mut root = Cli::command();
        assert!(root.render_long_help().to_string().contains("--config <FILE>"));
        root.build();
        let status = root.find_subcommand_mut("status").expect("a command");
        let page = status.render_long_help().to_string();
        assert!(!page.contains("--config <FILE>") && page.contains("see `jhalak --help`"), "{page}");
    }

    #[test]
    fn a_default_from_the_settings_is_shown_with_its_value() {
        let root = Cli::command();
        let submit = root.find_subcommand("submit").expect("a command");
        let grid = submit.get_arguments().find(|arg| arg.get_id() == "grid").expect("an option");
        let help = grid.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.ends_with("[default: standard (setting evaluate.grid)]"), "{help}");
    }
}
