//! Predictions in batches.

use crate::CLASSES;
use jhalak_nn::softmax_rows;

/// Rows of a prediction batch.
const PREDICTION_BATCH: usize = 256;

/// Returns the probabilities of the three classes for each sample. `forward` leaves the logits of a
/// batch in the buffer, whose content before does not matter.
pub(super) fn probabilities(samples: &[u32], mut forward: impl FnMut(&[u32], &mut Vec<f32>)) -> Vec<[f32; CLASSES]> {
    let (mut out, mut logits) = (Vec::with_capacity(samples.len()), Vec::new());
    for batch in samples.chunks(PREDICTION_BATCH) {
        forward(batch, &mut logits);
        softmax_rows(&mut logits, CLASSES);
        out.extend_from_slice(logits.as_chunks::<CLASSES>().0);
    }
    out
}
