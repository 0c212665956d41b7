//! Losses with their gradients with respect to the logits, averaged as in PyTorch.

use crate::layers::activation::sigmoid;

/// Softmax cross entropy of `labels.len()` rows of logits, each weighted by its class weight (empty
/// `weights`: all 1).
///
/// Replaces the logits with the gradient of the weighted mean. Returns the sum of weighted losses
/// and the sum of weights; their quotient is the mean loss.
///
/// # Panics
/// If a label is not below `classes` or there are fewer logits than labels.
pub fn cross_entropy(logits: &mut [f32], classes: usize, labels: &[u8], weights: &[f32]) -> (f64, f64) {
    let weight = |label: u8| weights.get(usize::from(label)).copied().unwrap_or(1.0);
    let total: f64 = labels.iter().map(|&l| f64::from(weight(l))).sum();
    let mut loss = 0.0;
    for (row, &label) in logits.chunks_exact_mut(classes).zip(labels) {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let own = row[usize::from(label)] - highest;
        row.iter_mut().for_each(|x| *x = (*x - highest).exp());
        let sum: f32 = row.iter().sum();
        let weight = weight(label);
        loss += f64::from(weight) * f64::from(sum.ln() - own);
        let scale = (f64::from(weight) / total) as f32;
        row.iter_mut().for_each(|x| *x = *x / sum * scale);
        row[usize::from(label)] -= scale;
    }
    (loss, total)
}

/// Binary cross entropy between sigmoid(logits) and `targets` (0 or 1), both `rows x outputs`.
///
/// Replaces the logits with the gradient of the mean over all elements. Returns the sum of the
/// losses and their count.
///
/// # Panics
/// If there are fewer logits than targets.
pub fn binary_cross_entropy(logits: &mut [f32], targets: &[f32]) -> (f64, f64) {
    let count = targets.len() as f64;
    let mut loss = 0.0;
    for (x, &t) in logits[..targets.len()].iter_mut().zip(targets) {
        loss += f64::from(x.max(0.0) - *x * t + (-x.abs()).exp().ln_1p());
        *x = ((f64::from(sigmoid(*x)) - f64::from(t)) / count) as f32;
    }
    (loss, count)
}
