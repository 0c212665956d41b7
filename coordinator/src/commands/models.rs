//! `jhalak models`: the registry.

use clap::{Args, Subcommand};
use jhalak_common::models::Registry;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, exit, hash};
use serde_json::json;

use super::Output;

/// The registry of models.
#[derive(Args)]
pub struct ModelsCommand {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Every model, what it is for and where it comes from.
    Ls,
    /// Compares every model file with the registry's checksum.
    Verify,
}

impl ModelsCommand {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let registry = Registry::load(settings.models.registry.as_deref())?;
        match self.command {
            Action::Ls => {
                let line = |m: &jhalak_common::models::Model| {
                    let source = m.source.as_ref().map_or_else(
                        || format!("the file {}", m.file.display()),
                        |s| format!("{} package {} {}", s.registry, s.package, s.version),
                    );
                    format!("{:28} {:16} {:10} {source}\n", m.name, m.role.name(), m.licence)
                };
                output.print(&registry.models, &registry.models.iter().map(line).collect::<String>())?;
                Ok(exit::DONE)
            }
            Action::Verify => {
                let (mut answer, mut text, mut wrong) = (Vec::new(), String::new(), Vec::new());
                for model in &registry.models {
                    let path = settings.models.folder.join(&model.file);
                    let state = match hash::of_file(path.clone()).await {
                        Ok((found, _)) if found == model.sha256 => "right",
                        Ok(_) => "another checksum",
                        Err(_) => "missing",
                    };
                    if state != "right" {
                        wrong.push(model.name.as_str());
                    }
                    text.push_str(&format!("{:28} {:16} {}\n", model.name, state, path.display()));
                    answer.push(json!({ "name": model.name, "file": path, "state": state, "sha256": model.sha256 }));
                }
                output.print(&answer, &text)?;
                if wrong.is_empty() {
                    return Ok(exit::DONE);
                }
                Err(Error::invalid(format!(
                    "models that are missing or not what the registry says: {}; run `make setup`",
                    wrong.join(", ")
                )))
            }
        }
    }
}
