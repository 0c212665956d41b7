//! Models through ONNX Runtime: loaded once when first used, each owned by one thread, fed by a bounded channel.

mod session;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use jhalak_common::models::{Model, Registry, Role};
use jhalak_common::settings::ModelSettings;
use jhalak_common::{Error, Result};
use ort::environment::Environment;

pub use session::{Session, Tensor};

/// The models of a worker.
pub struct Models {
    registry: Registry,
    folder: PathBuf,
    threads: usize,
    environment: Arc<Environment>,
    loaded: Mutex<BTreeMap<String, Arc<Session>>>,
}

impl Models {
    /// Loads ONNX Runtime; the models themselves are loaded when first used.
    ///
    /// # Errors
    /// InvalidInput where the library is missing or no ONNX Runtime, with its path.
    pub fn open(settings: &ModelSettings, registry: Registry) -> Result<Models> {
        Ok(Models {
            registry,
            folder: settings.folder.clone(),
            threads: settings.threads,
            environment: environment(settings)?,
            loaded: Mutex::default(),
        })
    }

    /// The model whose file has this checksum: recipes name models so.
    pub fn by_checksum(&self, sha256: &jhalak_common::hash::Hash, role: Role) -> Result<&Model> {
        self.registry.models.iter().find(|m| m.sha256 == *sha256 && m.role == role).ok_or_else(|| {
            // Another worker, of the version that planned this, may have it.
            Error::transient(format!(
                "this worker's registry has no {} model with the checksum {sha256} that the job asks for",
                role.name()
            ))
        })
    }

    /// Loads the models that the settings choose, so that a worker that cannot work says so at its start.
    pub fn load_chosen(&self, settings: &ModelSettings) -> Result<()> {
        let audio = self.registry.model(&settings.audio, Role::AudioEmbedding)?;
        let mut chosen = vec![self.registry.model(&settings.video, Role::ImageEmbedding)?, audio];
        if let Some(windows) = &audio.windows {
            chosen.push(self.registry.model(&windows.features, Role::AudioFeatures)?);
        }
        chosen.into_iter().try_for_each(|model| self.session(model).map(drop))
    }

    /// The session of a model, loaded and checked when first asked for.
    pub fn session(&self, model: &Model) -> Result<Arc<Session>> {
        let mut loaded = self.loaded.lock().map_err(|_| Error::bug("loading a model panicked before"))?;
        if let Some(session) = loaded.get(&model.name) {
            return Ok(session.clone());
        }
        let session = Arc::new(Session::load(&self.environment, model, &self.folder, self.threads)?);
        loaded.insert(model.name.clone(), session.clone());
        Ok(session)
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
