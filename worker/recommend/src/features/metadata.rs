//! The metadata modality: the catalogue's description of a movie as one row of numbers.
//!
//! Description and people (cast, directors, writers) become TF-IDF, reduced to [`DIMS`] dimensions
//! each. Further columns are year, rating, lengths, languages, genres, and whether the year is
//! missing, which carries signal. Vocabularies, reductions and scales are learned from the movies
//! of training pairs alone. A missing value is 0, the mean.

use super::embedding::EmbeddingTable;
use super::movie_content::{Extras, MovieEncoder};
use crate::RecommendError;
use jhalak_common::dataset::{Dataset, Movie};
use jhalak_common::evaluation::Modality;

/// Dimensions that the descriptions, and the people, are reduced to.
const DIMS: usize = 24;

/// Returns the table of every movie, learned from the movies of the pairs `train` (indexes of
/// ratings).
///
/// # Errors
/// [`RecommendError::MissingModality`] if the catalogue has only ids, names and genres.
pub fn table(dataset: &Dataset, train: &[u32], seed: u64) -> Result<EmbeddingTable, RecommendError> {
    if !dataset.movies.iter().any(has_metadata) {
        return Err(RecommendError::MissingModality { modality: Modality::Metadata });
    }
    let mut fitted = vec![false; dataset.movies.len()];
    train.iter().for_each(|&pair| fitted[dataset.ratings[pair as usize].movie as usize] = true);
    let content = MovieEncoder::learn(dataset, &fitted, &Extras::all_columns(), DIMS, seed).encode(&dataset.movies);
    let row = |row: &[f64]| Some(row.iter().map(|&x| x as f32).collect());
    let table = EmbeddingTable { dim: content.dims, rows: content.dense.chunks_exact(content.dims).map(row).collect() };
    table.check("metadata", dataset.movies.len()).map(|()| table)
}

fn has_metadata(movie: &Movie) -> bool {
    let texts = [&movie.languages, &movie.writers, &movie.directors, &movie.cast];
    movie.year.is_some()
        || movie.rating.is_some()
        || !movie.description.is_empty()
        || texts.iter().any(|list| !list.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw_folds::fold_pairs;
    use crate::example::{Taste, example};
    use jhalak_common::evaluation::{CellSpec, Model, Split, UserEmbedding};

    /// A catalogue whose movies of one first genre share words and an actor.
    fn described() -> Dataset {
        let mut dataset = example(40, 30, 10, Taste::Genre, 1);
        for (i, movie) in dataset.movies.iter_mut().enumerate() {
            let theme = ["fight chase", "laugh joke", "weep letter", "sing dance"][i % 4];
            movie.description = format!("they {theme} in town {}", i % 7);
            movie.cast = vec![format!("Star {}", i % 4), format!("Extra {i}")];
            movie.year = (i % 5 != 0).then_some(1990 + i as i32);
        }
        dataset
    }

    fn split(dataset: &Dataset) -> (Vec<u32>, Vec<u32>) {
        let spec = CellSpec::strict(Split::Movies, Modality::Metadata, Model::Ann, UserEmbedding::All, true);
        let fold = fold_pairs(dataset, &spec, 0, None).expect("it splits");
        (fold.train, fold.test)
    }

    /// Returns whether rows of training movies change when the metadata of test movies change.
    fn changes(dataset: &Dataset, fit: &[u32], test: &[u32]) -> bool {
        let mut changed = dataset.clone();
        let tested: Vec<u32> = test.iter().map(|&pair| dataset.ratings[pair as usize].movie).collect();
        for &movie in &tested {
            let movie = &mut changed.movies[movie as usize];
            movie.description = "an alien robot they fight".to_owned();
            movie.cast = vec!["Star 1".to_owned()];
            movie.year = Some(1905);
        }
        let of = |dataset| table(dataset, fit, 7).expect("there is metadata");
        let (before, after) = (of(dataset), of(&changed));
        let kept = |movie: &u32| !tested.contains(movie);
        (0..dataset.movies.len() as u32).filter(kept).any(|movie| before.row(movie) != after.row(movie))
    }

    #[test]
    fn nothing_is_learned_from_test_movies_and_a_planted_leak_is_detected() {
        let dataset = described();
        let (train, test) = split(&dataset);
        assert!(!changes(&dataset, &train, &test), "fitted on the movies of training pairs alone");
        let leaky = [train.as_slice(), &test].concat();
        assert!(changes(&dataset, &leaky, &test), "a fit on all movies must be detected");
    }

    #[test]
    fn similar_movies_have_similar_rows_and_a_missing_year_is_marked() {
        let dataset = described();
        let all: Vec<u32> = (0..dataset.ratings.len() as u32).collect();
        let table = table(&dataset, &all, 7).expect("there is metadata");
        let row = |movie| table.row(movie).expect("every movie has a row");
        let similarity = |a, b| row(a).iter().zip(row(b)).map(|(x, y)| x * y).sum::<f32>();
        assert!(similarity(4, 8) > similarity(4, 9), "same theme and star against another");
        let missing = 3; // after year, rating and the number of the id
        assert!(row(5)[missing] > 0.0 && row(6)[missing] < 0.0, "{} {}", row(5)[missing], row(6)[missing]);
    }

    #[test]
    fn a_catalogue_without_metadata_is_refused() {
        let dataset = example(10, 12, 6, Taste::Chance, 1);
        assert_eq!(
            table(&dataset, &[0, 1, 2], 0),
            Err(RecommendError::MissingModality { modality: Modality::Metadata })
        );
    }
}
