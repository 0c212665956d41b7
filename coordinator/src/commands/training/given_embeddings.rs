//! `--embeddings`: ready embeddings of trailers, in place of those that `jhalak run` stored.

use std::path::{Path, PathBuf};

use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::Modality;
use jhalak_common::evaluation::given_embeddings;
use jhalak_common::hash::{self, Hash};
use jhalak_common::{Error, Result};
use jhalak_worker::recommend::features::embedding::{EmbeddingTable, Features};
use serde::Serialize;

use crate::console::output::Output;

/// A file of embeddings that was read.
#[derive(Serialize)]
pub(super) struct GivenEmbeddings {
    modality: Modality,
    path: PathBuf,
    /// SHA-256 of the table's rows.
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

/// Reads the files of `options`, each `FILE`, `video=FILE` or `audio=FILE`.
///
/// # Errors
/// Wrong use if a file's modality is not stated or not one that the cell reads, or a modality has
/// none or two files. Invalid input as [`given_embeddings::read`], or if no row is of a movie of the
/// dataset.
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
    for option in options {
        let (of, path) = of_option(option, read_by_cell)?;
        let slot = if of == Modality::Video { &mut features.video } else { &mut features.audio };
        if slot.is_some() {
            return Err(Error::usage(format!("--embeddings names two files of {of}: keep one")));
        }
        let given = given_embeddings::read(path)?;
        let (rows, dim) = (given.table.rows.len(), given.table.dim);
        let content = hash::of_json(&serde_json::json!(given.table.rows));
        let table = EmbeddingTable::of(given.table, dataset);
        let movies = table.rows.iter().flatten().count();
        let name = path.display();
        if movies == 0 {
            return Err(Error::invalid(format!(
                "{name}: none of its {rows} ids is a movie of the dataset {}: is the right column the id?",
                dataset.name
            )));
        }
        let mut said = format!("{name}: {of} embeddings of {movies} of {} movies", dataset.movies.len());
        if rows > movies {
            said.push_str(&format!("; {} rows of other movies", rows - movies));
        }
        if let Some(first) = &given.first_left_out {
            said.push_str(&format!("; {} rows left out without a usable vector, the first of {first}", given.left_out));
        }
        output.progress.say(&said);
        *slot = Some(table);
        facts.push(GivenEmbeddings {
            modality: of,
            path: path.to_owned(),
            content,
            dim,
            movies,
            unknown_rows: rows - movies,
            left_out_rows: given.left_out,
        });
    }
    for &of in read_by_cell {
        let found = if of == Modality::Video { &features.video } else { &features.audio };
        if found.is_none() {
            return Err(Error::usage(format!("--modality {modality} also needs --embeddings {of}=FILE")));
        }
    }
    Ok((features, facts))
}

fn of_option<'a>(option: &'a str, read_by_cell: &[Modality]) -> Result<(Modality, &'a Path)> {
    let named = [("video=", Modality::Video), ("audio=", Modality::Audio)];
    let found = named.into_iter().find_map(|(prefix, of)| Some((of, option.strip_prefix(prefix)?)));
    match (found, read_by_cell) {
        (Some((of, _)), read) if !read.contains(&of) => {
            Err(Error::usage(format!("--embeddings {option}: the cell does not read {of}: change --modality")))
        }
        (Some((of, path)), _) => Ok((of, Path::new(path))),
        (None, [only]) => Ok((*only, Path::new(option))),
        (None, _) => Err(Error::usage(format!("--embeddings {option}: write video={option} or audio={option}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_of_the_modality_that_is_named_or_the_only_one() {
        let both = [Modality::Video, Modality::Audio];
        assert_eq!(of_option("a.npy", &both[..1]).expect("only one"), (Modality::Video, Path::new("a.npy")));
        assert_eq!(of_option("audio=a=b.npy", &both).expect("named"), (Modality::Audio, Path::new("a=b.npy")));
        assert!(of_option("a.npy", &both).expect_err("two").to_string().contains("video=a.npy"));
        assert!(of_option("audio=a.npy", &both[..1]).expect_err("not read").to_string().contains("--modality"));
    }
}
