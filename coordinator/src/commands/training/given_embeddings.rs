//! `--embeddings` of commands that train in their own process.

use std::path::PathBuf;

use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::Modality;
use jhalak_common::hash::{self, Hash};
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::features::embedding::{EmbeddingTable, Features};
use serde::Serialize;

use crate::commands::given_embeddings::{self, GivenFile};
use crate::console::output::Output;

/// A file of embeddings that was read.
#[derive(Serialize)]
pub(super) struct GivenEmbeddings {
    modality: Modality,
    path: PathBuf,
    /// SHA-256 of the rows of the dataset's movies.
    pub(super) content: Hash,
    /// Numbers of a row.
    dim: usize,
    /// Movies of the dataset with a row.
    movies: usize,
    /// Rows of movies that the dataset does not have.
    unknown_rows: usize,
    /// Rows without a usable vector.
    left_out_rows: usize,
}

/// Reads the files of `options` for a cell of this modality.
///
/// # Errors
/// Wrong use if the cell reads no trailers, or a modality that it reads has no file; those of
/// [`given_embeddings::read`].
pub(super) fn read(
    options: &[String],
    modality: Modality,
    dataset: &Dataset,
    output: &Output,
) -> Result<(Features, Vec<GivenEmbeddings>)> {
    let read_by_cell: &[Modality] = match modality {
        Modality::Video => &[Modality::Video],
        Modality::Audio => &[Modality::Audio],
        Modality::AudioVideo => &[Modality::Video, Modality::Audio],
        Modality::Genre | Modality::Metadata => {
            return Err(Error::usage(format!(
                "--embeddings needs a modality that reads trailers, not {modality}: add --modality video, audio or audio+video"
            )));
        }
    };
    let (mut features, mut facts) = (Features::default(), Vec::new());
    for file in given_embeddings::read(options, read_by_cell, dataset, output)? {
        let GivenFile { modality, path, rows, unknown_rows, left_out_rows } = file;
        let content = hash::of_json(&serde_json::json!(rows.rows));
        let (dim, movies) = (rows.dim, rows.rows.len());
        let table = Some(EmbeddingTable::of(rows, dataset));
        match modality {
            Modality::Video => features.video = table,
            _ => features.audio = table,
        }
        facts.push(GivenEmbeddings { modality, path, content, dim, movies, unknown_rows, left_out_rows });
    }
    for &of in read_by_cell {
        let found = if of == Modality::Video { &features.video } else { &features.audio };
        if found.is_none() {
            return Err(Error::usage(format!("--modality {modality} also needs --embeddings {of}=FILE")));
        }
    }
    Ok((features, facts))
}
