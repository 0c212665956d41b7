//! Embeddings of the movies in one modality.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::RecommendError;
use jhalak_common::artifact::table::{self, Wanted};
use jhalak_common::artifact::table_file::Table;
use jhalak_common::artifact::{ArtifactKind, CommitRecord};
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::Modality;
use jhalak_common::store::ObjectStore;
use jhalak_common::{Error, Result};

/// Maximum number of genres for a network, whose weights grow with their square. Catalogues have a
/// few dozen.
const MAX_GENRES: usize = 1024;

/// One embedding for each movie, by the movie's index in the dataset.
///
/// A movie without a trailer, or whose trailer has no sound, has no row. Cells that need the row
/// leave out the movie's pairs, in training and in testing, and count them. Folds are drawn before
/// that, so they are the same in all cells.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddingTable {
    /// Length of a row.
    pub dim: usize,
    /// The rows.
    pub rows: MovieRows,
}

/// A row for each movie, or none. Copies share the rows until one of them is changed: those of a
/// large catalogue take gigabytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MovieRows(Arc<Vec<Option<Vec<f32>>>>);

impl From<Vec<Option<Vec<f32>>>> for MovieRows {
    fn from(rows: Vec<Option<Vec<f32>>>) -> Self {
        Self(Arc::new(rows))
    }
}

impl FromIterator<Option<Vec<f32>>> for MovieRows {
    fn from_iter<I: IntoIterator<Item = Option<Vec<f32>>>>(rows: I) -> Self {
        Vec::from_iter(rows).into()
    }
}

impl Deref for MovieRows {
    type Target = Vec<Option<Vec<f32>>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for MovieRows {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

/// The rows of a stored table that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableRows {
    /// Those of rated movies, which are all that an evaluation needs. A table of one file is read
    /// whole: there, published genre heads and some controls also see unrated movies.
    Rated,
    /// Those of all movies: a final model also predicts movies without a rating.
    All,
}

impl EmbeddingTable {
    /// Returns the multi-hot genre vectors. A movie without a known genre has a row of zeros.
    #[must_use]
    pub fn genres(dataset: &Dataset) -> Self {
        let dim = dataset.genres.len();
        let hot = |genres: &[String]| dataset.genres.iter().map(|g| f32::from(u8::from(genres.contains(g)))).collect();
        Self { dim, rows: dataset.movies.iter().map(|movie| Some(hot(&movie.genres))).collect() }
    }

    /// Returns the rows of a stored table, by movie.
    #[must_use]
    pub fn of(mut table: Table, dataset: &Dataset) -> Self {
        Self { dim: table.dim, rows: dataset.movies.iter().map(|movie| table.rows.remove(&movie.id)).collect() }
    }

    /// Reads rows of a committed table, by movie. Rows of movies that the dataset does not have are
    /// left out.
    ///
    /// # Errors
    /// Those of [`table::each_row`].
    pub async fn read(
        store: &dyn ObjectStore,
        record: &CommitRecord,
        dataset: &Dataset,
        rows: TableRows,
    ) -> Result<Self> {
        let wanted = match rows {
            TableRows::Rated if table::is_sharded(record) => rated(dataset),
            TableRows::Rated | TableRows::All => Wanted::All,
        };
        let (mut dim, mut read) = (0, vec![None; dataset.movies.len()]);
        table::each_row(store, record, &wanted, |id, row| {
            dim = row.len();
            if let Some(movie) = dataset.movie_index(&id) {
                read[movie] = Some(row);
            }
            Ok(())
        })
        .await?;
        Ok(Self { dim, rows: read.into() })
    }

    /// Returns the row of a movie.
    #[must_use]
    pub fn row(&self, movie: u32) -> Option<&[f32]> {
        self.rows.get(movie as usize).and_then(|row| row.as_deref())
    }

    /// Refuses tables that do not match the catalogue, and values that are not finite.
    ///
    /// # Errors
    /// [`RecommendError::Embedding`] with the first movie that is not valid.
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

/// Selects the rows of movies with a rating.
fn rated(dataset: &Dataset) -> Wanted {
    let mut is_rated = vec![false; dataset.movies.len()];
    dataset.ratings.iter().for_each(|rating| is_rated[rating.movie as usize] = true);
    let ids = dataset.movies.iter().zip(is_rated).filter(|(_, is_rated)| *is_rated);
    Wanted::Ids(Arc::new(ids.map(|(movie, _)| movie.id.clone()).collect()))
}

/// The frames or the sound windows of each trailer, by the movie's index in the dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct PartTable {
    /// Length of a part.
    pub dim: usize,
    /// The parts of each trailer one after the other, in their order.
    pub rows: MovieRows,
}

impl PartTable {
    /// Reads the parts of rated movies from a committed table, by movie.
    ///
    /// # Errors
    /// Those of [`table::each_row`].
    pub async fn read(store: &dyn ObjectStore, record: &CommitRecord, dataset: &Dataset) -> Result<Self> {
        let (mut dim, mut read) = (0, vec![None; dataset.movies.len()]);
        table::each_row(store, record, &rated(dataset), |id, part| {
            dim = part.len();
            if let Some(movie) = dataset.movie_index(&id) {
                read[movie].get_or_insert_with(Vec::new).extend(part);
            }
            Ok(())
        })
        .await?;
        Ok(Self { dim, rows: read.into() })
    }
}

/// The embeddings that a cell may read. The genre and metadata modalities need none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features {
    /// Embeddings of trailer frames.
    pub video: Option<EmbeddingTable>,
    /// Embeddings of trailer sound.
    pub audio: Option<EmbeddingTable>,
    /// Frames of the trailers of rated movies, for the models that read parts.
    pub video_parts: Option<PartTable>,
    /// Sound windows of those trailers.
    pub audio_parts: Option<PartTable>,
}

impl Features {
    /// Adds rows of a committed table.
    ///
    /// # Errors
    /// InvalidInput for an artifact that is not a table, and those of [`table::each_row`].
    pub async fn read(
        &mut self,
        store: &dyn ObjectStore,
        record: &CommitRecord,
        dataset: &Dataset,
        rows: TableRows,
    ) -> Result<()> {
        match record.recipe.kind {
            ArtifactKind::VideoTable => {
                self.video = Some(EmbeddingTable::read(store, record, dataset, rows).await?);
            }
            ArtifactKind::AudioTable => {
                self.audio = Some(EmbeddingTable::read(store, record, dataset, rows).await?);
            }
            ArtifactKind::VideoParts => self.video_parts = Some(PartTable::read(store, record, dataset).await?),
            ArtifactKind::AudioParts => self.audio_parts = Some(PartTable::read(store, record, dataset).await?),
            other => return Err(Error::invalid(format!("a training job cannot read {} artifacts", other.name()))),
        }
        Ok(())
    }

    /// Returns the parts of a modality, video before audio.
    ///
    /// # Errors
    /// [`RecommendError::MissingModality`] without a table; [`RecommendError::Embedding`] for one
    /// that does not match the catalogue, or has a value that is not finite.
    pub fn parts(&self, modality: Modality, movies: usize) -> Result<Vec<PartTable>, RecommendError> {
        let tracks: &[(&'static str, &Option<PartTable>)] = match modality {
            Modality::Video => &[("video parts", &self.video_parts)],
            Modality::Audio => &[("audio parts", &self.audio_parts)],
            Modality::AudioVideo => &[("video parts", &self.video_parts), ("audio parts", &self.audio_parts)],
            Modality::Genre | Modality::Metadata => &[],
        };
        let check = |&(name, table): &(&'static str, &Option<PartTable>)| {
            let table = table.as_ref().ok_or(RecommendError::MissingModality { modality })?;
            let fits = |row: &Vec<f32>| {
                !row.is_empty() && row.len().is_multiple_of(table.dim) && row.iter().all(|x| x.is_finite())
            };
            if table.dim > 0 && table.rows.len() == movies && table.rows.iter().flatten().all(fits) {
                return Ok(table.clone());
            }
            let reason = format!("a part is not finite, or not of {} numbers: run `jhalak doctor --store`", table.dim);
            Err(RecommendError::Embedding { table: name, reason })
        };
        tracks.iter().map(check).collect()
    }

    /// Returns the tables of a modality, video before audio. Returns none for metadata, whose table
    /// is fitted in every fold ([`super::metadata`]).
    ///
    /// # Errors
    /// [`RecommendError::MissingModality`], or an error of [`EmbeddingTable::check`].
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
                    return fail("no movie has a genre, so all movies look the same: use another modality".to_owned());
                }
                if dataset.genres.len() > MAX_GENRES {
                    let count = dataset.genres.len();
                    return fail(format!(
                        "{count} genres are too many, the maximum is {MAX_GENRES}: list the ones to use under `genres` in dataset.toml"
                    ));
                }
                let genres = EmbeddingTable::genres(dataset);
                genres.check("genre", dataset.movies.len()).map(|()| vec![genres])
            }
            Modality::Metadata => Ok(Vec::new()),
        }
    }
}
