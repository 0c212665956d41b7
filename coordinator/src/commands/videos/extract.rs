//! `jhalak extract`: keyframes, scenes, objects and embeddings of files, without ratings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::dataset::TRAILER_EXTENSIONS;
use jhalak_common::settings::{Settings, Strategy};
use jhalak_common::{Error, Result};

use crate::commands::runs::run;
use crate::console::output::Output;
use crate::plan::{Request, dataset_source};

/// Folders below a folder that are searched.
const MAX_DEPTH: usize = 16;

/// Extract keyframes, scenes, objects and embeddings of videos
///
/// A folder stands for all videos below it. The id of a video is its file name without the extension. Everything goes
/// to the store as a run: an interrupted extraction resumes when the same command is started again, and nothing is made
/// twice. `jhalak export` writes the results as tables and pictures, `jhalak similar` compares them.
#[derive(Args)]
#[command(after_help = "Examples:
  # Extract every video below a folder
  jhalak extract .local/demo/dataset/trailers
  # Extract two files by all three keyframe strategies, with scenes and objects
  jhalak extract one.mp4 two.webm --strategies all")]
pub struct Extract {
    /// Video files, and folders of videos
    #[arg(required = true, value_name = "DIR|FILE")]
    files: Vec<PathBuf>,
    /// Name of the dataset in the store
    ///
    /// [default: name of the folder, or files]
    #[arg(long, value_name = "NAME", help_heading = "Output")]
    name: Option<String>,
    /// Keyframe strategies
    ///
    /// [default: those of the settings extract.strategy and extract.also]
    #[arg(long, value_enum, value_name = "WHICH", help_heading = "Extraction")]
    strategies: Option<StrategiesArg>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StrategiesArg {
    /// At equal intervals; no scenes and objects
    EqualInterval,
    /// All three: also scene-middle with scenes, and scene-object with objects
    All,
}

impl Extract {
    pub(in crate::commands) async fn execute(self, mut settings: Settings, output: Output) -> Result<u8> {
        match self.strategies {
            None => {}
            Some(StrategiesArg::EqualInterval) => {
                (settings.extract.strategy, settings.extract.also) = (Strategy::EqualInterval, Vec::new());
            }
            Some(StrategiesArg::All) => settings.extract.also = Strategy::ALL.to_vec(),
        }
        let mut files = Vec::new();
        for path in &self.files {
            if path.is_dir() {
                let before = files.len();
                videos_below(path, MAX_DEPTH, &mut files)?;
                if files.len() == before {
                    return Err(Error::invalid(format!(
                        "{} has no video: the names of videos end in one of .{}",
                        path.display(),
                        TRAILER_EXTENSIONS.join(" .")
                    )));
                }
            } else {
                super::video_args::check(path)?;
                files.push(path.clone());
            }
        }
        let name = self.name.clone().unwrap_or_else(|| match self.files.as_slice() {
            [folder] if folder.is_dir() => {
                let absolute = folder.canonicalize().unwrap_or_else(|_| folder.clone());
                absolute.file_name().map_or_else(|| "files".into(), |name| name.to_string_lossy().into_owned())
            }
            _ => "files".to_owned(),
        });
        let source = dataset_source::of_files(&name, named(files)?)?;
        run::in_this_process(source, settings, Request::default(), false, &output).await
    }
}

/// Adds the videos below `folder`, sorted by name; hidden files and links to folders are left out.
fn videos_below(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let within = |e: std::io::Error| Error::from(e).context(format!("list {}", folder.display()));
    let mut entries = std::fs::read_dir(folder).map_err(within)?.collect::<Result<Vec<_>, _>>().map_err(within)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type().map_err(within)?);
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let extension = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if kind.is_dir() && depth > 0 {
            videos_below(&path, depth - 1, found)?;
        } else if !kind.is_dir() && TRAILER_EXTENSIONS.contains(&extension.as_str()) {
            found.push(path);
        }
    }
    Ok(())
}

/// Names the files by their stems; files with one stem also by their folders.
fn named(files: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let word =
        |path: Option<&std::ffi::OsStr>| path.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut by_stem: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let same = by_stem.entry(word(file.file_stem())).or_default();
        if !same.contains(&file) {
            same.push(file);
        }
    }
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (stem, files) in by_stem {
        let alone = files.len() == 1;
        for file in files {
            let folder = word(file.parent().and_then(Path::file_name));
            let id = if alone { stem.clone() } else { format!("{folder}-{stem}") };
            if let Some(other) = named.get(&id) {
                return Err(Error::invalid(format!(
                    "{} and {} would both be named {id}: rename one, or extract them apart",
                    other.display(),
                    file.display()
                )));
            }
            named.insert(id, file);
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_distinguished_by_their_folders() {
        let ids = |files: &[&str]| {
            named(files.iter().map(PathBuf::from).collect()).map(|named| named.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(ids(&["a/x.mp4", "a/y.mp4", "a/x.mp4"]).expect("two files"), ["x", "y"]);
        assert_eq!(ids(&["a/trailer.mp4", "b/trailer.webm"]).expect("two folders"), ["a-trailer", "b-trailer"]);
        let error = ids(&["a/x.mp4", "a/x.webm"]).expect_err("one name").to_string();
        assert!(error.contains("a/x.mp4") && error.contains("a/x.webm"), "{error}");
    }
}
