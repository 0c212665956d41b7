//! Cross attention with many keys: the user's rated movies look at the frames and the sound windows
//! of the movie to predict.
//!
//! ```text
//! query of a rated movie   = linear(its mean token, its class)
//! keys and values          = linear(tokens of the movie)
//! opinion of a rated movie = relu(linear(query, multi-head attention over the tokens))
//! class                    = MLP(mean opinion, mean token of the movie, the user's class shares)
//! ```
//!
//! Trailers of fewer parts and users of fewer ratings are padded: an absent token gets no
//! attention, and an absent rated movie no weight in the mean. The opinion of a user without
//! ratings is 0.

use super::probabilities::probabilities;
use super::trailer_batch::{SHARES, TokenBatch};
use super::trailer_tokens::TrailerPairs;
use crate::CLASSES;
use jhalak_nn::{
    Activation, Linear, Mlp, MultiHeadAttention, OptimizerState, Parameter, Random, Shape, Trainable, cross_entropy,
};

/// Features of queries, keys and opinions.
const WIDTH: usize = 32;
/// Heads of the attention.
const HEADS: usize = 4;

/// The network.
#[derive(Debug)]
pub(super) struct TrailerAttention {
    rated: Linear,
    token: Linear,
    attention: MultiHeadAttention,
    opinion: Linear,
    top: Mlp,
    buffers: Buffers,
}

/// Outputs of the forward pass that the backward pass reads.
#[derive(Clone, Debug, Default)]
struct Buffers {
    query: Vec<f32>,
    keys: Vec<f32>,
    attended: Vec<f32>,
    /// Queries with what they attended to.
    both: Vec<f32>,
    opinions: Vec<f32>,
    top: Vec<f32>,
}

impl TrailerAttention {
    /// Creates a network for tokens of `token` numbers.
    pub(super) fn new(token: usize, random: &mut Random) -> Self {
        Self {
            rated: Linear::new(token + CLASSES, WIDTH, random),
            token: Linear::new(token, WIDTH, random),
            attention: MultiHeadAttention::new(WIDTH, HEADS, 0.0, random),
            opinion: Linear::new(2 * WIDTH, WIDTH, random),
            top: Mlp::new(&[WIDTH + token + SHARES, WIDTH, CLASSES], Activation::Relu, false, random),
            buffers: Buffers::default(),
        }
    }

    /// Returns the logits, `rows x classes`.
    pub(super) fn forward(&mut self, batch: &TokenBatch) -> &[f32] {
        let TokenBatch { rows, queries, keys, .. } = *batch;
        let (rated, seen) = (rows * queries, rows * keys);
        let b = &mut self.buffers;
        b.query.resize(rated * WIDTH, 0.0);
        b.keys.resize(seen * WIDTH, 0.0);
        b.attended.resize(rated * WIDTH, 0.0);
        b.opinions.resize(rated * WIDTH, 0.0);
        self.rated.forward(&batch.rated, rated, &mut b.query);
        self.token.forward(&batch.tokens, seen, &mut b.keys);
        let shape = Shape { batch: rows, queries, keys };
        self.attention.forward(&b.query, &b.keys, Some(&batch.present), shape, &mut b.attended, None);
        b.both.clear();
        for (query, attended) in b.query.chunks_exact(WIDTH).zip(b.attended.chunks_exact(WIDTH)).take(rated) {
            b.both.extend_from_slice(query);
            b.both.extend_from_slice(attended);
        }
        self.opinion.forward(&b.both, rated, &mut b.opinions);
        Activation::Relu.forward(&mut b.opinions[..rated * WIDTH]);
        let extra = batch.extra.len() / rows.max(1);
        b.top.clear();
        let opinions = b.opinions.chunks_exact(queries * WIDTH).zip(batch.weights.chunks_exact(queries));
        for ((opinions, weights), extra) in opinions.zip(batch.extra.chunks_exact(extra)).take(rows) {
            let start = b.top.len();
            b.top.resize(start + WIDTH, 0.0);
            for (opinion, weight) in opinions.chunks_exact(WIDTH).zip(weights) {
                b.top[start..].iter_mut().zip(opinion).for_each(|(mean, x)| *mean += weight * x);
            }
            b.top.extend_from_slice(extra);
        }
        self.top.forward(&b.top, rows)
    }

    /// Passes the gradients of all parameters to the optimizer. The last forward pass had the same
    /// batch.
    pub(super) fn backward(&mut self, batch: &TokenBatch, dlogits: &[f32], optimizer: &mut OptimizerState) {
        let TokenBatch { rows, queries, keys, .. } = *batch;
        let (rated, seen) = (rows * queries, rows * keys);
        let b = &self.buffers;
        let mut dtop = vec![0.0; b.top.len()];
        self.top.backward(&b.top, dlogits, rows, Some((&mut dtop, false)), optimizer);
        let wide = b.top.len() / rows.max(1);
        let mut dopinions = Vec::with_capacity(rated * WIDTH);
        for (row, weights) in dtop.chunks_exact(wide).zip(batch.weights.chunks_exact(queries)) {
            weights.iter().for_each(|weight| dopinions.extend(row[..WIDTH].iter().map(|x| weight * x)));
        }
        Activation::Relu.backward(&b.opinions[..rated * WIDTH], &mut dopinions);
        let mut dboth = vec![0.0; rated * 2 * WIDTH];
        self.opinion.backward(&b.both, &dopinions, rated, Some((&mut dboth, false)), optimizer);
        let half = |which: usize| -> Vec<f32> {
            dboth.chunks_exact(2 * WIDTH).flat_map(|row| &row[which * WIDTH..(which + 1) * WIDTH]).copied().collect()
        };
        let (mut dquery, dattended) = (half(0), half(1));
        let (mut through, mut dkeys) = (vec![0.0; rated * WIDTH], vec![0.0; seen * WIDTH]);
        let shape = Shape { batch: rows, queries, keys };
        self.attention.backward(&b.query, &b.keys, shape, &dattended, &mut through, &mut dkeys, optimizer);
        dquery.iter_mut().zip(&through).for_each(|(sum, x)| *sum += x);
        self.rated.backward(&batch.rated, &dquery, rated, None, optimizer);
        self.token.backward(&batch.tokens, &dkeys, seen, None, optimizer);
    }

    /// Visits every parameter by name, always in the same order.
    pub(super) fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.rated.parameters("rated", visit);
        self.token.parameters("token", visit);
        self.attention.parameters("attention", visit);
        self.opinion.parameters("opinion", visit);
        self.top.parameters("top", visit);
    }
}

/// A network with the pairs of its fold.
#[derive(Debug)]
pub(super) struct TrailerTraining<'a> {
    network: &'a mut TrailerAttention,
    pairs: &'a TrailerPairs,
    batch: TokenBatch,
    labels: Vec<u8>,
    logits: Vec<f32>,
}

impl<'a> TrailerTraining<'a> {
    /// Creates a training on these pairs.
    pub(super) fn new(network: &'a mut TrailerAttention, pairs: &'a TrailerPairs) -> Self {
        Self { network, pairs, batch: TokenBatch::default(), labels: Vec::new(), logits: Vec::new() }
    }

    /// Returns the probabilities of the three classes for each sample.
    pub(super) fn predict(&mut self, samples: &[u32]) -> Vec<[f32; CLASSES]> {
        probabilities(samples, |batch, logits| {
            self.forward(batch);
            std::mem::swap(logits, &mut self.logits);
        })
    }

    fn forward(&mut self, samples: &[u32]) {
        self.pairs.fill(samples, &mut self.batch, &mut self.labels);
        self.logits.clear();
        self.logits.extend_from_slice(self.network.forward(&self.batch));
    }
}

impl Trainable for TrailerTraining<'_> {
    fn step(&mut self, samples: &[u32], optimizer: &mut OptimizerState) -> (f64, f64) {
        let sums = self.evaluate(samples); // leaves the gradient in the logits' place
        self.network.backward(&self.batch, &self.logits, optimizer);
        sums
    }

    fn evaluate(&mut self, samples: &[u32]) -> (f64, f64) {
        self.forward(samples);
        cross_entropy(&mut self.logits, CLASSES, &self.labels, &[])
    }

    fn parameters(&mut self, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.network.parameters(visit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_nn::seeded;

    /// Compares the recorded gradient of every parameter with finite differences.
    #[test]
    fn gradients_match_finite_differences() {
        let random = &mut seeded(3, 0);
        let token = 5;
        let mut network = TrailerAttention::new(token, random);
        let (rows, queries, keys) = (3, 2, 4);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal()).collect() };
        let batch = TokenBatch {
            rows,
            queries,
            keys,
            // The second sample has one rated movie, and the third none. The first trailer lacks
            // two parts.
            weights: vec![0.5, 0.5, 1.0, 0.0, 0.0, 0.0],
            present: (0..rows * keys).map(|key| key != 1 && key != 3).collect(),
            rated: draw(rows * queries * (token + CLASSES)),
            tokens: draw(rows * keys * token),
            extra: draw(rows * (token + SHARES)),
        };
        let weights = draw(rows * CLASSES);
        let loss = |network: &mut TrailerAttention| -> f64 {
            network.forward(&batch).iter().zip(&weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
        };
        loss(&mut network);
        network.backward(&batch, &weights, &mut OptimizerState::recording());
        let mut recorded = Vec::new();
        network.parameters(&mut |name, p| recorded.push((name.to_owned(), p.gradient().to_vec())));
        assert!(recorded.iter().filter(|(_, gradient)| gradient.iter().any(|g| g.abs() > 1e-3)).count() >= 14);
        for (name, gradient) in recorded {
            for place in (0..gradient.len()).step_by(gradient.len().div_ceil(7)) {
                let mut moved = |by: f32| {
                    network.parameters(&mut |own, p| {
                        if own == name {
                            p.value[place] += by;
                        }
                    });
                    let value = loss(&mut network);
                    network.parameters(&mut |own, p| {
                        if own == name {
                            p.value[place] -= by;
                        }
                    });
                    value
                };
                let step = 2e-3;
                let want = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                let got = f64::from(gradient[place]);
                assert!((got - want).abs() < 5e-3 * want.abs().max(1.0), "{name}[{place}]: {got} for {want}");
            }
        }
    }

    #[test]
    fn padding_changes_no_prediction() {
        let token = 5;
        let mut network = TrailerAttention::new(token, &mut seeded(3, 0));
        let random = &mut seeded(4, 0);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal()).collect() };
        let (rated, tokens, extra) = (draw(token + CLASSES), draw(2 * token), draw(token + SHARES));
        let weights = vec![1.0];
        let (rows, queries, keys, present) = (1, 1, 2, vec![true; 2]);
        let short = TokenBatch { rows, queries, keys, rated, weights, tokens, present, extra };
        let padded = TokenBatch {
            queries: 2,
            keys: 3,
            rated: [short.rated.as_slice(), &[7.0; 8]].concat(),
            weights: vec![1.0, 0.0],
            tokens: [short.tokens.as_slice(), &[7.0; 5]].concat(),
            present: vec![true, true, false],
            ..short.clone()
        };
        let (short, padded) = (network.forward(&short).to_vec(), network.forward(&padded).to_vec());
        assert!(short.iter().zip(&padded).all(|(a, b)| (a - b).abs() < 1e-6), "{short:?} {padded:?}");
    }
}
