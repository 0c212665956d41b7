//! The paper's cross-attention classifier.
//!
//! For each modality, m^ = LayerNorm(m + MHA(q = m, k = v = u)), u^ = LayerNorm(u + MHA(q = u, k =
//! v = m)). With c their concatenation of D numbers, s = LayerNorm(c + MHA(c, c, c)), h =
//! LayerNorm(s + FF(s)), FF = D -> D/2 -> D; dense layers D -> D/2 (-> D/4, bi-modal) -> 3.

use super::Network;
use crate::CLASSES;
use crate::features::inputs::Batch;
use jhalak_nn::{Activation, CrossBlock, LayerNorm, Mlp, OptimizerState, Parameter, Random};

/// The two attention blocks of one modality.
#[derive(Clone, Debug)]
struct Pair {
    movie_user: CrossBlock,
    user_movie: CrossBlock,
    dim: usize,
}

/// The classifier, for any number of modalities and any embedding sizes.
#[derive(Clone, Debug)]
pub struct Classifier {
    pairs: Vec<Pair>,
    fusion: CrossBlock,
    feed_forward: Mlp,
    norm: LayerNorm,
    dense: Mlp,
    width: usize,
    concat: Vec<f32>,
    fused: Vec<f32>,
    sum: Vec<f32>,
    hidden: Vec<f32>,
    gradient: Vec<f32>,
    dconcat: Vec<f32>,
}

impl Classifier {
    /// Initialises the classifier for these embedding sizes, one for each modality.
    #[must_use]
    pub fn new(dims: &[usize], random: &mut Random) -> Self {
        let pair = |&dim: &usize, random: &mut Random| {
            let movie_user = CrossBlock::new(dim, random);
            Pair { movie_user, user_movie: CrossBlock::new(dim, random), dim }
        };
        let pairs: Vec<Pair> = dims.iter().map(|dim| pair(dim, random)).collect();
        let width = 2 * dims.iter().sum::<usize>();
        let half = (width / 2).max(1);
        let dense: &[usize] =
            if dims.len() > 1 { &[width, half, (width / 4).max(1), CLASSES] } else { &[width, half, CLASSES] };
        Self {
            pairs,
            fusion: CrossBlock::new(width, random),
            feed_forward: Mlp::new(&[width, half, width], Activation::Relu, false, random),
            norm: LayerNorm::new(width),
            dense: Mlp::new(dense, Activation::Relu, false, random),
            width,
            concat: Vec::new(),
            fused: Vec::new(),
            sum: Vec::new(),
            hidden: Vec::new(),
            gradient: Vec::new(),
            dconcat: Vec::new(),
        }
    }
}

impl Network for Classifier {
    fn forward(&mut self, batches: &[Batch], rows: usize) -> &[f32] {
        let (width, numbers) = (self.width, rows * self.width);
        for buffer in [&mut self.concat, &mut self.fused, &mut self.sum, &mut self.hidden] {
            buffer.resize(numbers, 0.0);
        }
        let mut at = 0;
        for (pair, batch) in self.pairs.iter_mut().zip(batches) {
            pair.movie_user.forward(&batch.movie, &batch.user, rows, &mut self.concat[at..], width);
            pair.user_movie.forward(&batch.user, &batch.movie, rows, &mut self.concat[at + pair.dim..], width);
            at += 2 * pair.dim;
        }
        self.fusion.forward(&self.concat, &self.concat, rows, &mut self.fused, width);
        let inner = self.feed_forward.forward(&self.fused, rows);
        for ((sum, fused), inner) in self.sum.iter_mut().zip(&self.fused).zip(inner) {
            *sum = fused + inner;
        }
        self.norm.forward(&self.sum, rows, &mut self.hidden, width);
        self.dense.forward(&self.hidden, rows)
    }

    fn backward(&mut self, batches: &[Batch], dlogits: &[f32], rows: usize, optimizer: &mut OptimizerState) {
        let (width, numbers) = (self.width, rows * self.width);
        self.gradient.resize(numbers, 0.0);
        self.dconcat.resize(numbers, 0.0);
        self.dense.backward(&self.hidden, dlogits, rows, Some((&mut self.dconcat, false)), optimizer);
        self.norm.backward(&self.dconcat, width, rows, &mut self.gradient, optimizer);
        let dsum = &mut self.dconcat; // the residual connection passes the gradient around the feed-forward layers
        dsum.copy_from_slice(&self.gradient);
        self.feed_forward.backward(&self.fused, dsum, rows, Some((&mut self.gradient, true)), optimizer);
        self.fusion.backward_self(&self.concat, &self.gradient, width, rows, &mut self.dconcat, optimizer);
        let mut at = 0;
        for (pair, batch) in self.pairs.iter_mut().zip(batches) {
            pair.movie_user.backward(&batch.user, &self.dconcat[at..], width, rows, optimizer);
            pair.user_movie.backward(&batch.movie, &self.dconcat[at + pair.dim..], width, rows, optimizer);
            at += 2 * pair.dim;
        }
    }

    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        let several = self.pairs.len() > 1;
        for (i, pair) in self.pairs.iter_mut().enumerate() {
            let prefix = if several { format!("modality{i}.") } else { String::new() };
            pair.movie_user.parameters(&format!("{prefix}movie_user"), visit);
            pair.user_movie.parameters(&format!("{prefix}user_movie"), visit);
        }
        self.fusion.parameters("fusion", visit);
        self.feed_forward.parameters("ff", visit);
        self.norm.parameters("norm", visit);
        self.dense.parameters("dense", visit);
    }
}
