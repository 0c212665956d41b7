//! `jhalak keyframes`: the pictures that stand for one video.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::process::exit;
use jhalak_common::settings::{KeyframePosition, Settings};
use jhalak_common::{Error, Result};
use jhalak_worker::detect::Thresholds;
use jhalak_worker::media::{
    self, DecodeReport, DecodeRequest, Keyframe, KeyframeSet, KeyframeSettings, MediaError, Outcome, Padding, Position,
    SceneMiddleSettings, SceneObjectSettings, VideoInfo,
};
use serde::Serialize;

use super::scenes::CutArgs;
use super::video_args::{self, Guest};
use crate::console::output::Output;

/// Chooses the keyframes of a video (16 by default), writes them as JPEG, and says what each was chosen for.
///
/// DIR receives NAME-00.jpg, NAME-01.jpg, ... and keyframes.json, which is what --json prints:
/// {"strategy","file","wanted","keyframes":[{"index","frame","time_s","file",...}],"padding","shortfall","outcome","video",...}.
/// Where a strategy finds fewer than were asked for, "shortfall" says why, and black pictures, listed under "padding", fill up DIR: the rest
/// of the method's clip stays zero.
#[derive(Args)]
pub struct Keyframes {
    /// A video file.
    #[arg(value_name = "VIDEO")]
    video: PathBuf,
    /// How they are chosen.
    #[arg(long, value_enum, default_value_t = Strategy::EqualInterval)]
    strategy: Strategy,
    /// The folder for the pictures; made where it does not exist, files of the same names are replaced.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A contact sheet too: all keyframes in one JPEG with their numbers, times, scenes and objects.
    #[arg(long, value_name = "FILE.jpg")]
    sheet: Option<PathBuf>,
    /// How many.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    count: u32,
    /// JPEG quality, 1 to 100. Default: the setting extract.jpeg_quality.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: Option<u8>,
    /// equal-interval: which point of each interval. Default: the setting extract.keyframe_position.
    #[arg(long, value_enum)]
    position: Option<Point>,
    #[command(flatten)]
    cuts: CutArgs,
    /// scene-object: every how many frames of a scene the detector looks; 1, the default, is the method's every frame.
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    stride: Option<u64>,
    /// scene-object: the detector, by its name in the registry. Default: the setting models.detector.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// scene-object: objects count if the detector is surer than this. Default 0.5.
    #[arg(long, value_name = "0..1")]
    confidence: Option<f32>,
    /// scene-object: scenes of this many frames or fewer are passed over. Default 20.
    #[arg(long, value_name = "FRAMES")]
    longer_than: Option<u64>,
}

/// How keyframes are chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    /// At equal intervals over the video.
    EqualInterval,
    /// The middle frame of each scene, of the scenes in the middle of the video. The method's notebook has --threshold 10.
    SceneMiddle,
    /// The frame of each scene with the most objects times classes, of those the ones with the most objects.
    SceneObject,
}

/// A point of an interval.
#[derive(Clone, Copy, ValueEnum)]
enum Point {
    /// i x D / 16, as the method says.
    Start,
    /// (i + 1/2) x D / 16.
    Middle,
}

#[derive(Serialize)]
struct Answer<'a> {
    strategy: Strategy,
    file: String,
    wanted: u32,
    keyframes: Vec<Keyframe>,
    padding: Vec<Padding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Vec<u64>>,
    outcome: &'a Outcome,
    errors: u64,
    video: &'a VideoInfo,
}

impl Keyframes {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        self.check()?;
        let detector = match self.strategy {
            Strategy::SceneObject => Guest::Detector(self.detector(&settings).await?),
            _ => Guest::Nobody,
        };
        std::fs::create_dir_all(&self.out).map_err(|e| cannot_write(&self.out, &e))?;
        // Absolute, so that a reader finds the pictures from wherever it stands.
        let out = std::path::absolute(&self.out)?;
        let ask = |request: &mut DecodeRequest| self.ask(request, &settings);
        let decoded = video_args::decode(&self.video, &settings, ask, detector).await?;
        let report = &decoded.report;
        let mut set = self.set(report)?;
        unpack(&set, &out)?;
        if let Some(sheet) = &self.sheet {
            media::keyframes::contact_sheet::write(&set.tar, sheet).map_err(|error| match error {
                MediaError::Transient { message } => Error::invalid(message),
                other => other.into(),
            })?;
        }
        set.keyframes.iter_mut().for_each(|keyframe| keyframe.file = below(&out, &keyframe.file));
        set.padding.iter_mut().for_each(|padding| padding.file = below(&out, &padding.file));
        let KeyframeSet { keyframes, padding, wanted, shortfall, histogram, .. } = set;
        let answer = Answer {
            strategy: self.strategy,
            file: self.video.to_string_lossy().into_owned(),
            wanted,
            keyframes,
            padding,
            shortfall,
            histogram,
            outcome: &report.outcome,
            errors: report.errors,
            video: &report.video,
        };
        let file = out.join("keyframes.json");
        let json = serde_json::to_string_pretty(&answer).map_err(|e| Error::bug("keyframes.json").with_source(e))?;
        std::fs::write(&file, json + "\n").map_err(|e| cannot_write(&file, &e))?;
        let found = format!("{} keyframes in {}", answer.keyframes.len(), self.out.display());
        video_args::tell(&self.video, report, &found, &output);
        if let Some(shortfall) = &answer.shortfall {
            output.progress.say(&format!("{shortfall}: {} black pictures fill up", answer.padding.len()));
        }
        output.print(&answer, &answer.keyframes.iter().map(line).collect::<String>())?;
        Ok(exit::DONE)
    }

    /// The detector that scene-object keyframes need. Objects that do not count need not be found.
    async fn detector(&self, settings: &Settings) -> Result<Box<dyn media::Detector + Send>> {
        let name = self.model.as_ref().unwrap_or(&settings.models.detector);
        let confidence = self.confidence.unwrap_or(SceneObjectSettings::default().confidence);
        let detector =
            super::detect::open(settings, name, |how| Thresholds { score: confidence, overlap: how.overlap }).await?;
        detector.check_for_scenes()?;
        Ok(Box::new(detector))
    }

    /// Settings of another strategy are wrong use: silently ignored they would mislead.
    fn check(&self) -> Result<()> {
        let equal = self.strategy == Strategy::EqualInterval;
        let object = self.strategy == Strategy::SceneObject;
        if equal && self.cuts.is_given() {
            return Err(Error::usage("--threshold and --min-scene-len are of scene-middle and scene-object"));
        }
        if !equal && self.position.is_some() {
            return Err(Error::usage("--position is of equal-interval"));
        }
        if !object
            && (self.model.is_some()
                || self.stride.is_some()
                || self.confidence.is_some()
                || self.longer_than.is_some())
        {
            return Err(Error::usage("--model, --stride, --confidence and --longer-than are of scene-object"));
        }
        if self.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
            return Err(Error::usage("--confidence must be 0 to 1"));
        }
        Ok(())
    }

    fn ask(&self, request: &mut DecodeRequest, settings: &Settings) {
        let count = self.count;
        let jpeg_quality = self.quality.unwrap_or(settings.extract.jpeg_quality);
        let scenes = self.cuts.settings();
        match self.strategy {
            Strategy::EqualInterval => {
                let position = match (self.position, settings.extract.keyframe_position) {
                    (Some(Point::Start), _) | (None, KeyframePosition::Start) => Position::Start,
                    (Some(Point::Middle), _) | (None, KeyframePosition::Middle) => Position::Middle,
                };
                request.keyframes = Some(KeyframeSettings { count, position, jpeg_quality });
            }
            Strategy::SceneMiddle => {
                request.scene_middle = Some(SceneMiddleSettings { scenes, count, jpeg_quality });
            }
            Strategy::SceneObject => {
                let SceneObjectSettings { longer_than, confidence, stride, .. } = SceneObjectSettings::default();
                request.scene_object = Some(SceneObjectSettings {
                    scenes,
                    count,
                    jpeg_quality,
                    longer_than: self.longer_than.unwrap_or(longer_than),
                    confidence: self.confidence.unwrap_or(confidence),
                    stride: self.stride.unwrap_or(stride),
                });
            }
        }
    }

    /// The strategy's part of the report.
    fn set(&self, report: &DecodeReport) -> Result<KeyframeSet> {
        let missing = || Error::bug("the decode chose no keyframes");
        match self.strategy {
            Strategy::SceneMiddle => report.scene_middle.clone().ok_or_else(missing),
            Strategy::SceneObject => report.scene_object.clone().ok_or_else(missing),
            Strategy::EqualInterval => Ok(KeyframeSet {
                tar: report.keyframes_tar.clone().ok_or_else(missing)?,
                keyframes: report.keyframes.clone(),
                wanted: self.count,
                shortfall: None,
                padding: Vec::new(),
                histogram: None,
            }),
        }
    }
}

/// Writes the pictures of the archive into `out`, under the names that the report gives them.
fn unpack(set: &KeyframeSet, out: &Path) -> Result<()> {
    let names = set.keyframes.iter().map(|k| &k.file).chain(set.padding.iter().map(|p| &p.file));
    let mut names = names.cloned().collect::<Vec<_>>().into_iter();
    let mut failed = None;
    media::keyframes::archive::read(&set.tar, |sample| {
        // The archive was made from a file that nobody vouches for: a name must not lead out of the folder.
        match names.next().filter(|name| !name.contains('/')) {
            Some(name) => {
                let file = out.join(name);
                failed = std::fs::write(&file, &sample.jpeg).err().map(|e| cannot_write(&file, &e)).or(failed.take());
                Ok(())
            }
            None => Err(MediaError::bug("the archive of keyframes is not what the report says")),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn below(out: &Path, name: &str) -> String {
    out.join(name).to_string_lossy().into_owned()
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    Error::invalid(format!("cannot write {}: {error}", path.display()))
}

/// One keyframe as a person reads it.
fn line(keyframe: &Keyframe) -> String {
    let mut line = format!("{:>3}  {:>10.3} s  frame {:<8}", keyframe.index, keyframe.time_s, keyframe.frame);
    if let Some(scene) = &keyframe.scene {
        line += &format!("  scene {} [{}, {})", scene.index, scene.start, scene.end);
    }
    if let Some(found) = &keyframe.objects {
        line += &format!("  {} objects of {} classes, score {}", found.objects.len(), found.classes, found.score);
    }
    if let Some(first) = keyframe.repeats {
        line += &format!("  the same frame as {first}");
    }
    format!("{line}  {}\n", keyframe.file)
}
