//! The source of a dataset's files: a local folder, or contents that the caller has fetched.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempPath;

use crate::compact::Texts;
use crate::error::{Error, Result};

/// The files of one dataset. Names are relative to its folder and use `/`: `movies.csv`,
/// `trailers/tt1.mp4`.
pub trait Files {
    /// The location of the dataset, for messages: a path or a URL.
    fn location(&self) -> &str;

    /// The names of all files at the top and in `trailers/` and its sub-folders, sorted; without
    /// any table at the top, those in every sub-folder. A folder that is not listed, because it is
    /// too deep or leads back to itself, has a trailing `/`.
    fn names(&self) -> &Texts;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// Not found if there is no such file; otherwise the error of the store.
    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>>;

    /// Whether there is a file with this name.
    fn has(&self, name: &str) -> bool {
        self.names().position(name).is_some()
    }
}

/// Tables that make a folder a dataset, of which only `trailers/` is read in addition.
const TABLES: [&str; 9] = [
    "movies.csv",
    "movies.parquet",
    "movies.dat",
    "u.item",
    "ratings.csv",
    "ratings.json",
    "ratings.dat",
    "u.data",
    "users.csv",
];

/// How deep sub-folders are read.
const MAX_DEPTH: usize = 16;

/// The most files of a dataset.
const MAX_FILES: usize = 10_000_000;

/// A dataset in a local folder. Its files are streamed.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    place: String,
    names: Texts,
}

impl Folder {
    /// Lists the folder. Hidden files are skipped.
    ///
    /// # Errors
    /// Not found, with the path, if there is no such folder; otherwise the error of the file
    /// system.
    pub fn open(root: impl Into<PathBuf>) -> Result<Folder> {
        let root = root.into();
        let place = root.display().to_string();
        if place.is_empty() {
            return Err(Error::invalid("the dataset folder has no name: give the folder with movies.csv"));
        }
        if root.is_file() {
            let folder = root.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Err(Error::invalid(format!(
                "{place} is a file: give the folder that holds the tables of the dataset, such as {}; only a catalogue \
                 (CSV or Parquet) with a column `trailer` may be given alone",
                folder.display()
            )));
        }
        if !root.is_dir() {
            return Err(Error::not_found(format!(
                "there is no dataset folder at {place}: give the folder with movies.csv"
            )));
        }
        let (mut names, mut folders) = (Vec::new(), Vec::new());
        for (name, is_dir) in list(&root)? {
            if is_dir { folders.push(name) } else { names.push(name) }
        }
        let has_table = names.iter().any(|name| TABLES.contains(&name.as_str()));
        for folder in folders.iter().filter(|name| !has_table || *name == "trailers") {
            add_folder(&root, folder, &mut vec![root.clone()], &mut names)?;
        }
        let names = names.into_iter().collect::<Texts>().into_ascending();
        Ok(Folder { root, place, names })
    }
}

/// Adds the files in `folder` of `root` and in its sub-folders. `above` are the folders on the way,
/// with links resolved.
fn add_folder(root: &Path, folder: &str, above: &mut Vec<PathBuf>, names: &mut Vec<String>) -> Result<()> {
    let path = root.join(folder);
    let resolved = path.canonicalize().unwrap_or_else(|_| path.clone());
    if above.len() > MAX_DEPTH || above.contains(&resolved) {
        names.push(format!("{folder}/"));
        return Ok(());
    }
    above.push(resolved);
    for (name, is_dir) in list(&path)? {
        let name = format!("{folder}/{name}");
        if is_dir {
            add_folder(root, &name, above, names)?;
        } else if names.len() < MAX_FILES {
            names.push(name);
        } else {
            return Err(Error::invalid(format!(
                "more than {MAX_FILES} files in {}: is it the folder of the dataset?",
                root.display()
            )));
        }
    }
    above.pop();
    Ok(())
}

/// Lists the entries of a folder that are not hidden, and whether each is a folder.
fn list(folder: &Path) -> Result<Vec<(String, bool)>> {
    let mut entries = Vec::new();
    let at = |error: std::io::Error| Error::from(error).context(format!("list {}", folder.display()));
    for entry in fs::read_dir(folder).map_err(at)? {
        let entry = entry.map_err(at)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path().is_dir()));
        }
    }
    Ok(entries)
}

impl Files for Folder {
    fn location(&self) -> &str {
        &self.place
    }

    fn names(&self) -> &Texts {
        &self.names
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        open_file(&self.root.join(name))
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Read>> {
    // A pipe would be waited for without end.
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Error::invalid(format!("{} is not a regular file", path.display())));
    }
    let file = File::open(path).map_err(|e| Error::from(e).context(format!("open {}", path.display())))?;
    Ok(Box::new(file))
}

/// A dataset whose tables were fetched from an object store and whose trailers are known by name
/// only.
#[derive(Debug)]
pub struct Fetched {
    place: String,
    names: Arc<Texts>,
    tables: BTreeMap<String, FetchedTable>,
}

/// A fetched table.
#[derive(Debug)]
pub enum FetchedTable {
    /// In memory.
    Bytes(Bytes),
    /// In a file.
    File(PathBuf),
    /// In a file that is removed with the dataset.
    Temporary(TempPath),
}

impl Fetched {
    /// Takes `names`, keys below the dataset's folder and relative to it, and
    /// the tables among [`TABLE_FILES`](super::TABLE_FILES) that exist. Hidden files are left out.
    pub fn new(place: impl Into<String>, names: Arc<Texts>, tables: BTreeMap<String, FetchedTable>) -> Fetched {
        let is_hidden = |name: &str| name.rsplit('/').next().is_some_and(|last| last.starts_with('.'));
        let is_whole = names.is_ascending() && tables.keys().all(|name| names.position(name).is_some());
        let names = match is_whole && !names.iter().any(is_hidden) {
            true => names,
            false => {
                let known = tables.keys().map(String::as_str).chain(names.iter());
                Arc::new(known.filter(|name| !is_hidden(name)).collect::<Texts>().into_ascending())
            }
        };
        Fetched { place: place.into(), names, tables }
    }
}

impl Files for Fetched {
    fn location(&self) -> &str {
        &self.place
    }

    fn names(&self) -> &Texts {
        &self.names
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>> {
        match self.tables.get(name) {
            Some(FetchedTable::Bytes(bytes)) => Ok(Box::new(&bytes[..])),
            Some(FetchedTable::File(path)) => open_file(path),
            Some(FetchedTable::Temporary(path)) => open_file(path),
            None => Err(Error::not_found(format!("no contents of {name} from {}", self.place))),
        }
    }
}
