//! `--embeddings`: ready embeddings of trailers, in place of those that `jhalak run` computes.

use std::path::{Path, PathBuf};

use jhalak_common::artifact::table_file::Table;
use jhalak_common::counted::counted;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::Modality;
use jhalak_common::evaluation::given_embeddings;
use jhalak_common::{Error, Result};

use crate::console::output::Output;

/// A file of embeddings that was read.
pub(super) struct GivenFile {
    /// The modality that it gives.
    pub(super) modality: Modality,
    /// Where it is.
    pub(super) path: PathBuf,
    /// The rows of movies of the dataset.
    pub(super) rows: Table,
    /// Rows of movies that the dataset does not have.
    #[cfg_attr(not(feature = "local"), expect(dead_code))]
    pub(super) unknown_rows: usize,
    /// Rows without a usable vector.
    #[cfg_attr(not(feature = "local"), expect(dead_code))]
    pub(super) left_out_rows: usize,
}

/// Reads the files of `options`, each `FILE`, `video=FILE` or `audio=FILE`, and reports how many movies
/// have a row. Returns video before audio.
///
/// # Errors
/// Wrong use if a file's modality is not stated or not one of `read`, or a modality has two files.
/// Invalid input as [`given_embeddings::read`], or if no row is of a movie of the dataset.
pub(super) fn read(
    options: &[String],
    read: &[Modality],
    dataset: &Dataset,
    output: &Output,
) -> Result<Vec<GivenFile>> {
    let mut files: Vec<GivenFile> = Vec::new();
    for option in options {
        let (modality, path) = of_option(option, read)?;
        if files.iter().any(|file| file.modality == modality) {
            return Err(Error::usage(format!("--embeddings names two files of {modality}: keep one")));
        }
        let mut given = given_embeddings::read(path)?;
        let all = given.table.rows.len();
        given.table.rows.retain(|id, _| dataset.movie_index(id).is_some());
        let movies = given.table.rows.len();
        let name = path.display();
        if movies == 0 {
            return Err(Error::invalid(format!(
                "{name}: none of its {all} ids is a movie of the dataset {}: is the right column the id?",
                dataset.name
            )));
        }
        let mut said = format!("{name}: {modality} embeddings of {movies} of {} movies", dataset.movies.len());
        said.push_str(&format!(", {} numbers each", given.table.dim));
        if !given.unread.is_empty() {
            said.push_str(&format!("; columns not read: {}", given.unread.join(", ")));
        }
        if all > movies {
            said.push_str(&format!("; {} of other movies", counted((all - movies) as u64, "row")));
        }
        if let Some(first) = &given.first_left_out {
            said.push_str(&format!(
                "; {} left out without a usable vector, the first of {first}",
                counted(given.left_out as u64, "row")
            ));
        }
        output.progress.say(&said);
        files.push(GivenFile {
            modality,
            path: path.to_owned(),
            rows: given.table,
            unknown_rows: all - movies,
            left_out_rows: given.left_out,
        });
    }
    files.sort_by_key(|file| file.modality != Modality::Video);
    Ok(files)
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
