//! The command line, one file a command.

pub mod args;
mod dataset;
mod doctor;
mod models;
mod runs;
#[cfg(feature = "local")]
mod serving;
#[cfg(feature = "local")]
mod training;
#[cfg(feature = "local")]
mod videos;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};

use crate::console::output::Output;

/// Turns movie trailers and viewers' feedback into embeddings, a trained preference classifier and an honest report.
///
/// Exit codes: 0 done, 1 a bug, 2 wrong use, 3 invalid input, 4 done but with quarantined jobs, 5 a service unreachable, 130 interrupted.
#[derive(Parser)]
#[command(version, about, name = "jhalak")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Configuration file (TOML); the environment (JHALAK__SECTION__KEY) and flags override it.
    #[arg(long, global = true, env = "JHALAK_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where artifacts and runs are kept: file:///path, a path, or s3://bucket/prefix. (`doctor --store` alone looks through that store.)
    #[arg(long, global = true, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub store: Option<String>,
    /// What carries jobs: amqp://user:password@host:port/vhost. Better in the environment, as JHALAK__QUEUE.
    #[arg(long, global = true, value_name = "URL")]
    pub queue: Option<String>,
    /// Print JSON on standard output, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// More words: -v what happens, -vv the details.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// No progress.
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Does everything in this process, without servers: extraction, embeddings, training, report.
    #[cfg(feature = "local")]
    Run(runs::run::Run),
    /// Plans a run over a dataset and sends its jobs to the workers.
    Submit(runs::submit::Submit),
    /// Says where runs stand.
    Status(runs::status::Status),
    /// Shows how a run goes until it has ended: progress, rate, time left, failures.
    Watch(runs::watch::Watch),
    /// Ends a run before its end; what is committed stays.
    Cancel(runs::cancel::Cancel),
    /// Shows a run's main figures and where its report is.
    Report(runs::report::ReportCommand),
    /// Jobs that were given up: ls, show, requeue, drop.
    Quarantine(runs::quarantine::Quarantine),
    /// Lets the jobs that a run gave up be tried again by the next `run` or `submit`.
    Retry(runs::quarantine::Retry),
    /// Finds the scenes of a video, as PySceneDetect does.
    #[cfg(feature = "local")]
    Scenes(videos::scenes::Scenes),
    /// Chooses the keyframes of a video and writes them as JPEG.
    #[cfg(feature = "local")]
    Keyframes(videos::keyframes::Keyframes),
    /// Evaluates one model in one setting, in this process.
    #[cfg(feature = "local")]
    Evaluate(Box<training::evaluate::Evaluate>),
    /// Finds objects in a picture or in the frames of a video.
    #[cfg(feature = "local")]
    Detect(videos::detect::Detect),
    /// Fits the final model on every rating and stores it.
    #[cfg(feature = "local")]
    Fit(Box<training::fit::Fit>),
    /// Predicts what a viewer thinks of a movie, and why.
    #[cfg(feature = "local")]
    Predict(serving::predict::Predict),
    /// Recommends movies to a viewer, and says why.
    #[cfg(feature = "local")]
    Recommend(serving::recommend::Recommend),
    /// Looks at a dataset: check, describe.
    Dataset(dataset::DatasetCommand),
    /// Embeds one video file: a vector of its pictures, a vector of its sound.
    #[cfg(feature = "local")]
    Embed(videos::embed::Embed),
    /// The registry of models: ls, fetch, verify.
    Models(models::ModelsCommand),
    /// Says whether everything that a run needs is there.
    Doctor(doctor::Doctor),
    /// Decodes one trailer as a job asks for it; started by workers.
    #[cfg(feature = "local")]
    #[command(hide = true)]
    DecodeChild,
}

impl Cli {
    /// The flags that override settings.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let mut flags = Vec::new();
        flags.extend(self.store.clone().filter(|s| !s.is_empty()).map(|s| ("store", s)));
        flags.extend(self.queue.clone().map(|q| ("queue", q)));
        flags
    }
}

impl Command {
    /// Does it. Returns the exit code.
    pub async fn execute(self, settings: Settings, output: Output, store: Option<&str>) -> Result<u8> {
        if store == Some("") && !matches!(self, Command::Doctor(_)) {
            return Err(Error::usage("--store names no store: write --store file:///path or s3://bucket/prefix"));
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
