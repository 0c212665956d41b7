//! `jhalak init`: a folder to start from.

use std::path::{Path, PathBuf};

use clap::Args;
use jhalak_common::process::exit;
use jhalak_common::settings::{Settings, reference};
use jhalak_common::{Error, Result};
use serde_json::json;

use super::output_path;
use super::settings::as_toml;
use crate::console::output::Output;

/// The files of the example dataset, below `dataset/`.
const DATASET: [(&str, &str); 3] = [
    ("movies.csv", include_str!("example/movies.csv")),
    ("ratings.csv", include_str!("example/ratings.csv")),
    ("dataset.toml", include_str!("example/dataset.toml")),
];

const CONFIGURATION: &str = "jhalak.toml";

/// Create a commented settings file and a small dataset
///
/// Writes jhalak.toml, which every command reads if it is in the current folder, and dataset/ with movies and ratings
/// to replace by your own. Trailers go to dataset/trailers/ID.mp4. Existing files are never replaced.
#[derive(Args)]
#[command(after_help = "Examples:
  # Create the folder films
  jhalak init films
  # From inside it (cd films), run the example with fewer folds
  jhalak run --dataset dataset --set evaluate.folds=2")]
pub struct Init {
    /// Folder to create, or an existing one without these files
    #[arg(value_parser = output_path::folder())]
    dir: PathBuf,
}

impl Init {
    pub(in crate::commands) fn execute(self, output: &Output) -> Result<u8> {
        let entries = reference::describe(&Settings::default(), None, &[])?;
        let head = "store = \"store\"\n";
        let toml = as_toml(&entries).replacen("\n#store = ", &format!("\n{head}#store = "), 1);
        let mut files = vec![(PathBuf::from(CONFIGURATION), toml)];
        files.extend(DATASET.map(|(name, text)| (Path::new("dataset").join(name), text.to_owned())));
        if let Some((name, _)) = files.iter().find(|(name, _)| self.dir.join(name).exists()) {
            return Err(Error::invalid(format!(
                "{} exists and is not replaced: name another folder",
                self.dir.join(name).display()
            )));
        }
        let within = |e: std::io::Error| Error::from(e).context(format!("create {}", self.dir.display()));
        std::fs::create_dir_all(self.dir.join("dataset/trailers")).map_err(within)?;
        for (name, text) in &files {
            std::fs::write(self.dir.join(name), text).map_err(within)?;
        }
        let names: Vec<String> = files.iter().map(|(name, _)| name.display().to_string()).collect();
        let dir = self.dir.display();
        let text = format!(
            "created in {dir}: {}\nnext:\n  cd {dir}\n  jhalak dataset check --dataset dataset\n  jhalak run --dataset dataset\n",
            names.join(", ")
        );
        output.print(&json!({ "dir": self.dir, "files": names }), &text)?;
        Ok(exit::DONE)
    }
}
