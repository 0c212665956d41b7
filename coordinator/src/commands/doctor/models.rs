//! The model checks of `jhalak doctor`: the library, the provider that really runs, each model
//! file, one inference of each.

use jhalak_common::models::{Model, Registry};
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, hash};
use jhalak_worker::detect::trial;
use jhalak_worker::inference::{ModelDiagnostics, Models, library_version};

/// Name, location and result of a check.
type Check = (String, String, Result<String>);

/// Checks the library and every model of the registry whose file exists. A model selected by the settings must exist.
pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let place = settings.models.onnxruntime.display().to_string();
    let library = |found| ("onnxruntime".to_string(), place.clone(), found);
    let opened = Registry::load(settings.models.registry.as_deref()).and_then(|r| Models::open(settings, r));
    let models = match opened {
        Ok(models) => models,
        Err(error) => return vec![library(Err(error))],
    };
    let words = format!(
        "{}; provider {} starts",
        library_version(&settings.models.onnxruntime),
        settings.inference.provider.name()
    );
    let mut checks = vec![library(Ok(words))];
    let chosen: Vec<String> = match models.chosen(settings) {
        Ok(chosen) => chosen.into_iter().map(|m| m.name.clone()).collect(),
        Err(error) => {
            checks.push(("models".into(), "models.video, models.audio".into(), Err(error)));
            Vec::new()
        }
    };
    for model in &models.registry().models {
        let path = settings.models.folder.join(&model.file);
        let name = format!("{} {}", model.role.name(), model.name);
        let found = match path.is_file() {
            true => look(&models, model, &path).await,
            false if chosen.contains(&model.name) => {
                Err(Error::invalid(format!("missing: {}", model.advice_if_missing())))
            }
            false => Ok("missing; fetched when a command needs it".into()),
        };
        checks.push((name, path.display().to_string(), found));
    }
    checks
}

async fn look(models: &Models, model: &Model, path: &std::path::Path) -> Result<String> {
    let (found, _) = hash::of_file(path.to_path_buf()).await?;
    if found != model.sha256 {
        return Err(Error::invalid(format!(
            "its SHA-256 is {found}, the registry lists {}: {}",
            model.sha256,
            model.advice_if_missing()
        )));
    }
    let (notes, examined) = tokio::task::block_in_place(|| {
        let notes = trial::try_model(models, model)?;
        Ok::<_, Error>((notes, models.diagnose(model)?))
    })?;
    Ok(std::iter::once(words(&examined)).chain(notes).collect::<Vec<_>>().join("; "))
}

fn words(examined: &ModelDiagnostics) -> String {
    let tensors = |t: &[(String, Vec<usize>)]| {
        t.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect::<Vec<_>>().join(", ")
    };
    let nodes: Vec<String> = examined.nodes.iter().map(|(provider, n)| format!("{n} nodes on {provider}")).collect();
    format!(
        "checksum matches; {}; {:.1} ms for {} -> {}",
        nodes.join(", "),
        examined.ms,
        tensors(&examined.inputs),
        tensors(&examined.outputs)
    )
}
