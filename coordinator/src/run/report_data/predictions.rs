//! The predictions of each cell of a run, with ids, in the store: one Parquet file per cell, which
//! `jhalak compare` and `jhalak evaluate --score` read.

use jhalak_common::Result;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::{CellSpec, FoldResult, predictions};
use jhalak_common::run::run_key;
use jhalak_common::store::ObjectStore;

use crate::plan::Plan;

/// Stores the predictions of all folds of the plan's cell `number`, and returns their key. The same
/// results give the same bytes.
pub(super) async fn put(
    store: &dyn ObjectStore,
    plan: &Plan,
    dataset: &Dataset,
    number: usize,
    folds: &[FoldResult],
) -> Result<String> {
    let key = run_key(&plan.spec.id, &format!("predictions/{}", file_name(number, &plan.spec.cells[number])));
    store.put(&key, predictions::encode(dataset, folds)?).await?;
    Ok(key)
}

/// Returns the name of a cell's file, which is unique within the run:
/// `007-strict-pairs-ensemble.parquet`.
fn file_name(number: usize, spec: &CellSpec) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { ' ' };
    let words: String = spec.name().chars().map(word).collect();
    format!("{number:03}-{}.parquet", words.split_whitespace().collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_common::evaluation::{Modality, Model, Split, UserEmbedding};

    #[test]
    fn names_of_files_can_be_typed() {
        let model = Model::Classifier { heads: 4 };
        let spec = CellSpec::strict(Split::Pairs, Modality::AudioVideo, model, UserEmbedding::LikedDisliked, true);
        assert_eq!(
            file_name(7, &spec),
            "007-strict-pairs-audio-video-without-genre-head-classifier-l-d-with-gl.parquet"
        );
    }
}
