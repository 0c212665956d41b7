//! `jhalak scenes`: where the scenes of one video begin and end.

use std::path::PathBuf;

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_worker::media::scenes::list::SceneList;
use jhalak_worker::media::{Outcome, SceneSettings};
use serde::Serialize;

use super::video_args::{self, Guest};
use crate::console::output::Output;

/// Finds the scenes of a video, with the scores and cuts of PySceneDetect's ContentDetector.
///
/// Prints them as CSV, as PySceneDetect's list-scenes writes it, or with --json with every frame's score:
/// {"file","frames","fps","threshold","min_scene_len","cuts":[frame],"scenes":[[start,end]],"scores":[...],"outcome","errors"}.
/// A scene's end is the frame after its last. What could be read of a damaged file is used, and "outcome" says why it is short.
#[derive(Args)]
pub struct Scenes {
    /// A video file.
    #[arg(value_name = "VIDEO")]
    video: PathBuf,
    #[command(flatten)]
    cuts: CutArgs,
    /// Write the CSV into this file too.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// How scenes are told apart.
#[derive(Args)]
pub struct CutArgs {
    /// A frame whose score reaches this begins a scene; above 0, at most 255. Default 27, as PySceneDetect's.
    #[arg(long, value_name = "SCORE", value_parser = threshold)]
    threshold: Option<f64>,
    /// Frames that a scene has at least. Default 15, as PySceneDetect's library (its command line has 0.6 s).
    #[arg(long, value_name = "FRAMES")]
    min_scene_len: Option<u32>,
}

impl CutArgs {
    /// The settings, defaults filled in.
    pub(super) fn settings(&self) -> SceneSettings {
        let SceneSettings { threshold, min_scene_len } = SceneSettings::default();
        SceneSettings {
            threshold: self.threshold.unwrap_or(threshold),
            min_scene_len: self.min_scene_len.unwrap_or(min_scene_len),
        }
    }

    /// Whether anything was said.
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
            video_args::decode(&self.video, &settings, |request| request.scenes = Some(asked), Guest::Nobody).await?;
        let report = &decoded.report;
        let files = report.scenes.as_ref().ok_or_else(|| Error::bug("the decode lists no scenes"))?;
        let mut list: SceneList = serde_json::from_slice(&std::fs::read(&files.json)?)
            .map_err(|e| Error::bug("the list of scenes cannot be read").with_source(e))?;
        list.file = self.video.to_string_lossy().into_owned();
        let csv = list.csv();
        if let Some(file) = &self.csv {
            std::fs::write(file, &csv).map_err(|e| Error::invalid(format!("cannot write {}: {e}", file.display())))?;
        }
        let found = match list.scenes.len() {
            1 => "1 scene: no cut was found".to_string(),
            scenes => format!("{scenes} scenes"),
        };
        video_args::tell(&self.video, report, &found, &output);
        output.print(&Answer { list: &list, outcome: &report.outcome, errors: report.errors }, &csv)?;
        Ok(exit::DONE)
    }
}
