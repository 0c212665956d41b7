//! Fetches ONNX Runtime and models at their first use, into the cache folder alone.

use jhalak_common::Result;
use jhalak_common::models::{Model, Registry};
use jhalak_common::settings::{Settings, cache_folder};

use super::fetch;
use super::files::path_of;
use crate::console::output::Output;

/// Fetches what is missing of the library and of the models `names`, if it belongs into the cache
/// folder: other locations are the user's, and are not written to. Says so first.
pub(in crate::commands) async fn fetch_missing(settings: &Settings, names: &[String], output: &Output) -> Result<()> {
    let Some(cache) = cache_folder() else { return Ok(()) };
    let library = &settings.models.onnxruntime;
    if library.starts_with(&cache) && !library.exists() {
        output.progress.say(&format!("first use: fetching ONNX Runtime into {}", library.display()));
        fetch::library(library).await?;
    }
    if !settings.models.folder.starts_with(&cache) {
        return Ok(());
    }
    let registry = Registry::load(settings.models.registry.as_deref())?;
    // A model of sound needs the one that computes its input.
    let needed_by = |model: &Model| {
        let features = model.windows.as_ref().map(|windows| windows.features.clone());
        features.into_iter().chain(model.waveform.as_ref().and_then(|waveform| waveform.moments.clone()))
    };
    let mut wanted: Vec<String> = names.to_vec();
    wanted.extend(registry.models.iter().filter(|model| names.contains(&model.name)).flat_map(needed_by));
    let is_missing =
        |model: &&Model| wanted.contains(&model.name) && model.source.is_some() && !path_of(settings, model).exists();
    let missing: Vec<&Model> = registry.models.iter().filter(is_missing).collect();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|model| model.name.as_str()).collect();
        let folder = settings.models.folder.display();
        output.progress.say(&format!("first use: fetching {} into {folder}", names.join(", ")));
        fetch::run(settings, &missing).await?;
    }
    Ok(())
}

/// The models that a run with these settings uses.
pub(in crate::commands) fn of_settings(settings: &Settings) -> Result<Vec<String>> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let (_, models) = jhalak_common::artifact::recipes::recipes(settings, &registry)?;
    Ok(models.into_iter().map(|model| model.name).collect())
}
