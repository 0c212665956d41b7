//! The models of a worker: each is loaded once, when first used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use jhalak_common::artifact::recipes::AudioEmbeddingParams;
use jhalak_common::hash::Hash;
use jhalak_common::models::{Model, Registry, Role};
use jhalak_common::settings::{InferenceSettings, ModelSettings, Settings, Strategy};
use jhalak_common::{Error, Result};
use ort::environment::Environment;

use super::diagnostics::{self, ModelDiagnostics};
use super::embedder_contract;
use super::session::Session;

/// The models of a worker.
pub struct Models {
    registry: Registry,
    folder: PathBuf,
    inference: InferenceSettings,
    environment: Arc<Environment>,
    loaded: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl Models {
    /// Loads ONNX Runtime and checks that the configured provider works. Models are loaded when
    /// first used.
    ///
    /// # Errors
    /// InvalidInput, with the path, if the library is missing or is not ONNX Runtime; Transient if
    /// the provider is missing.
    pub fn open(settings: &Settings, registry: Registry) -> Result<Models> {
        let models = Models {
            registry,
            folder: settings.models.folder.clone(),
            inference: settings.inference.clone(),
            environment: environment(&settings.models)?,
            loaded: Mutex::default(),
        };
        diagnostics::try_provider(&models.environment, &models.inference)?;
        Ok(models)
    }

    /// Returns the registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the inference settings.
    pub fn inference(&self) -> &InferenceSettings {
        &self.inference
    }

    /// Returns the model with this checksum, as named in recipes, whose entry satisfies `fits`.
    pub fn by_checksum(&self, sha256: &Hash, roles: &[Role], fits: impl Fn(&Model) -> bool) -> Result<&Model> {
        let mut known =
            self.registry.models.iter().filter(|m| m.sha256 == *sha256 && roles.contains(&m.role)).peekable();
        let first = known.peek().map(|m| m.name.clone());
        // Not the job's fault: a worker with the registry of the coordinator may have the model.
        known.find(|m| fits(m)).ok_or_else(|| match first {
            Some(name) => Error::unable(format!(
                "this worker feeds or runs the model {name} in another way than the job requires (see its registry, inference.threads, inference.provider): start workers with the settings of the coordinator"
            )),
            None => Error::unable(format!(
                "the registry of this worker has no {} model with the checksum {sha256} that the job requires",
                roles.iter().map(|r| r.name()).collect::<Vec<_>>().join(" or ")
            )),
        })
    }

    /// Returns the models that the settings select, with the models that these need.
    pub fn chosen(&self, settings: &Settings) -> Result<Vec<&Model>> {
        let video = self.registry.one_of(&settings.models.video, &Role::VIDEO)?;
        let audio = self.registry.one_of(&settings.models.audio, &Role::AUDIO)?;
        let detector = match settings.extract.strategy {
            Strategy::SceneObject => Some(self.registry.model(&settings.models.detector, Role::Detector)?),
            Strategy::EqualInterval | Strategy::SceneMiddle => None,
        };
        let (_, heard) = AudioEmbeddingParams::of(audio, &self.registry, &self.inference)?;
        Ok(std::iter::once(video).chain(heard).chain(detector).collect())
    }

    /// Returns the session of a model; loads and checks it on the first call.
    pub fn session(&self, model: &Model) -> Result<Arc<Session>> {
        let mut loaded = self.loaded.lock().map_err(|_| Error::bug("an earlier load of a model panicked"))?;
        if let Some(session) = loaded.get(&model.name) {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::load(&self.environment, model, &self.folder, &self.inference)?);
        embedder_contract::check(model, session.contract())?;
        loaded.insert(model.name.clone(), session.clone());
        Ok(session)
    }

    /// Runs a model on zeros of a shape that it accepts, and reports the provider of each node and
    /// the time.
    pub fn diagnose(&self, model: &Model) -> Result<ModelDiagnostics> {
        diagnostics::diagnose(&self.environment, model, &self.folder, &self.inference)
    }
}

/// Returns the ONNX Runtime environment, one per process.
fn environment(settings: &ModelSettings) -> Result<Arc<Environment>> {
    static ENVIRONMENT: OnceLock<Arc<Environment>> = OnceLock::new();
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment.clone());
    }
    let path = &settings.onnxruntime;
    if !path.is_file() {
        return Err(Error::invalid(format!(
            "ONNX Runtime is not at {}: run `make setup`, or set models.onnxruntime",
            path.display()
        )));
    }
    let cannot = |e: String| Error::invalid(format!("cannot use {} as ONNX Runtime: {e}", path.display()));
    let environment = ort::init_from(path)
        .map_err(|e| cannot(e.to_string()))?
        .with_name("jhalak")
        .with_telemetry(false)
        .build()
        .map_err(|e| cannot(e.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| Arc::new(environment)).clone())
}
