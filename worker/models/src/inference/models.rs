//! Models through ONNX Runtime: loaded once when first used, each owned by one thread, fed by a bounded channel.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use jhalak_common::artifact::recipes::AudioEmbeddingParams;
use jhalak_common::hash::Hash;
use jhalak_common::models::{Model, Registry, Role};
use jhalak_common::settings::{InferenceSettings, ModelSettings, Settings, Strategy};
use jhalak_common::{Error, Result};
use ort::environment::Environment;

use super::diagnostics::{self, Examined};
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
    /// Loads ONNX Runtime and checks that the provider that is asked for can be used; the models themselves are loaded when first used.
    ///
    /// # Errors
    /// InvalidInput where the library is missing or no ONNX Runtime, with its path; Transient where the provider is not there.
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

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// How models are run.
    pub fn inference(&self) -> &InferenceSettings {
        &self.inference
    }

    /// The model whose file has this checksum (recipes name models so) and that is fed as `fits` says.
    pub fn by_checksum(&self, sha256: &Hash, roles: &[Role], fits: impl Fn(&Model) -> bool) -> Result<&Model> {
        let mut known =
            self.registry.models.iter().filter(|m| m.sha256 == *sha256 && roles.contains(&m.role)).peekable();
        let first = known.peek().map(|m| m.name.clone());
        // Another worker, of the version that planned this, may have it: hence transient.
        known.find(|m| fits(m)).ok_or_else(|| match first {
            Some(name) => Error::transient(format!(
                "this worker feeds or runs the model {name} in another way than the job asks for (its registry, inference.threads, inference.provider): start workers with the coordinator's settings"
            )),
            None => Error::transient(format!(
                "this worker's registry has no {} model with the checksum {sha256} that the job asks for",
                roles.iter().map(|r| r.name()).collect::<Vec<_>>().join(" or ")
            )),
        })
    }

    /// The models that the settings choose, the ones that they need included.
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

    /// Loads the models that the settings choose, so that a worker that cannot work says so at its start.
    pub fn load_chosen(&self, settings: &Settings) -> Result<()> {
        self.chosen(settings)?.into_iter().try_for_each(|model| self.session(model).map(drop))
    }

    /// The session of a model, loaded and checked when first asked for.
    pub fn session(&self, model: &Model) -> Result<Arc<Session>> {
        let mut loaded = self.loaded.lock().map_err(|_| Error::bug("loading a model panicked before"))?;
        if let Some(session) = loaded.get(&model.name) {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::load(&self.environment, model, &self.folder, &self.inference)?);
        embedder_contract::check(model, session.contract())?;
        loaded.insert(model.name.clone(), session.clone());
        Ok(session)
    }

    /// Runs a model once, on zeros of a shape that it takes, and says what computed it and how long that took.
    pub fn examine(&self, model: &Model) -> Result<Examined> {
        diagnostics::examine(&self.environment, model, &self.folder, &self.inference)
    }
}

/// The process's one ONNX Runtime.
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
    let cannot = |e: String| Error::invalid(format!("{} cannot be used as ONNX Runtime: {e}", path.display()));
    let environment = ort::init_from(path)
        .map_err(|e| cannot(e.to_string()))?
        .with_name("jhalak")
        .with_telemetry(false)
        .build()
        .map_err(|e| cannot(e.to_string()))?;
    Ok(ENVIRONMENT.get_or_init(|| Arc::new(environment)).clone())
}
