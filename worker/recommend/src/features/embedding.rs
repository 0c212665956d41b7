//! Embeddings of the catalogue's movies in one modality.

use crate::RecommendError;
use jhalak_common::artifact::table_file::Table;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::Modality;
use serde::{Deserialize, Serialize};

/// Genres of which a network can be built. Its weights grow with their square; catalogues that mean genres have a few dozen.
const MOST_GENRES: usize = 1024;

/// One row a movie, by the movie's index in the dataset.
///
/// A movie without a trailer, or whose trailer has no sound, has no row. Its pairs are left out of every cell that needs the row, in
/// training and in testing, and counted there; the folds are drawn before that, so that they are the same in all cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingTable {
    /// Numbers a row.
    pub dim: usize,
    /// The rows.
    pub rows: Vec<Option<Vec<f32>>>,
}

impl EmbeddingTable {
    /// The multi-hot genre vectors. A movie without a known genre has a row of zeros.
    #[must_use]
    pub fn genres(dataset: &Dataset) -> Self {
        let dim = dataset.genres.len();
        let hot = |genres: &[String]| dataset.genres.iter().map(|g| f32::from(u8::from(genres.contains(g)))).collect();
        Self { dim, rows: dataset.movies.iter().map(|movie| Some(hot(&movie.genres))).collect() }
    }

    /// The rows of a stored table, by movie.
    #[must_use]
    pub fn of(mut table: Table, dataset: &Dataset) -> Self {
        Self { dim: table.dim, rows: dataset.movies.iter().map(|movie| table.rows.remove(&movie.id)).collect() }
    }

    /// The row of a movie.
    #[must_use]
    pub fn row(&self, movie: u32) -> Option<&[f32]> {
        self.rows.get(movie as usize).and_then(|row| row.as_deref())
    }

    /// Refuses tables that do not fit the catalogue and numbers that are not finite.
    ///
    /// # Errors
    /// [`RecommendError::Embedding`] with the first movie that is wrong.
    pub fn check(&self, table: &'static str, movies: usize) -> Result<(), RecommendError> {
        let fail = |reason: String| Err(RecommendError::Embedding { table, reason });
        if self.dim == 0 {
            return fail("rows of 0 numbers".to_owned());
        }
        if self.rows.len() != movies {
            return fail(format!("{} rows for {movies} movies", self.rows.len()));
        }
        for (movie, row) in self.rows.iter().enumerate() {
            if let Some(row) = row {
                if row.len() != self.dim {
                    return fail(format!("movie {movie} has {} numbers, the table {}", row.len(), self.dim));
                }
                if let Some(at) = row.iter().position(|x| !x.is_finite()) {
                    return fail(format!("number {at} of movie {movie} is {}", row[at]));
                }
            }
        }
        if self.rows.iter().all(Option::is_none) {
            return fail("no movie has a row".to_owned());
        }
        Ok(())
    }
}

/// The embeddings that a cell may use. The genre and metadata modalities need neither.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Trailer pictures.
    pub video: Option<EmbeddingTable>,
    /// Trailer sound.
    pub audio: Option<EmbeddingTable>,
}

impl Features {
    /// The tables of a modality, video before audio. None for metadata, whose table is fitted in every fold ([`super::metadata`]).
    ///
    /// # Errors
    /// [`RecommendError::MissingModality`], or what [`EmbeddingTable::check`] finds.
    pub fn tables(&self, modality: Modality, dataset: &Dataset) -> Result<Vec<EmbeddingTable>, RecommendError> {
        let take = |table: &Option<EmbeddingTable>, name| {
            let table = table.as_ref().ok_or(RecommendError::MissingModality { modality })?;
            table.check(name, dataset.movies.len()).map(|()| table.clone())
        };
        match modality {
            Modality::Video => Ok(vec![take(&self.video, "video")?]),
            Modality::Audio => Ok(vec![take(&self.audio, "audio")?]),
            Modality::AudioVideo => Ok(vec![take(&self.video, "video")?, take(&self.audio, "audio")?]),
            Modality::Genre => {
                let fail = |reason: String| Err(RecommendError::Embedding { table: "genre", reason });
                if !dataset.has_genres() {
                    return fail(
                        "no movie has a genre, so that nothing tells them apart: take another modality".to_owned(),
                    );
                }
                if dataset.genres.len() > MOST_GENRES {
                    let count = dataset.genres.len();
                    return fail(format!(
                        "{count} genres are too many, {MOST_GENRES} at most: list those to use under `genres` in dataset.toml"
                    ));
                }
                let genres = EmbeddingTable::genres(dataset);
                genres.check("genre", dataset.movies.len()).map(|()| vec![genres])
            }
            Modality::Metadata => Ok(Vec::new()),
        }
    }
}
