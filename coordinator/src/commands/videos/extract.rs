//! `jhalak extract`: keyframes, scenes, objects and embeddings of files, without ratings.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jhalak_common::dataset::{TRAILER_EXTENSIONS, id_of_file_name};
use jhalak_common::settings::{Settings, Strategy};
use jhalak_common::{Error, Result};

use crate::commands::runs::run;
use crate::commands::video_args;
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
                video_args::check(path)?;
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
        let files = named(files)?;
        let changed: Vec<_> = files.iter().filter(|(id, file)| !id.contains(&*stem(file))).collect();
        if let Some((id, file)) = changed.first() {
            output.progress.say(&format!(
                "{} names are not valid as ids, and _ stands for what ids cannot hold: {} is {id}",
                changed.len(),
                file.display()
            ));
        }
        let source = dataset_source::of_files(&name, files)?;
        run::in_this_process(source, settings, Request::default(), false, false, &output).await
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

/// Returns a file's name without its extension.
fn stem(file: &Path) -> Cow<'_, str> {
    file.file_stem().unwrap_or_default().to_string_lossy()
}

/// Names the files by their stems; files with one stem also by their folders, and those in one folder also by their
/// extensions.
fn named(files: Vec<PathBuf>) -> Result<BTreeMap<String, PathBuf>> {
    let mut by_stem: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let same = by_stem.entry(stem(&file).into_owned()).or_default();
        if !same.contains(&file) {
            same.push(file);
        }
    }
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (stem, files) in by_stem {
        let folder = |file: &Path| {
            let folder = file.parent().and_then(Path::file_name).unwrap_or_default();
            folder.to_string_lossy().into_owned()
        };
        let folders: BTreeSet<String> = files.iter().map(|file| folder(file)).collect();
        let (count, are_in_folders) = (files.len(), folders.len() == files.len());
        for file in files {
            let end = file.extension().unwrap_or_default().to_string_lossy();
            let id = id_of_file_name(&match (count, are_in_folders, folders.len()) {
                (1, ..) => stem.clone(),
                (_, true, _) => format!("{}-{stem}", folder(&file)),
                (_, false, 1) => format!("{stem}.{end}"),
                _ => format!("{}-{stem}.{end}", folder(&file)),
            });
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
        assert_eq!(ids(&["a/x.mp4", "a/x.webm", "a/y.mp4"]).expect("one folder"), ["x.mp4", "x.webm", "y"]);
        let both = ids(&["a/x.mp4", "a/x.webm", "b/x.mp4"]).expect("two folders");
        assert_eq!(both, ["a-x.mp4", "a-x.webm", "b-x.mp4"]);
        let error = ids(&["1/a/x.mp4", "2/a/x.mp4"]).expect_err("one name").to_string();
        assert!(error.contains("1/a/x.mp4") && error.contains("2/a/x.mp4"), "{error}");
    }

    #[test]
    fn names_that_are_not_valid_ids_get_one() {
        let files = ["a/Film [dQw4w9] #1.mp4", "a/ -x.mp4", "a/\u{202e}rtl.mp4", "a/धूम 2.mkv"];
        let ids: Vec<String> = named(files.iter().map(PathBuf::from).collect()).expect("four").into_keys().collect();
        assert_eq!(ids, ["Film _dQw4w9_ _1", "_-x", "_rtl", "धूम 2"]);
    }
}
