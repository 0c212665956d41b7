//! Embeddings of a trailer: its keyframes through an image or a clip model, its sound through an audio model.

pub mod audio;
mod check;
pub mod input;
pub mod video;
mod waveform;
mod windows;

pub(crate) use check::check;

/// The mean of rows of length `dim`, summed in f64 in order.
fn mean_of_rows(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut sum = vec![0f64; dim];
    for row in rows.chunks_exact(dim) {
        for (total, &value) in sum.iter_mut().zip(row) {
            *total += f64::from(value);
        }
    }
    let count = (rows.len() / dim).max(1) as f64;
    sum.iter().map(|total| (total / count) as f32).collect()
}
