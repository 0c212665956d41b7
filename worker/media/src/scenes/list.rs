//! Scene lists as files: CSV in the format of PySceneDetect's `list-scenes`, and JSON with every
//! score.

use super::cuts::CutFinder;
use super::{SceneSettings, between_cuts};
use crate::error::MediaError;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// File name of the CSV in the output folder.
pub const CSV_NAME: &str = "scenes.csv";
/// File name of the JSON in the output folder.
pub const JSON_NAME: &str = "scenes.json";

/// The scenes of one video, as in the JSON file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneList {
    /// File name of the video, without its folder.
    pub file: String,
    /// Frames decoded.
    pub frames: u64,
    /// Frames per second, to convert frame numbers to times.
    pub fps: f64,
    /// The threshold used.
    pub threshold: f64,
    /// The shortest scene allowed, in frames.
    pub min_scene_len: u32,
    /// First frames of all scenes but the first, ascending.
    pub cuts: Vec<u64>,
    /// First frame of each scene and the frame after its last.
    pub scenes: Vec<[u64; 2]>,
    /// Seconds from the first frame of the video at which each scene is really shown: its first
    /// frame, and the end of its last. `fps` gives PySceneDetect's times, which are other ones if
    /// the frame rate varies.
    #[serde(default)]
    pub shown_s: Vec<[f64; 2]>,
    /// Whether the frame rate varies.
    #[serde(default)]
    pub rate_varies: bool,
    /// Each frame's score (PySceneDetect's `content_val`).
    pub scores: Vec<f64>,
}

/// Collects scores and cuts frame by frame.
pub struct SceneRecorder {
    list: SceneList,
    finder: CutFinder,
    /// Seconds at which each frame is shown.
    times_s: Vec<f64>,
}

impl SceneRecorder {
    /// Starts the list of a video with this file name and frame rate.
    pub fn new(file: String, fps: f64, settings: &SceneSettings) -> Self {
        let SceneSettings { threshold, min_scene_len } = *settings;
        let (cuts, scenes, scores) = (Vec::new(), Vec::new(), Vec::new());
        let (shown_s, rate_varies) = (Vec::new(), false);
        let list =
            SceneList { file, frames: 0, fps, threshold, min_scene_len, cuts, scenes, shown_s, rate_varies, scores };
        Self { list, finder: CutFinder::new(settings), times_s: Vec::new() }
    }

    /// Takes the next frame's score and the seconds at which it is shown.
    pub fn push(&mut self, score: f64, time_s: f64) {
        self.list.frames += 1;
        self.times_s.push(time_s);
        self.list.scores.push(score);
        self.list.cuts.extend(self.finder.push(score));
    }

    /// Ends the video, whose last frame ends at `end_s`, and returns the list.
    pub fn finish(mut self, end_s: f64, rate_varies: bool) -> SceneList {
        self.list.scenes = between_cuts(&self.list.cuts, self.list.frames);
        let time = |frame: u64| self.times_s.get(frame as usize).copied().unwrap_or(end_s);
        self.list.shown_s = self.list.scenes.iter().map(|&[start, end]| [time(start), time(end)]).collect();
        self.list.rate_varies = rate_varies;
        self.list
    }
}

impl SceneList {
    /// Writes `scenes.csv` and `scenes.json` into `folder` and returns their paths.
    pub fn write(&self, folder: &Path) -> Result<(PathBuf, PathBuf), MediaError> {
        let (csv, json) = (folder.join(CSV_NAME), folder.join(JSON_NAME));
        std::fs::write(&csv, self.csv()).map_err(|error| MediaError::from_io("cannot write", &csv, &error))?;
        let file = File::create(&json).map_err(|error| MediaError::from_io("cannot create", &json, &error))?;
        let mut file = BufWriter::new(file);
        let written = serde_json::to_writer(&mut file, self).map_err(std::io::Error::from);
        let written = written.and_then(|()| file.write_all(b"\n")).and_then(|()| file.flush());
        written.map_err(|error| MediaError::from_io("cannot write", &json, &error))?;
        Ok((csv, json))
    }

    /// Returns the CSV: a line with the time of each cut, the column names, one line per scene.
    /// Scenes and frames count from 1, so the last frame of a scene is its end. Without cuts the
    /// first line is empty, as in PySceneDetect. PySceneDetect's columns come first: their times
    /// are frame numbers divided by the average rate. The last columns are the real times.
    pub fn csv(&self) -> String {
        let mut csv = String::new();
        if !self.cuts.is_empty() {
            csv.push_str("Timecode List:");
            self.cuts.iter().for_each(|&cut| {
                csv.push(',');
                csv.push_str(&timecode(self.seconds(cut)));
            });
        }
        csv.push_str(
            "\nScene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode,\
             End Time (seconds),Length (frames),Length (timecode),Length (seconds),\
             Real Start Time (seconds),Real End Time (seconds),Real Length (seconds)\n",
        );
        for (index, &[start, end]) in self.scenes.iter().enumerate() {
            let time = |frames: u64| format!("{},{:.3}", timecode(self.seconds(frames)), self.seconds(frames));
            let (from, to, length) = (time(start), time(end), time(end - start));
            let [shown, until] = self.shown_s.get(index).copied().unwrap_or_default();
            let real = format!("{shown:.3},{until:.3},{:.3}", until - shown);
            let _ = writeln!(csv, "{},{},{from},{end},{to},{},{length},{real}", index + 1, start + 1, end - start);
        }
        csv
    }

    fn seconds(&self, frames: u64) -> f64 {
        frames as f64 / self.fps
    }
}

/// Formats seconds as hours, minutes and seconds to the millisecond, `00:01:02.345`.
fn timecode(seconds: f64) -> String {
    let hours = (seconds / 3600.0).floor();
    let rest = seconds - hours * 3600.0;
    let minutes = (rest / 60.0).floor();
    let milliseconds = format!("{:.3}", (rest - minutes * 60.0).max(0.0));
    let (mut hours, mut minutes) = (hours as u64, minutes as u64);
    let mut shown = milliseconds.as_str();
    // Rounded up to a whole minute.
    if shown == "60.000" {
        shown = "0.000";
        minutes += 1;
        if minutes == 60 {
            (hours, minutes) = (hours + 1, 0);
        }
    }
    format!("{hours:02}:{minutes:02}:{shown:0>6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 172 frames at 1032/73 a second, as `scenedetect -m 15 detect-content list-scenes` writes
    /// them, and shown ten a second.
    const CSV: &str = "\
Timecode List:,00:00:02.829,00:00:10.823
Scene Number,Start Frame,Start Timecode,Start Time (seconds),End Frame,End Timecode,End Time (seconds),\
Length (frames),Length (timecode),Length (seconds),\
Real Start Time (seconds),Real End Time (seconds),Real Length (seconds)
1,1,00:00:00.000,0.000,40,00:00:02.829,2.829,40,00:00:02.829,2.829,0.000,4.000,4.000
2,41,00:00:02.829,2.829,153,00:00:10.823,10.823,113,00:00:07.993,7.993,4.000,15.300,11.300
3,154,00:00:10.823,10.823,172,00:00:12.167,12.167,19,00:00:01.344,1.344,15.300,17.250,1.950
";

    fn recorded(frames: u64, above: &[u64]) -> SceneList {
        let mut recorder = SceneRecorder::new("x.mp4".to_owned(), 1032.0 / 73.0, &SceneSettings::default());
        let score = |frame| if above.contains(&frame) { 30.0 } else { 1.0 };
        (0..frames).for_each(|frame| recorder.push(score(frame), frame as f64 / 10.0));
        recorder.finish(frames as f64 / 10.0 + 0.05, true)
    }

    #[test]
    fn the_csv_is_that_of_pyscenedetect() {
        assert_eq!(recorded(172, &[40, 153]).csv(), CSV);
        let uncut = recorded(10, &[]).csv();
        assert!(
            uncut.starts_with("\nScene Number")
                && uncut.ends_with(
                    "\n1,1,00:00:00.000,0.000,10,00:00:00.707,0.707,10,00:00:00.707,0.707,0.000,1.050,1.050\n"
                )
        );
    }

    #[test]
    fn the_json_has_the_fixed_shape() {
        let list = recorded(60, &[20]);
        let json = serde_json::to_value(&list).unwrap_or_default();
        assert_eq!(json["cuts"], serde_json::json!([20]));
        assert_eq!(json["scenes"], serde_json::json!([[0, 20], [20, 60]]));
        assert_eq!(
            (&json["shown_s"], &json["rate_varies"]),
            (&serde_json::json!([[0.0, 2.0], [2.0, 6.05]]), &true.into())
        );
        assert_eq!(json["scores"].as_array().map(Vec::len), Some(60));
        assert_eq!((&json["frames"], &json["min_scene_len"]), (&60.into(), &15.into()));
    }

    #[test]
    fn timecodes_round_to_milliseconds_and_carry() {
        assert_eq!(timecode(0.0), "00:00:00.000");
        assert_eq!(timecode(3661.0005), "01:01:01.001");
        assert_eq!(timecode(59.9996), "00:01:00.000");
        assert_eq!(timecode(3599.9999), "01:00:00.000");
        // Ties go to even, as in Python.
        assert_eq!(timecode(0.0625), "00:00:00.062");
        assert_eq!(timecode(0.1875), "00:00:00.188");
    }
}
