//! The paper's user embedding: the mean of the GL-weighted embeddings of the user's movies.

use super::embedding::EmbeddingTable;
use super::gl_score::gl_score;
use super::profile::Profiles;
use jhalak_common::dataset::Dataset;
use jhalak_common::evaluation::CellSpec;

/// Writes the user embedding of `profile` to `out`, which is as long as a row of `table`.
///
/// Writes zeros for a profile without any movie of the cell's labels that has an embedding.
pub fn user_embedding(
    dataset: &Dataset,
    spec: &CellSpec,
    swapped: bool,
    table: &EmbeddingTable,
    profiles: &Profiles,
    profile: usize,
    out: &mut [f32],
) {
    out.fill(0.0);
    let takes = spec.user_embedding.takes();
    let mut total = 0.0;
    for (pair, weight) in profiles.pairs(profile) {
        let rating = dataset.ratings[pair];
        let Some(row) = table.row(rating.movie).filter(|_| takes[rating.label.index()]) else { continue };
        let gl = if spec.gl {
            gl_score(profiles.genres(rating.movie), profiles.sums(profile), swapped, &spec.gl_score)
                * spec.gl_score.scale
        } else {
            1.0
        };
        let (mean, scale) = if spec.scale_user_embedding { standard(row, gl) } else { (0.0, 1.0) };
        for (out, x) in out.iter_mut().zip(row) {
            *out += weight * (x * gl - mean) * scale;
        }
        total += weight;
    }
    if total > 0.0 {
        out.iter_mut().for_each(|x| *x /= total);
    }
}

/// Returns the mean, and 1 over the standard deviation, of the values of `row * gl`; the latter is
/// 1 for a constant row.
fn standard(row: &[f32], gl: f32) -> (f32, f32) {
    let n = row.len() as f64;
    let mean = row.iter().map(|x| f64::from(x * gl)).sum::<f64>() / n;
    let variance = row.iter().map(|x| (f64::from(x * gl) - mean).powi(2)).sum::<f64>() / n;
    (mean as f32, if variance > 1e-20 { (1.0 / variance.sqrt()) as f32 } else { 1.0 })
}
