//! `jhalak export`: a run as files for other tools.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::TypedValueParser;
use clap::{Arg, Args, Command};
use jhalak_common::counted::counted;
use jhalak_common::process::exit;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result, store};
use serde_json::json;

use crate::commands::output_path;
use crate::commands::run_id::RunArg;
use crate::console::output::Output;
use crate::export::{self, Manifest, Options};

/// Export a run as Parquet, CSV, webdataset shards and model files
///
/// Writes movies, ratings, embeddings, keyframes with their vectors, scenes, objects, predictions and metrics, the
/// final model, and manifest.json, which is written last and describes each file: columns, rows and SHA-256.
#[derive(Args)]
#[command(after_help = "Examples:
  # Export the only run of the store
  jhalak export --out results
  # Export a run with its keyframes as JPEG files too
  jhalak export RUN --out results --pictures")]
pub struct Export {
    #[command(flatten)]
    run: RunArg,
    /// New or empty folder, or s3://bucket/prefix, that receives the files
    #[arg(long, value_name = "DIR", value_parser = TargetParser, help_heading = "Output")]
    out: Target,
    /// Also write every keyframe as a JPEG: pictures/STRATEGY/MOVIE/NN.jpg
    #[arg(long, help_heading = "Output")]
    pictures: bool,
}

/// Where the files go.
#[derive(Clone, Debug)]
enum Target {
    /// A folder of this machine.
    Folder(PathBuf),
    /// `s3://bucket/prefix`.
    Store(String),
}

/// Accepts `s3://bucket/prefix`, and what the other commands accept as a folder.
#[derive(Clone)]
struct TargetParser;

impl TypedValueParser for TargetParser {
    type Value = Target;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Target, clap::Error> {
        match value.to_str().filter(|text| text.starts_with("s3://")) {
            Some(url) => Ok(Target::Store(url.to_owned())),
            None => output_path::folder_or_s3().parse_ref(command, arg, value).map(Target::Folder),
        }
    }
}

impl Export {
    pub(in crate::commands) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let store = store::open(&settings.store, &settings.s3).await?;
        let run = self.run.find(store.as_ref()).await?;
        let options = Options { pictures: self.pictures };
        let step = |part: &str| output.progress.say(&format!("export {run}: {part}"));
        let (manifest, place) = match &self.out {
            Target::Folder(folder) => {
                export::check_empty(folder)?;
                std::fs::create_dir_all(folder)
                    .map_err(|e| Error::from(e).context(format!("the folder {}", folder.display())))?;
                let manifest = export::export(store.as_ref(), &run, folder, options, step).await?;
                (manifest, folder.display().to_string())
            }
            Target::Store(url) => {
                let target = store::open(url, &settings.s3).await?;
                if futures::TryStreamExt::try_next(&mut target.list("")).await?.is_some() {
                    return Err(Error::invalid(format!("{} holds objects: name another prefix", target.url())));
                }
                let scratch = tempfile::tempdir_in(&settings.worker.scratch)?;
                let manifest = export::export(store.as_ref(), &run, scratch.path(), options, step).await?;
                upload(target.as_ref(), scratch.path(), &manifest).await?;
                (manifest, target.url())
            }
        };
        let mut text = format!("run {run}, {} in {place}\n", counted(manifest.files.len() as u64 + 1, "file"));
        for file in manifest.files.iter().filter(|file| !file.path.starts_with("pictures/")) {
            let unit = if file.path.ends_with(".tar") { "samples" } else { "rows" };
            let rows = file.rows.map(|rows| format!("{rows} {unit}")).unwrap_or_default();
            text.push_str(&format!("  {:<38} {:>12}  {}\n", file.path, rows, file.about));
        }
        text.push_str(&manifest.notes.iter().map(|note| format!("  left out: {note}\n")).collect::<String>());
        output.print(&json!({ "run": run, "out": place, "manifest": manifest }), &text)?;
        Ok(exit::DONE)
    }
}

/// Uploads an export, the manifest last.
async fn upload(target: &dyn store::ObjectStore, from: &Path, manifest: &Manifest) -> Result<()> {
    for file in &manifest.files {
        target.upload(&file.path, &from.join(&file.path)).await?;
    }
    target.upload(export::MANIFEST_FILE, &from.join(export::MANIFEST_FILE)).await
}
