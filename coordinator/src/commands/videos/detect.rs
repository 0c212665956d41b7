//! `jhalak detect`: the objects in an image, or in the frames of a video.

use std::path::{Path, PathBuf};

use clap::Args;
use jhalak_common::counted::counted;
use jhalak_common::models::{DetectorOutput, Registry, Role};
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_worker::detect::frames::{self, Detections, FrameDetections};
use jhalak_worker::detect::{ObjectDetector, Thresholds, draw};
use jhalak_worker::inference::Models;
use jhalak_worker::media::FrameSettings;
use jhalak_worker::media::MediaError;
use jhalak_worker::media::picture::image_file;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::models::first_use;
use crate::commands::numbers;
use crate::commands::video_args::{self, Hook};
use crate::console::files;
use crate::console::output::Output;

/// Detect objects in an image or in the frames of a video
///
/// Images: JPEG, PNG, BMP, TIFF and WebP, rotated according to their EXIF data. With --json, prints {"file", "model",
/// "width", "height", "frame", "time_s", "objects": [{"class", "label", "score", "box": [x1, y1, x2, y2]}]} for an
/// image, and a list of such objects for a video, one per frame. Boxes are in pixels from the top left corner; objects
/// are sorted by score, highest first.
#[derive(Args)]
#[command(after_help = "Examples:
  # Detect objects in every 25th frame of a clip
  jhalak detect .local/demo/dataset/trailers/tt9900014.mp4 --stride 25
  # Draw the boxes on the frame with the most objects
  jhalak detect .local/demo/dataset/trailers/tt9900014.mp4 \\
    --stride 25 --draw .local/objects.jpg")]
pub struct Detect {
    /// Image or video file
    #[arg(value_name = "IMAGE|VIDEO")]
    file: PathBuf,
    /// Name of the detector, as listed by `jhalak models ls`
    ///
    /// [default: setting models.detector]
    #[arg(long, value_name = "NAME", help_heading = "Detection")]
    model: Option<String>,
    /// Report objects whose score is higher than this
    ///
    /// [default: the value in the model registry]
    #[arg(long, value_name = "0..1", value_parser = numbers::share, help_heading = "Detection")]
    threshold: Option<f32>,
    /// Overlap threshold of non-maximum suppression (NMS)
    ///
    /// Of two boxes of one class with a higher intersection over union, only the box with the better score is kept.
    ///
    /// [default: the value in the model registry]
    #[arg(long, value_name = "0..1", value_parser = numbers::share, help_heading = "Detection")]
    nms: Option<f32>,
    /// Run the detector on every Nth frame of a video
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = numbers::count::<u64>,
        help_heading = "Detection"
    )]
    stride: u64,
    /// Write a picture with the boxes and labels drawn: .jpg or .png
    ///
    /// For a video, it shows the frame with the highest number of objects times classes.
    #[arg(long, value_name = "FILE", value_parser = video_args::picture(), help_heading = "Output")]
    draw: Option<PathBuf>,
}

/// An object as it is printed.
#[derive(Serialize)]
struct Found {
    class: u32,
    label: String,
    score: f32,
    #[serde(rename = "box")]
    edges: [f32; 4],
}

impl Detect {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        video_args::check(&self.file)?;
        let name = self.model.clone().unwrap_or_else(|| settings.models.detector.clone());
        let detector = open(&settings, &name, &output, |how| Thresholds {
            score: self.threshold.unwrap_or(how.score),
            overlap: self.nms.unwrap_or(how.overlap),
        })
        .await?;
        let how = detector.how().clone();
        for note in detector.notes() {
            output.progress.say(&format!("the model {name}: {note}"));
        }
        let total = video_args::stated_length(&self.file, &settings, self.stride, &output.progress).await;
        let (watcher, watching) = frames::spawn(detector, settings.inference.batch)?;
        let frames = Some(FrameSettings { stride: self.stride });
        let decoded = video_args::decode(
            &self.file,
            &settings,
            |request| request.frames = frames,
            Hook::Visitor(Box::new(video_args::Counted::new(watcher, output.progress.frames("detecting", total)))),
        )
        .await;
        // The error of the detector has more detail than the error of the decode that it stopped.
        let seen = match (tokio::task::block_in_place(|| watching.finish()), &decoded) {
            (Err(error), _) => return Err(error.context(self.file.display())),
            (Ok(seen), _) => seen,
        };
        let decoded = decoded?;
        let report = &decoded.report;
        let is_picture = report.is_picture;
        if let Some(file) = &self.draw {
            files::make_folder_of(file)?;
            paint(&seen, &how, file)?;
        }
        let record = |frame: &FrameDetections| record(&self.file, &name, frame, &how);
        let answer = match seen.frames.as_slice() {
            [one] if is_picture => record(one),
            frames => Value::Array(frames.iter().map(record).collect()),
        };
        let objects: usize = seen.frames.iter().map(|frame| frame.objects.len()).sum();
        let found = match is_picture {
            true => counted(objects as u64, "object"),
            false => format!("{} in {}", counted(objects as u64, "object"), counted(seen.frames.len() as u64, "frame")),
        };
        video_args::report_decode(&self.file, report, &found, &output);
        if let Some(file) = &self.draw {
            output.progress.say(&format!("boxes drawn in {}", file.display()));
        }
        // A picture has no time and no frames.
        let place = if is_picture { "" } else { "time  frame  " };
        output.progress.say(&format!("{place}class  score  left top right bottom (pixels)"));
        output.print(&answer, &seen.frames.iter().map(|frame| lines(frame, &how, is_picture)).collect::<String>())?;
        Ok(exit::DONE)
    }
}

/// Loads the detector `name`.
pub(super) async fn open(
    settings: &Settings,
    name: &str,
    output: &Output,
    thresholds: impl FnOnce(Thresholds) -> Thresholds,
) -> Result<ObjectDetector> {
    first_use::fetch_missing(settings, &[name.to_owned()], output).await?;
    let registry = Registry::load(settings.models.registry.as_deref())?;
    let model = registry.model(name, Role::Detector)?.clone();
    let settings = settings.clone();
    let load = move || ObjectDetector::open(&Models::open(&settings, registry)?, &model);
    let opened = tokio::task::spawn_blocking(load).await;
    let detector = opened.map_err(|e| Error::bug("loading a model panicked").with_source(e))??;
    let thresholds = thresholds(Thresholds::of(detector.how()));
    Ok(detector.with(thresholds))
}

fn record(file: &Path, model: &str, frame: &FrameDetections, how: &DetectorOutput) -> Value {
    let found = |object: &jhalak_worker::media::Object| {
        let bounds = object.bounds;
        Found {
            class: object.class,
            label: how.labels.name(object.class as usize),
            score: object.confidence,
            edges: [bounds.left, bounds.top, bounds.right, bounds.bottom],
        }
    };
    let objects: Vec<Found> = frame.objects.iter().map(found).collect();
    json!({
        "file": file.to_string_lossy(), "model": model, "width": frame.size.0, "height": frame.size.1,
        "frame": frame.place.frame, "time_s": frame.place.time_s, "objects": objects,
    })
}

/// One frame as text, one line per object.
fn lines(frame: &FrameDetections, how: &DetectorOutput, is_picture: bool) -> String {
    let place = match is_picture {
        true => String::new(),
        false => format!("{:>10.3} s  frame {:<8} ", frame.place.time_s, frame.place.frame),
    };
    let line = |object: &jhalak_worker::media::Object| {
        let b = object.bounds;
        format!(
            "{place}{:16} {:.3}  {:.1} {:.1} {:.1} {:.1}\n",
            how.labels.name(object.class as usize),
            object.confidence,
            b.left,
            b.top,
            b.right,
            b.bottom
        )
    };
    frame.objects.iter().map(line).collect()
}

fn paint(seen: &Detections, how: &DetectorOutput, file: &Path) -> Result<()> {
    let (place, picture) = seen.richest.as_ref().ok_or_else(|| Error::invalid("no frame to draw"))?;
    let mut picture = picture.clone();
    draw::draw(&mut picture, &seen.frames[*place].objects, &how.labels);
    image_file::write(&picture, file).map_err(|error| match error {
        MediaError::Transient { message } => Error::invalid(message),
        other => other.into(),
    })
}
