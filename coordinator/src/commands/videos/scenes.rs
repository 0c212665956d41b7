//! `jhalak scenes`: the scenes of one video.

use std::path::PathBuf;

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::{Outcome, SceneSettings};
use serde::Serialize;

use crate::commands::video_args::{self, Hook};
use crate::commands::{numbers, output_path};
use crate::console::files;
use crate::console::output::Output;

/// Detect the scenes of a video, as PySceneDetect does
///
/// Computes the scores and cuts of PySceneDetect's ContentDetector and prints the CSV of its list-scenes command. The
/// end of a scene is the frame after its last. A damaged file is read as far as possible.
///
/// PySceneDetect's times are frame numbers divided by the average frame rate. The last three columns are the times at
/// which the frames are really shown: they differ if the frame rate varies, which is reported.
///
/// With --json, adds the score of every frame: {"file", "frames", "fps", "threshold", "min_scene_len", "cuts": [frame],
/// "scenes": [[start, end]], "shown_s": [[start, end]], "rate_varies", "scores": [...], "outcome", "errors"}. "shown_s"
/// are real times, "fps" gives PySceneDetect's. "outcome" gives the reason if the file is cut short.
#[derive(Args)]
#[command(after_help = "Examples:
  # List the scenes of a clip as CSV
  jhalak scenes .local/demo/dataset/trailers/tt9900002.mp4
  # Cut at smaller changes, and print the score of every frame
  jhalak scenes .local/demo/dataset/trailers/tt9900002.mp4 --threshold 15 --json")]
pub struct Scenes {
    /// Video file
    #[arg(value_name = "VIDEO")]
    video: PathBuf,
    #[command(flatten)]
    cuts: CutArgs,
    /// Write the CSV to this file too
    #[arg(long, value_name = "FILE", value_parser = output_path::file("CSV", &["csv", "txt"]), help_heading = "Output")]
    csv: Option<PathBuf>,
}

/// Settings of the scene detection.
#[derive(Args)]
pub struct CutArgs {
    /// Score at which a frame starts a scene, above 0 and at most 255
    ///
    /// [default: 27]
    #[arg(long, value_name = "SCORE", value_parser = threshold, help_heading = "Scene detection")]
    threshold: Option<f64>,
    /// Minimum length of a scene, in frames
    ///
    /// PySceneDetect's library also uses 15 frames, its command line 0.6 s.
    ///
    /// [default: 15]
    #[arg(long, value_name = "FRAMES", value_parser = numbers::whole::<u32>, help_heading = "Scene detection")]
    min_scene_len: Option<u32>,
}

impl CutArgs {
    /// Returns the settings, with defaults for missing options.
    pub(super) fn settings(&self) -> SceneSettings {
        let SceneSettings { threshold, min_scene_len } = SceneSettings::default();
        SceneSettings {
            threshold: self.threshold.unwrap_or(threshold),
            min_scene_len: self.min_scene_len.unwrap_or(min_scene_len),
        }
    }

    /// Whether any option was given.
    pub(super) fn is_given(&self) -> bool {
        self.threshold.is_some() || self.min_scene_len.is_some()
    }
}

fn threshold(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(threshold) if threshold > 0.0 && threshold <= 255.0 => Ok(threshold),
        _ => Err("must be a number above 0 and at most 255".to_string()),
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    list: &'a SceneList,
    outcome: &'a Outcome,
    errors: u64,
}

impl Scenes {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let asked = self.cuts.settings();
        let decoded =
            video_args::decode(&self.video, &settings, |request| request.scenes = Some(asked), Hook::None).await?;
        let report = &decoded.report;
        let files = report.scenes.as_ref().ok_or_else(|| Error::bug("the decode lists no scenes"))?;
        let mut list: SceneList = serde_json::from_slice(&std::fs::read(&files.json)?)
            .map_err(|e| Error::bug("the list of scenes cannot be read").with_source(e))?;
        list.file = self.video.to_string_lossy().into_owned();
        let csv = list.csv();
        if let Some(file) = &self.csv {
            files::make_folder_of(file)?;
            files::write(file, csv.as_bytes())?;
        }
        let found = match list.scenes.len() {
            1 => "1 scene, no cuts".to_string(),
            scenes => format!("{scenes} scenes"),
        };
        video_args::report_decode(&self.video, report, &found, &output);
        output.print(&Answer { list: &list, outcome: &report.outcome, errors: report.errors }, &csv)?;
        Ok(exit::DONE)
    }
}
