//! `jhalak keyframes`: the keyframes of one video.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::counted::counted;
use jhalak_common::process::exit;
use jhalak_common::settings::{KeyframePosition, Settings};
use jhalak_common::{Error, Result};
use jhalak_worker::detect::Thresholds;
use jhalak_worker::media::{
    self, DecodeReport, DecodeRequest, Keyframe, KeyframeSet, KeyframeSettings, MediaError, Outcome, Padding, Position,
    SceneMiddleSettings, SceneObjectSettings, VideoInfo,
};
use serde::Serialize;

use super::earlier_pictures::{Earlier, LIST};
use super::scenes::CutArgs;
use crate::commands::video_args::{self, Hook};
use crate::commands::{numbers, output_path};
use crate::console::files::{self, cannot_write};
use crate::console::output::Output;

/// Extract the keyframes of a video as JPEG files
///
/// Writes NAME-00.jpg, NAME-01.jpg, ... and keyframes.json to the output folder. --json prints the same object:
/// {"strategy", "file", "wanted", "keyframes": [{"index", "frame", "time_s", "file", ...}], "padding", "shortfall",
/// "outcome", "video", ...}.
///
/// If a strategy finds fewer keyframes than requested, "shortfall" gives the reason, and black images, listed under
/// "padding", complete the set, as in the paper's method.
#[derive(Args)]
#[command(after_help = "Examples:
  # Extract 16 keyframes at equal intervals
  jhalak keyframes .local/demo/dataset/trailers/tt9900001.mp4 --out .local/keys
  # Extract the middle frame of each scene, and a contact sheet
  jhalak keyframes .local/demo/dataset/trailers/tt9900002.mp4 \\
    --out .local/keys --strategy scene-middle --sheet .local/sheet.jpg")]
pub struct Keyframes {
    /// Video file
    #[arg(value_name = "VIDEO")]
    video: PathBuf,
    /// Strategy that selects keyframes
    #[arg(long, value_enum, default_value_t = Strategy::EqualInterval, help_heading = "Selection")]
    strategy: Strategy,
    /// Folder for the JPEG files
    ///
    /// Created if missing. Pictures of an earlier call for the same video are replaced, and those of them that this
    /// call does not write are removed.
    #[arg(long, value_name = "DIR", value_parser = output_path::folder(), help_heading = "Output")]
    out: PathBuf,
    /// Write a contact sheet too: one picture, .jpg or .png, of all keyframes with times and objects
    #[arg(long, value_name = "FILE", value_parser = video_args::picture(), help_heading = "Output")]
    sheet: Option<PathBuf>,
    /// Number of keyframes, 1 to 256
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..=256),
        help_heading = "Selection"
    )]
    count: u32,
    /// JPEG quality, 1 to 100
    ///
    /// [default: setting extract.jpeg_quality]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100), help_heading = "Output")]
    quality: Option<u8>,
    /// Point of each interval (equal-interval)
    ///
    /// [default: setting extract.keyframe_position]
    #[arg(long, value_enum, help_heading = "Selection")]
    position: Option<Point>,
    #[command(flatten)]
    cuts: CutArgs,
    /// Name of the detector, as listed by `jhalak models ls`
    ///
    /// [default: setting models.detector]
    #[arg(long, value_name = "NAME", help_heading = "Object detection (scene-object)")]
    model: Option<String>,
    /// Run the detector on every Nth frame of a scene
    ///
    /// The paper's method uses every frame.
    ///
    /// [default: 1]
    #[arg(
        long,
        value_name = "N",
        value_parser = numbers::count::<u64>,
        help_heading = "Object detection (scene-object)"
    )]
    stride: Option<u64>,
    /// Count objects whose score is higher than this
    ///
    /// [default: 0.5]
    #[arg(long, value_name = "0..1", value_parser = numbers::share, help_heading = "Object detection (scene-object)")]
    confidence: Option<f32>,
    /// Use only scenes longer than this many frames
    ///
    /// [default: 20]
    #[arg(
        long,
        value_name = "FRAMES",
        value_parser = numbers::whole::<u64>,
        help_heading = "Object detection (scene-object)"
    )]
    longer_than: Option<u64>,
}

/// How keyframes are chosen.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Strategy {
    /// Frames at equal intervals
    EqualInterval,
    /// Middle frame of each scene, from the middle of the video (the paper's notebook: --threshold 10)
    SceneMiddle,
    /// Frame of each scene with the highest number of objects times classes
    SceneObject,
}

/// A point of an interval.
#[derive(Clone, Copy, ValueEnum)]
enum Point {
    /// Start of the interval, as in the paper: i x D / 16
    Start,
    /// Middle of the interval: (i + 1/2) x D / 16
    Middle,
}

#[derive(Serialize)]
struct Answer<'a> {
    strategy: Strategy,
    file: String,
    wanted: u32,
    keyframes: Vec<ShownKeyframe>,
    padding: Vec<Padding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfall: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<Vec<u64>>,
    outcome: &'a Outcome,
    errors: u64,
    video: &'a VideoInfo,
}

/// A keyframe as programs read it: its scene has the number that `jhalak scenes` prints.
#[derive(Serialize)]
struct ShownKeyframe {
    #[serde(flatten)]
    keyframe: Keyframe,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene: Option<NumberedScene>,
}

/// A scene: its number, from 1, its first frame, and the frame after its last.
#[derive(Serialize)]
struct NumberedScene {
    number: u64,
    start: u64,
    end: u64,
}

impl From<Keyframe> for ShownKeyframe {
    fn from(mut keyframe: Keyframe) -> Self {
        let span = keyframe.scene.take();
        let scene = span.map(|span| NumberedScene { number: span.index + 1, start: span.start, end: span.end });
        ShownKeyframe { keyframe, scene }
    }
}

impl Keyframes {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        self.check()?;
        let stem = media::request::member_stem(&self.video.file_stem().unwrap_or_default().to_string_lossy());
        let earlier = Earlier::find(&self.out, &self.video, &stem, self.count)?;
        let detector = match self.strategy {
            Strategy::SceneObject => {
                let stride = self.stride.unwrap_or(SceneObjectSettings::default().stride);
                let total = video_args::stated_length(&self.video, &settings, stride, &output.progress).await;
                let counter = output.progress.frames("detecting", total);
                Hook::Detector(Box::new(video_args::Counted::new(self.detector(&settings, &output).await?, counter)))
            }
            _ => Hook::None,
        };
        std::fs::create_dir_all(&self.out).map_err(|e| cannot_write(&self.out, e))?;
        // Absolute, so that paths in keyframes.json hold from any working directory.
        let out = std::path::absolute(&self.out)?;
        let ask = |request: &mut DecodeRequest| self.ask(request, &settings);
        let decoded = video_args::decode(&self.video, &settings, ask, detector).await?;
        let report = &decoded.report;
        let mut set = self.set(report)?;
        unpack(&set, &out)?;
        let written = set.keyframes.iter().map(|k| &k.file).chain(set.padding.iter().map(|p| &p.file)).cloned();
        let removed = earlier.remove(&out, &written.collect())?;
        if let Some(sheet) = &self.sheet {
            files::make_folder_of(sheet)?;
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
            keyframes: keyframes.into_iter().map(ShownKeyframe::from).collect(),
            padding,
            shortfall,
            histogram,
            outcome: &report.outcome,
            errors: report.errors,
            video: &report.video,
        };
        let file = out.join(LIST);
        let json = serde_json::to_string_pretty(&answer).map_err(|e| Error::bug(LIST).with_source(e))?;
        files::write(&file, (json + "\n").as_bytes())?;
        let found = format!("{} in {}", counted(answer.keyframes.len() as u64, "keyframe"), self.out.display());
        video_args::report_decode(&self.video, report, &found, &output);
        if let Some((first, last)) = removed.first().zip(removed.last()) {
            let pictures = counted(removed.len() as u64, "picture");
            output.progress.say(&format!("removed {pictures} of the earlier call: {first} to {last}"));
        }
        if let Some(other) = &earlier.replaced {
            output
                .progress
                .say(&format!("{LIST} listed the keyframes of {other}, whose pictures stay, and is replaced"));
        }
        if let Some(shortfall) = &answer.shortfall {
            output.progress.say(&format!("{shortfall}: {} added", counted(answer.padding.len() as u64, "black image")));
        }
        if let Some(sheet) = &self.sheet {
            output.progress.say(&format!("contact sheet in {}", sheet.display()));
        }
        output.print(&answer, &answer.keyframes.iter().map(line).collect::<String>())?;
        Ok(exit::DONE)
    }

    /// The detector that scene-object keyframes need. Objects that do not count need not be found.
    async fn detector(&self, settings: &Settings, output: &Output) -> Result<Box<dyn media::Detector + Send>> {
        let name = self.model.as_ref().unwrap_or(&settings.models.detector);
        let confidence = self.confidence.unwrap_or(SceneObjectSettings::default().confidence);
        let detector =
            super::detect::open(settings, name, output, |how| Thresholds { score: confidence, overlap: how.overlap })
                .await?;
        detector.check_for_scenes()?;
        Ok(Box::new(detector))
    }

    /// Refuses options of another strategy: ignored silently, they would mislead.
    fn check(&self) -> Result<()> {
        let equal = self.strategy == Strategy::EqualInterval;
        let object = self.strategy == Strategy::SceneObject;
        if equal && self.cuts.is_given() {
            return Err(Error::usage("--threshold and --min-scene-len need --strategy scene-middle or scene-object"));
        }
        if !equal && self.position.is_some() {
            return Err(Error::usage("--position needs --strategy equal-interval"));
        }
        if !object
            && (self.model.is_some()
                || self.stride.is_some()
                || self.confidence.is_some()
                || self.longer_than.is_some())
        {
            return Err(Error::usage("--model, --stride, --confidence and --longer-than need --strategy scene-object"));
        }
        if self.confidence.is_some_and(|confidence| !(0.0..=1.0).contains(&confidence)) {
            return Err(Error::usage("--confidence must be from 0 to 1"));
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
        // The archive was made from a file that nobody vouches for: a name must not lead out of the
        // folder.
        match names.next().filter(|name| !name.contains('/')) {
            Some(name) => {
                let file = out.join(name);
                failed = failed.take().or(files::write(&file, &sample.jpeg).err());
                Ok(())
            }
            None => Err(MediaError::bug("the archive of keyframes does not match the report")),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn below(out: &Path, name: &str) -> String {
    out.join(name).to_string_lossy().into_owned()
}

/// One keyframe as a person reads it.
fn line(shown: &ShownKeyframe) -> String {
    let keyframe = &shown.keyframe;
    let mut line = format!("{:>3}  {:>10.3} s  frame {:<8}", keyframe.index, keyframe.time_s, keyframe.frame);
    if let Some(scene) = &shown.scene {
        line += &format!("  scene {} [{}, {})", scene.number, scene.start, scene.end);
    }
    if let Some(found) = &keyframe.objects {
        let classes = if found.classes == 1 { "class" } else { "classes" };
        let objects = counted(found.objects.len() as u64, "object");
        line += &format!("  {objects} of {} {classes}, score {}", found.classes, found.score);
    }
    if let Some(first) = keyframe.repeats {
        line += &format!("  same frame as {first}");
    }
    format!("{line}  {}\n", keyframe.file)
}
