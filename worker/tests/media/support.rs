//! Test files, and the `ffmpeg` program to compare with.

use jhalak_worker::media::{DecodeReport, DecodeRequest, Keyframe, decode, picture::Picture};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The executable with the sub-command `decode-child`.
pub const EXE: &str = env!("CARGO_BIN_EXE_jhalak-worker");

/// A folder for one test, removed at its end.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Runs `ffmpeg` in `folder` with arguments separated by spaces and returns its standard output.
pub fn ffmpeg(folder: &Path, arguments: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.current_dir(folder).args(["-nostdin", "-v", "error", "-y"]).args(arguments.split_whitespace());
    let output = command.output().expect("the ffmpeg program is installed");
    assert!(output.status.success(), "ffmpeg {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Like [`ffmpeg`], with the video's path instead of `{}`; does not panic on failure.
pub fn ffmpeg_reads(video: &Path, arguments: &str) -> Vec<u8> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-v", "error"]);
    for argument in arguments.split_whitespace() {
        if argument == "{}" {
            command.arg(video)
        } else {
            command.arg(argument)
        };
    }
    command.output().expect("the ffmpeg program is installed").stdout
}

/// Returns the output of `ffprobe` as one number per line.
pub fn ffprobe(video: &Path, arguments: &str) -> Vec<Option<i64>> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "default=nk=1:nw=1"]).args(arguments.split_whitespace()).arg(video);
    let output = command.output().expect("the ffprobe program is installed");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line.trim().parse().ok()).collect()
}

/// Makes a video in `folder` from lavfi arguments and encoder settings.
pub fn made(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    ffmpeg(folder, &format!("{arguments} -bitexact {name}"));
    folder.join(name)
}

/// Four seconds of moving picture, and of a tone.
pub const PICTURE: &str = "-f lavfi -i testsrc2=s=320x180:r=25:d=4";
pub const TONE: &str = "-f lavfi -i sine=f=440:r=44100:d=4";

/// Returns the real trailers; prints a line if there are none.
pub fn real_videos() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = manifest.ancestors().map(|above| above.join("shared/data")).find(|data| data.is_dir());
    let Some(data) = data else {
        println!("skipped: no real trailers in shared/data");
        return Vec::new();
    };
    let folders = ["trailers", "hard"].map(|name| data.join(name));
    let files =
        folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten().flatten().map(|entry| entry.path());
    let wanted = |path: &PathBuf| path.extension().is_some_and(|e| e == "mp4" || e == "webm" || e == "avi");
    let mut videos: Vec<_> = files.filter(wanted).collect();
    videos.sort();
    videos
}

/// Requests keyframes at equal intervals and sound.
pub fn request(video: &Path, out_dir: &Path) -> DecodeRequest {
    let mut request = DecodeRequest::new("tt0240200", video, out_dir);
    request.keyframes = Some(Default::default());
    request.audio = Some(Default::default());
    request
}

/// Decodes in this process and returns the report and the pictures of the keyframes.
pub fn decoded(video: &Path, out_dir: &Path) -> (DecodeReport, Vec<Picture>) {
    let mut seen: Vec<(Keyframe, Picture)> = Vec::new();
    let mut keep = |keyframe: &Keyframe, picture: &Picture| seen.push((keyframe.clone(), picture.clone()));
    let report = decode::run_observed(&request(video, out_dir), &mut keep)
        .unwrap_or_else(|error| panic!("{}: {error}", video.display()));
    let last = seen.split_off(seen.len() - report.keyframes.len());
    (report, last.into_iter().map(|(_, picture)| picture).collect())
}

/// Returns the members of a tar archive.
pub fn members(archive: &Path) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}
