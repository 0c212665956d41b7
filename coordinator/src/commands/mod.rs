//! The command line `jhalak`, one file per command.

pub mod args;
#[cfg(feature = "local")]
mod choices;
mod dataset;
mod doctor;
mod given_embeddings;
mod help;
mod init;
#[cfg(feature = "local")]
mod known_names;
mod listings;
mod models;
mod numbers;
mod output_path;
#[cfg(feature = "local")]
mod probe;
mod run_id;
mod runs;
#[cfg(feature = "local")]
mod serve;
#[cfg(feature = "local")]
mod serving;
mod settings;
mod shell;
#[cfg(feature = "local")]
mod training;
#[cfg(feature = "local")]
mod video_args;
#[cfg(feature = "local")]
mod videos;

use clap::{CommandFactory, Parser, Subcommand};
use jhalak_common::redact::{looks_like_url, shown_location};
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
    arg_required_else_help = true,
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
    Export(runs::export::Export),
    Cancel(runs::cancel::Cancel),
    Retry(runs::quarantine::Retry),
    Quarantine(runs::quarantine::Quarantine),
    #[cfg(feature = "local")]
    Serve(serve::Serve),
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
    Extract(videos::extract::Extract),
    #[cfg(feature = "local")]
    Similar(videos::similar::Similar),
    #[cfg(feature = "local")]
    Scenes(videos::scenes::Scenes),
    #[cfg(feature = "local")]
    Keyframes(videos::keyframes::Keyframes),
    #[cfg(feature = "local")]
    Embed(videos::embed::Embed),
    #[cfg(feature = "local")]
    Detect(videos::detect::Detect),
    Init(init::Init),
    Dataset(dataset::DatasetCommand),
    Users(listings::Users),
    Movies(listings::Movies),
    Models(models::ModelsCommand),
    Settings(settings::SettingsCommand),
    Doctor(doctor::Doctor),
    Completions(shell::Completions),
    Man(shell::Man),
    /// Decode one trailer for a job; started by workers
    #[cfg(feature = "local")]
    #[command(hide = true)]
    DecodeChild,
}

impl Cli {
    /// Returns the options that override settings.
    pub fn flags(&self) -> Vec<(String, String)> {
        let mut flags = Vec::new();
        flags.extend(self.global.set.iter().cloned());
        flags.extend(self.global.store.clone().filter(|s| !s.is_empty()).map(|s| ("store".to_owned(), s)));
        flags.extend(self.global.queue.clone().map(|q| ("queue".to_owned(), q)));
        flags
    }
}

/// Whether `url` is that of a folder that does not exist.
fn is_missing_folder(url: &str) -> bool {
    let path = url.strip_prefix("file://").unwrap_or(url);
    !path.is_empty() && !looks_like_url(path) && !std::path::Path::new(path).exists()
}

impl Command {
    /// Whether the command only reads the store, so that a store that does not exist is a mistake.
    fn only_reads(&self) -> bool {
        match self {
            Command::Status(_) | Command::Watch(_) | Command::Report(_) | Command::Export(_) | Command::Cancel(_) => {
                true
            }
            Command::Retry(_) | Command::Quarantine(_) | Command::Doctor(_) => true,
            Command::Users(_) | Command::Movies(_) => true,
            #[cfg(feature = "local")]
            Command::Similar(_) | Command::Recommend(_) | Command::Predict(_) | Command::Serve(_) => true,
            _ => false,
        }
    }

    /// Executes the command and returns the exit code.
    ///
    /// `global`: the options that every command accepts; `set`: the settings that options override.
    pub async fn execute(
        self,
        settings: Settings,
        output: Output,
        global: &GlobalArgs,
        set: &[(String, String)],
    ) -> Result<u8> {
        let store = global.store.as_deref();
        if store == Some("") && !matches!(self, Command::Doctor(_)) {
            return Err(Error::usage("--store needs a URL: file:///path or s3://bucket/prefix"));
        }
        if let Some(url) = store.filter(|url| self.only_reads() && is_missing_folder(url)) {
            return Err(Error::not_found(format!(
                "the store {} of --store does not exist: check the path",
                shown_location(url)
            )));
        }
        match self {
            #[cfg(feature = "local")]
            Command::Run(command) => command.execute(settings, output).await,
            Command::Submit(command) => command.execute(settings, output).await,
            Command::Status(command) => command.execute(settings, output).await,
            Command::Watch(command) => command.execute(settings, output).await,
            Command::Cancel(command) => command.execute(settings, output).await,
            Command::Export(command) => command.execute(settings, output).await,
            Command::Report(command) => command.execute(settings, output).await,
            Command::Quarantine(command) => command.execute(settings, output).await,
            Command::Retry(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Serve(command) => command.execute(settings, output).await,
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
            Command::Init(command) => command.execute(&output),
            Command::Users(command) => command.execute(settings, output).await,
            Command::Movies(command) => command.execute(settings, output).await,
            Command::Completions(command) => command.execute(Cli::command(), &output),
            Command::Man(command) => command.execute(Cli::command(), &output),
            Command::Settings(command) => command.execute(&settings, global.config_file().as_deref(), set, &output),
            #[cfg(feature = "local")]
            Command::Extract(command) => command.execute(settings, output).await,
            #[cfg(feature = "local")]
            Command::Similar(command) => command.execute(settings, output).await,
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
