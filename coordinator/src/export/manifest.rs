//! The list of an export's files, with their checksums and columns.

use jhalak_common::hash::{self, Hash};
use jhalak_common::{Error, Result};
use serde::Serialize;
use serde_json::json;

use super::column::Column;
use super::context::Context;

/// The name of the list of files, which is written last.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The files of a part, and remarks on what it leaves out.
pub(super) type Written = (Vec<FileEntry>, Vec<String>);

/// An export: its files and remarks.
#[derive(Debug, Serialize)]
pub struct Manifest {
    /// The version of this format.
    pub version: u32,
    /// The program and its version.
    pub program: String,
    /// The run.
    pub run: String,
    /// The dataset's name.
    pub dataset: String,
    /// The hash of the dataset's normal form.
    pub dataset_sha256: Hash,
    /// Whether a program generated the feedback.
    pub synthetic: bool,
    /// The parts that the export leaves out, and why.
    pub notes: Vec<String>,
    /// The models that made the artifacts.
    pub models: serde_json::Value,
    /// The files, in order of name.
    pub files: Vec<FileEntry>,
}

/// One file of an export.
#[derive(Debug, Serialize)]
pub struct FileEntry {
    /// Its path in the export, with `/` between its parts.
    pub path: String,
    /// Its content.
    pub about: String,
    /// Its length in bytes.
    pub size: u64,
    /// The hash of its bytes.
    pub sha256: Option<Hash>,
    /// Rows of a table, samples of a shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Columns of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnEntry>,
}

/// One column of a table.
#[derive(Debug, Serialize)]
pub struct ColumnEntry {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether cells may be empty.
    pub nullable: bool,
    /// Its meaning and unit.
    pub about: String,
    /// The model, recipe and unit of a vector.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub facts: serde_json::Map<String, serde_json::Value>,
}

impl FileEntry {
    /// An entry whose size and checksum are taken when the manifest is written.
    pub fn of(path: impl Into<String>, about: &str, rows: Option<u64>, columns: Vec<Column>) -> FileEntry {
        let entry = |column: Column| ColumnEntry {
            kind: column.kind_name(),
            name: column.name,
            nullable: column.nullable,
            about: column.about,
            facts: column.metadata.into_iter().map(|(key, value)| (key, value.into())).collect(),
        };
        let columns = columns.into_iter().map(entry).collect();
        FileEntry { path: path.into(), about: about.to_owned(), size: 0, sha256: None, rows, columns }
    }
}

impl Manifest {
    /// Takes the checksums of `files` and writes `manifest.json`.
    pub(super) async fn write(
        context: &Context<'_>,
        mut files: Vec<FileEntry>,
        notes: Vec<String>,
    ) -> Result<Manifest> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in &mut files {
            let (sha256, size) = hash::of_file(context.path(&file.path)).await?;
            (file.sha256, file.size) = (Some(sha256), size);
        }
        let spec = &context.plan.spec;
        let manifest = Manifest {
            version: 1,
            program: format!("jhalak {}", env!("CARGO_PKG_VERSION")),
            run: spec.id.clone(),
            dataset: spec.dataset.id.clone(),
            dataset_sha256: spec.dataset.content,
            synthetic: spec.synthetic,
            notes,
            models: json!(spec.models),
            files,
        };
        let json = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::bug("a manifest").with_source(e))?;
        std::fs::write(context.path(MANIFEST_FILE), json)?;
        Ok(manifest)
    }
}
