//! The command line `jhalak`, one file per command.

pub mod args;
mod dataset;
mod doctor;
mod help;
mod models;
mod runs;
#[cfg(feature = "local")]
mod serving;
#[cfg(feature = "local")]
mod training;
#[cfg(feature = "local")]
mod videos;

use clap::{Parser, Subcommand};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};

pub use self::help::GlobalArgs;
use crate::console::output::Output;

/// Examples of the first page.
const EXAMPLES: &str = "Examples:
  # Run everything on the demo dataset, in one process
  jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml
  # Recommend three movies to a viewer
  jhalak recommend --user synthetic-001 --top 3

Use `jhalak COMMAND --help` for the options and examples of a command";

/// The command line.
#[derive(Parser)]
#[command(
    name = "jhalak",
    version,
    about = help::ABOUT,
    long_about = format!("{}\n\n{}", help::ABOUT, help::EXIT_CODES),
    after_help = format!("{}\n\n{}", help::styled(EXAMPLES), help::EXIT_CODES),
    after_long_help = help::styled(EXAMPLES),
    disable_help_flag = true,
    disable_version_flag = true,
    mut_args(help::with_default),
    mut_subcommands(help::subcommand)
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// The options that every command accepts.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version, help_heading = "Global options")]
    pub version: Option<bool>,
}

/// The commands, in the order of the help page.
#[expect(missing_docs, reason = "a doc comment here would replace the help of the command's own struct")]
#[derive(Subcommand)]
pub enum Command {
    #[cfg(feature = "local")]
    Run(runs::run::Run),
    Submit(runs::submit::Submit),
    Status(runs::status::Status),
    Watch(runs::watch::Watch),
    Report(runs::report::ReportCommand),
    Cancel(runs::cancel::Cancel),
    Retry(runs::quarantine::Retry),
    Quarantine(runs::quarantine::Quarantine),
    #[cfg(feature = "local")]
    Recommend(serving::recommend::Recommend),
    #[cfg(feature = "local")]
    Predict(serving::predict::Predict),
    #[cfg(feature = "local")]
    Fit(Box<training::fit::Fit>),
    #[cfg(feature = "local")]
    Evaluate(Box<training::evaluate::Evaluate>),
    #[cfg(feature = "local")]
    Compare(training::compare::Compare),
    #[cfg(feature = "local")]
    Scenes(videos::scenes::Scenes),
    #[cfg(feature = "local")]
    Keyframes(videos::keyframes::Keyframes),
    #[cfg(feature = "local")]
    Embed(videos::embed::Embed),
    #[cfg(feature = "local")]
    Detect(videos::detect::Detect),
    Dataset(dataset::DatasetCommand),
    Models(models::ModelsCommand),
    Doctor(doctor::Doctor),
    /// Decode one trailer for a job; started by workers
    #[cfg(feature = "local")]
    #[command(hide = true)]
    DecodeChild,
}

impl Cli {
    /// Returns the options that override settings.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        flags.extend(self.global.store.clone().filter(|s| !s.is_empty()).map(|s| ("store", s)));
        flags.extend(self.global.queue.clone().map(|q| ("queue", q)));
        flags
    }
}

impl Command {
    /// Executes the command and returns the exit code.
    pub async fn execute(self, settings: Settings, output: Output, store: Option<&str>) -> Result<u8> {
        if store == Some("") && !matches!(self, Command::Doctor(_)) {
            return Err(Error::usage("--store needs a URL: file:///path or s3://bucket/prefix"));
        }
        match self {
            #[cfg(feature = "local")]
            Command::Run(command) => command.execute(settings, output).await,
            Command::Submit(command) => command.execute(settings, output).await,
            Command::Status(command) => command.execute(settings, output).await,
            Command::Watch(command) => command.execute(settings, output).await,
            Command::Cancel(command) => command.execute(settings, output).await,
            Command::Report(command) => command.execute(settings, output).await,
            Command::Quarantine(command) => command.execute(settings, output).await,
            Command::Retry(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Scenes(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Keyframes(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Evaluate(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Compare(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Detect(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Fit(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Predict(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Recommend(command) => command.execute(settings, output).await,
            Command::Dataset(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Embed(command) => command.execute(settings, output).await,
            Command::Models(command) => command.execute(settings, output).await,
            Command::Doctor(command) => command.execute(settings, output, store.is_some()).await,
            #[cfg(feature = "local")]
            Command::DecodeChild => Err(Error::bug("decode-child is started before the settings are read")),
        }
    }
}
