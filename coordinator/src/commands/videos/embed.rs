//! `jhalak embed`: the embeddings of one video.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;
use jhalak_common::artifact::embedding_file::{self, Named};
use jhalak_common::artifact::recipes::{AudioEmbeddingParams, KEYFRAMES};
use jhalak_common::hash::Hash;
use jhalak_common::models::{Model, Registry, Role};
use jhalak_common::process::exit;
use jhalak_common::settings::{KeyframePosition, Settings};
use jhalak_common::{Error, Result};
use jhalak_worker::embed::{audio, video};
use jhalak_worker::inference::Models;
use jhalak_worker::media::ffmpeg::source::NO_VIDEO;
use jhalak_worker::media::{
    AudioSettings, AudioTrack, DecodeReport, DecodeRequest, KeyframeSettings, Position, SoundChoice,
};
use serde::Serialize;

use crate::commands::models::first_use;
use crate::commands::output_path;
use crate::commands::video_args::{self, Decoded};
use crate::console::files;
use crate::console::output::Output;

/// Compute the embeddings of one video or sound file
///
/// Runs the keyframes through the video model and the sound through the audio model. With --json, prints {"file",
/// "embeddings": [{"modality", "model", "sha256", "dimension", "parts", "vector": [...]}]}. An embedding
/// of a video without sound, or of a sound file without video, has dimension 0, and "without" gives the reason.
#[derive(Args)]
#[command(after_help = "Examples:
  # Embed a clip with the models of the settings
  jhalak embed .local/demo/dataset/trailers/tt9900001.mp4
  # Embed its sound, and write the vector to a file
  jhalak embed .local/demo/dataset/trailers/tt9900001.mp4 \\
    --model speech-embedding --out .local/sound.safetensors")]
pub struct Embed {
    /// Video or sound file
    #[arg(value_name = "VIDEO|SOUND")]
    file: PathBuf,
    /// Name of a model, as listed by `jhalak models ls`; repeatable
    ///
    /// [default: models of the settings models.video and models.audio]
    #[arg(long, value_name = "NAME", help_heading = "Model")]
    model: Vec<String>,
    /// Write the vectors to this file too
    ///
    /// One tensor per model, and one per video model with a row per keyframe.
    #[arg(
        long,
        value_name = "FILE.safetensors",
        value_parser = output_path::file("in the form safetensors", &["safetensors"]),
        help_heading = "Output"
    )]
    out: Option<PathBuf>,
}

/// One embedding of the file.
#[derive(Serialize)]
struct Answer {
    modality: &'static str,
    model: String,
    sha256: Hash,
    dimension: usize,
    /// Keyframes seen, or windows and frames of sound heard.
    parts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<String>,
    /// Which sound track was read, if the file has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<SoundChoice>,
    vector: Vec<f32>,
    #[serde(skip)]
    rows: Option<Vec<f32>>,
}

impl Embed {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let names = match self.model.is_empty() {
            true => vec![settings.models.video.clone(), settings.models.audio.clone()],
            false => self.model.clone(),
        };
        first_use::fetch_missing(&settings, &names, &output).await?;
        let models = Models::open(&settings, Registry::load(settings.models.registry.as_deref())?)?;
        let roles: Vec<Role> = Role::VIDEO.into_iter().chain(Role::AUDIO).collect();
        let wanted: Vec<Model> =
            names.iter().map(|n| models.registry().one_of(n, &roles).cloned()).collect::<Result<_>>()?;
        let rates: Vec<Option<u32>> = wanted.iter().map(|m| sample_rate(m, &models)).collect::<Result<_>>()?;
        let sounds: BTreeSet<u32> = rates.iter().flatten().copied().collect();
        // One decode covers keyframes and sound; each further sample rate needs another.
        let first = sounds.first().copied();
        let pictures = rates.contains(&None).then(|| keyframe_settings(&settings));
        let both = match self.decode(&settings, pictures, first).await {
            // The models of the settings: a file of sound alone has an audio embedding.
            Err(error) if self.model.is_empty() && error.to_string().contains(NO_VIDEO) => {
                self.decode(&settings, None, first).await?
            }
            other => other?,
        };
        let mut decoded = BTreeMap::from([(first, both)]);
        for &rate in sounds.iter().skip(1) {
            decoded.insert(Some(rate), self.decode(&settings, None, Some(rate)).await?);
        }
        let mut answers = Vec::new();
        for (model, rate) in wanted.iter().zip(rates) {
            let report = &decoded[&rate.or(first)].report;
            answers.push(tokio::task::block_in_place(|| answer(model, &models, report))?);
        }
        self.print(&answers, &output)?;
        Ok(exit::DONE)
    }

    async fn decode(
        &self,
        settings: &Settings,
        keyframes: Option<KeyframeSettings>,
        sample_rate: Option<u32>,
    ) -> Result<Decoded> {
        let ask = |request: &mut DecodeRequest| {
            request.keyframes = keyframes;
            request.audio = sample_rate.map(|sample_rate| AudioSettings { sample_rate });
        };
        video_args::decode(&self.file, settings, ask, video_args::Hook::None).await
    }

    /// The metadata of the file.
    fn about(&self, answers: &[Answer]) -> serde_json::Value {
        let models: BTreeMap<&str, &Hash> = answers.iter().map(|a| (a.model.as_str(), &a.sha256)).collect();
        serde_json::json!({ "file": self.file.file_name().map(|name| name.to_string_lossy()), "models": models })
    }

    fn print(&self, answers: &[Answer], output: &Output) -> Result<()> {
        if let Some(out) = &self.out {
            let mut tensors = Vec::new();
            for answer in answers.iter().filter(|a| a.dimension > 0) {
                let name = |part: &str| format!("{}{part}", answer.model);
                tensors.push(Named { name: name(""), shape: vec![answer.dimension], data: &answer.vector });
                if let Some(rows) = &answer.rows {
                    let shape = vec![rows.len() / answer.dimension, answer.dimension];
                    tensors.push(Named { name: name(".parts"), shape, data: rows });
                }
            }
            files::make_folder_of(out)?;
            files::write(out, &embedding_file::encode_named(tensors, &self.about(answers))?)?;
        }
        let line = |a: &Answer| match &a.without {
            Some(why) => format!("{:5} {}: no embedding: {why}\n", a.modality, a.model),
            None => {
                let first: Vec<String> = a.vector.iter().take(4).map(|v| format!("{v:.5}")).collect();
                let of = if a.modality == "video" { "keyframes" } else { "sound windows" };
                let track = a.track.map_or_else(String::new, |track| format!(" of {track}"));
                format!(
                    "{:5} {}: {} numbers from {} {of}{track}: {}, ...\n",
                    a.modality,
                    a.model,
                    a.dimension,
                    a.parts,
                    first.join(", ")
                )
            }
        };
        let mut text: String = answers.iter().map(line).collect();
        if let Some(out) = &self.out {
            text.push_str(&format!("written to {}\n", out.display()));
        }
        output.print(&serde_json::json!({ "file": self.file, "embeddings": answers }), &text)
    }
}

/// Sample rate of an audio model; None for a video model.
fn sample_rate(model: &Model, models: &Models) -> Result<Option<u32>> {
    if Role::VIDEO.contains(&model.role) {
        return Ok(None);
    }
    let (params, _) = AudioEmbeddingParams::of(model, models.registry(), models.inference())?;
    Ok(Some(params.sample_rate_hz()))
}

fn keyframe_settings(settings: &Settings) -> KeyframeSettings {
    KeyframeSettings {
        count: KEYFRAMES,
        position: match settings.extract.keyframe_position {
            KeyframePosition::Start => Position::Start,
            KeyframePosition::Middle => Position::Middle,
        },
        jpeg_quality: settings.extract.jpeg_quality,
    }
}

fn answer(model: &Model, models: &Models, report: &DecodeReport) -> Result<Answer> {
    let modality = if Role::VIDEO.contains(&model.role) { "video" } else { "audio" };
    let mut answer = Answer {
        modality,
        model: model.name.clone(),
        sha256: model.sha256,
        dimension: 0,
        parts: 0,
        without: None,
        track: None,
        vector: Vec::new(),
        rows: None,
    };
    match (modality, &report.audio) {
        ("video", _) if report.video.codec.is_empty() => answer.without = Some(NO_VIDEO.into()),
        ("video", _) => {
            let tar = report.keyframes_tar.as_ref().ok_or_else(|| Error::bug("no keyframes were cut"))?;
            let found = video::embed(&std::fs::read(tar)?, model, models.session(model)?.as_ref())?;
            (answer.parts, answer.vector, answer.rows) = (found.seen, found.mean, found.frames);
        }
        (_, Some(AudioTrack::Present { file, choice, .. })) => {
            answer.track = *choice;
            match audio::embed(BufReader::new(File::open(file)?), model, models)? {
                Some(embedded) => (answer.parts, answer.vector) = (embedded.windows, embedded.mean),
                None => answer.without = Some("the audio stream holds no sample".into()),
            }
        }
        (_, Some(AudioTrack::None { reason })) => answer.without = Some(reason.clone()),
        (_, None) => return Err(Error::bug("the sound was not decoded")),
    }
    answer.dimension = answer.vector.len();
    Ok(answer)
}
