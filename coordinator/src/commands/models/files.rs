//! The files of the registry's models: where they are and whether they are those of the registry.

use std::path::PathBuf;

use jhalak_common::models::{Model, Registry};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};

/// State of a model file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Right,
    Differs,
    Missing,
}

/// Origin of a model.
pub(super) fn origin(model: &Model) -> String {
    match &model.source {
        Some(source) => format!("{} package {} {}", source.registry, source.package, source.version),
        None => format!("the file {}", model.file.display()),
    }
}

/// The models `names`; all models if `names` is empty.
pub(super) fn chosen<'a>(registry: &'a Registry, names: &[String]) -> Result<Vec<&'a Model>> {
    if names.is_empty() {
        return Ok(registry.models.iter().collect());
    }
    let named = |name: &String| {
        registry.models.iter().find(|model| model.name == *name).ok_or_else(|| {
            let known: Vec<&str> = registry.models.iter().map(|model| model.name.as_str()).collect();
            Error::invalid(format!("the registry has no model `{name}`; it has: {}", known.join(", ")))
        })
    };
    names.iter().map(named).collect()
}

pub(super) fn path_of(settings: &Settings, model: &Model) -> PathBuf {
    settings.models.folder.join(&model.file)
}

pub(super) async fn state_of(settings: &Settings, model: &Model) -> State {
    match hash::of_file(path_of(settings, model)).await {
        Ok((found, _)) if found == model.sha256 => State::Right,
        Ok(_) => State::Differs,
        Err(_) => State::Missing,
    }
}
