//! Multi-head attention over any number of keys, with dropout on the attention weights as in
//! PyTorch's `nn.MultiheadAttention`.
//!
//! For one key, [`OneKeyAttention`](crate::OneKeyAttention) computes the same in a third of the
//! time; the published classifier needs only that. This layer is for models that look at the frames
//! and the sound windows of a trailer.

use super::activation::softmax_rows;
use super::buffer::resize;
use super::dropout::Dropout;
use super::linear::Linear;
use crate::optimizer::OptimizerState;
use crate::parameter::Parameter;
use crate::random::Random;

/// `W_o concat_h(softmax(Q_h K_h^T / sqrt(d / heads)) V_h) + b_o` with Q a linear map of the
/// queries, K and V linear maps of the keys.
#[derive(Clone, Debug)]
pub struct MultiHeadAttention {
    /// Map of the queries: the first third of PyTorch's `in_proj_weight`.
    pub query: Linear,
    /// Map of the keys: the second third.
    pub key: Linear,
    /// Map of the values: the last third.
    pub value: Linear,
    /// PyTorch's `out_proj`.
    pub output: Linear,
    heads: usize,
    dropout: Dropout,
    dropped: bool,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    /// Attention weights before dropout: batch x queries x heads x keys.
    attention: Vec<f32>,
    /// Attention weights after dropout.
    used: Vec<f32>,
    mixed: Vec<f32>,
}

/// Number and length of the sequences: queries are `batch x queries x dim`, keys `batch x keys x
/// dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of sequences.
    pub batch: usize,
    /// Queries in each sequence.
    pub queries: usize,
    /// Keys in each sequence.
    pub keys: usize,
}

impl MultiHeadAttention {
    /// Creates a layer of `dim` features in and out, split over `heads`; `dropout` is the
    /// probability that an attention weight is dropped in training.
    ///
    /// # Panics
    /// If `heads` does not divide `dim`, or `dropout` is not in [0, 1).
    #[must_use]
    pub fn new(dim: usize, heads: usize, dropout: f32, random: &mut Random) -> Self {
        assert!(heads > 0 && dim.is_multiple_of(heads), "{dim} features cannot be split evenly over {heads} heads");
        let bound = (6.0 / (4 * dim).max(1) as f32).sqrt();
        let mut map =
            || Linear::with_weights(dim, Parameter::uniform(dim * dim, bound, random), Parameter::constant(dim, 0.0));
        let (query, key, value) = (map(), map(), map());
        let mut output = Linear::new(dim, dim, random);
        output.bias.value.fill(0.0);
        let empty = Vec::new;
        Self {
            query,
            key,
            value,
            output,
            heads,
            dropout: Dropout::new(dropout),
            dropped: false,
            q: empty(),
            k: empty(),
            v: empty(),
            attention: empty(),
            used: empty(),
            mixed: empty(),
        }
    }

    /// Writes the attention of each query over the keys of its sequence to `y` (`batch x queries x
    /// dim`). Keys that are not `present` (`batch x keys`; None for all) get no attention. Applies
    /// dropout if `random` is given.
    ///
    /// # Panics
    /// If a slice is too short, or no key of a sequence is present.
    pub fn forward(
        &mut self,
        queries: &[f32],
        keys: &[f32],
        present: Option<&[bool]>,
        shape: Shape,
        y: &mut [f32],
        random: Option<&mut Random>,
    ) {
        let has_keys = |own: &[bool]| own.contains(&true);
        let all_have_keys = present.is_none_or(|present| present.chunks(shape.keys.max(1)).all(has_keys));
        assert!(all_have_keys, "a sequence has no key that is present");
        let dim = self.query.inputs();
        let (query_rows, key_rows) = (shape.batch * shape.queries, shape.batch * shape.keys);
        resize(&mut self.q, query_rows * dim);
        resize(&mut self.k, key_rows * dim);
        resize(&mut self.v, key_rows * dim);
        resize(&mut self.mixed, query_rows * dim);
        resize(&mut self.attention, query_rows * self.heads * shape.keys);
        self.query.forward(queries, query_rows, &mut self.q);
        self.key.forward(keys, key_rows, &mut self.k);
        self.value.forward(keys, key_rows, &mut self.v);
        let scale = self.scale();
        for offsets in self.head_offsets(shape) {
            let scores = &mut self.attention[offsets.attention..offsets.attention + shape.keys];
            let q = &self.q[offsets.query..offsets.query + offsets.width];
            for (key, score) in scores.iter_mut().enumerate() {
                *score = match present.is_none_or(|present| present[offsets.first_in_mask + key]) {
                    true => scale * dot(q, &self.k[offsets.key(key, dim)..], offsets.width),
                    false => f32::NEG_INFINITY,
                };
            }
            softmax_rows(scores, shape.keys);
        }
        self.used.clone_from(&self.attention);
        self.dropped = random.is_some();
        if let Some(random) = random {
            self.dropout.forward(&mut self.used, random);
        }
        self.mixed.fill(0.0);
        for offsets in self.head_offsets(shape) {
            let mixed = &mut self.mixed[offsets.query..offsets.query + offsets.width];
            for key in 0..shape.keys {
                add(mixed, self.used[offsets.attention + key], &self.v[offsets.key(key, dim)..]);
            }
        }
        self.output.forward(&self.mixed, query_rows, y);
    }

    /// Backward pass for the last forward pass: passes the gradients of all parameters to the
    /// optimizer and writes the gradients with respect to queries and keys.
    ///
    /// # Panics
    /// If a slice is too short.
    #[expect(clippy::too_many_arguments, reason = "two inputs with their gradients, and the arguments of every layer")]
    pub fn backward(
        &mut self,
        queries: &[f32],
        keys: &[f32],
        shape: Shape,
        dy: &[f32],
        dqueries: &mut [f32],
        dkeys: &mut [f32],
        optimizer: &mut OptimizerState,
    ) {
        let dim = self.query.inputs();
        let (query_rows, key_rows) = (shape.batch * shape.queries, shape.batch * shape.keys);
        let mut dmixed = vec![0.0; query_rows * dim];
        self.output.backward(&self.mixed, dy, query_rows, Some((&mut dmixed, false)), optimizer);
        let (mut dq, mut dk, mut dv) =
            (vec![0.0; query_rows * dim], vec![0.0; key_rows * dim], vec![0.0; key_rows * dim]);
        let mut dattention = vec![0.0; self.attention.len()];
        for offsets in self.head_offsets(shape) {
            let dmixed = &dmixed[offsets.query..offsets.query + offsets.width];
            for key in 0..shape.keys {
                let at = offsets.key(key, dim);
                dattention[offsets.attention + key] = dot(dmixed, &self.v[at..], offsets.width);
                add(&mut dv[at..at + offsets.width], self.used[offsets.attention + key], dmixed);
            }
        }
        if self.dropped {
            self.dropout.backward(&mut dattention);
        }
        let scale = self.scale();
        for offsets in self.head_offsets(shape) {
            let own = offsets.attention..offsets.attention + shape.keys;
            let (p, dp) = (&self.attention[own.clone()], &dattention[own]);
            let mean: f32 = p.iter().zip(dp).map(|(p, dp)| p * dp).sum();
            for (key, (p, dp)) in p.iter().zip(dp).enumerate() {
                let (dscore, at) = (scale * p * (dp - mean), offsets.key(key, dim));
                add(&mut dq[offsets.query..offsets.query + offsets.width], dscore, &self.k[at..]);
                add(&mut dk[at..at + offsets.width], dscore, &self.q[offsets.query..]);
            }
        }
        self.query.backward(queries, &dq, query_rows, Some((dqueries, false)), optimizer);
        self.key.backward(keys, &dk, key_rows, Some((dkeys, false)), optimizer);
        self.value.backward(keys, &dv, key_rows, Some((dkeys, true)), optimizer);
    }

    /// Visits each parameter under `prefix`.
    pub fn parameters(&mut self, prefix: &str, visit: &mut dyn FnMut(&str, &mut Parameter)) {
        self.query.parameters(&format!("{prefix}.query"), visit);
        self.key.parameters(&format!("{prefix}.key"), visit);
        self.value.parameters(&format!("{prefix}.value"), visit);
        self.output.parameters(&format!("{prefix}.out"), visit);
    }

    fn scale(&self) -> f32 {
        1.0 / (self.query.inputs() as f32 / self.heads as f32).sqrt()
    }

    /// Offsets of each query in each head.
    fn head_offsets(&self, shape: Shape) -> impl Iterator<Item = HeadOffsets> + use<> {
        let (dim, heads) = (self.query.inputs(), self.heads);
        let width = dim / heads;
        (0..shape.batch * shape.queries * heads).map(move |i| {
            let (row, head) = (i / heads, i % heads);
            HeadOffsets {
                width,
                query: row * dim + head * width,
                first_key: row / shape.queries * shape.keys * dim + head * width,
                first_in_mask: row / shape.queries * shape.keys,
                attention: i * shape.keys,
            }
        })
    }
}

/// Offsets of the elements of one query in one head.
#[derive(Clone, Copy)]
struct HeadOffsets {
    width: usize,
    query: usize,
    first_key: usize,
    first_in_mask: usize,
    attention: usize,
}

impl HeadOffsets {
    fn key(self, key: usize, dim: usize) -> usize {
        self.first_key + key * dim
    }
}

fn dot(a: &[f32], b: &[f32], width: usize) -> f32 {
    a[..width].iter().zip(&b[..width]).map(|(a, b)| a * b).sum()
}

/// `to += factor * from`, over the length of `to`.
fn add(to: &mut [f32], factor: f32, from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OneKeyAttention, seeded};

    #[test]
    fn attention_over_one_key_is_the_collapsed_form() {
        let random = &mut seeded(1, 0);
        let mut many = MultiHeadAttention::new(12, 3, 0.0, random);
        let mut one = OneKeyAttention::new(12, random);
        (one.value, one.output) = (many.value.clone(), many.output.clone());
        let x: Vec<f32> = (0..60).map(|_| random.normal()).collect();
        let (mut a, mut b) = (vec![0.0; 60], vec![0.0; 60]);
        many.forward(&x, &x, None, Shape { batch: 5, queries: 1, keys: 1 }, &mut a, None);
        one.forward(&x, 5, &mut b);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6), "{a:?} {b:?}");
    }

    #[test]
    fn equal_keys_get_equal_attention_and_key_order_does_not_matter() {
        let random = &mut seeded(2, 0);
        let mut layer = MultiHeadAttention::new(8, 2, 0.0, random);
        let (query, key): (Vec<f32>, Vec<f32>) =
            ((0..8).map(|_| random.normal()).collect(), (0..24).map(|_| random.normal()).collect());
        let turned = [&key[16..], &key[..16]].concat();
        let (mut a, mut b) = (vec![0.0; 8], vec![0.0; 8]);
        layer.forward(&query, &key, None, Shape { batch: 1, queries: 1, keys: 3 }, &mut a, None);
        layer.forward(&query, &turned, None, Shape { batch: 1, queries: 1, keys: 3 }, &mut b, None);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        layer.forward(&query, &key[..8].repeat(3), None, Shape { batch: 1, queries: 1, keys: 3 }, &mut a, None);
        assert!(layer.attention.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-6));
    }
    #[test]
    fn absent_keys_change_neither_the_output_nor_a_gradient() {
        let random = &mut seeded(4, 0);
        let mut layer = MultiHeadAttention::new(8, 2, 0.0, random);
        let mut draw = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal()).collect() };
        let (queries, keys, dy) = (draw(16), draw(16), draw(16));
        // The second key of three is absent.
        let padded = [&keys[..8], &[1e6; 8], &keys[8..]].concat();
        let present = [true, false, true];
        let mut run = |keys: &[f32], present: Option<&[bool]>| {
            let shape = Shape { batch: 1, queries: 2, keys: keys.len() / 8 };
            let (mut y, mut dqueries, mut dkeys) = (vec![0.0; 16], vec![0.0; 16], vec![0.0; keys.len()]);
            layer.forward(&queries, keys, present, shape, &mut y, None);
            let optimizer = &mut OptimizerState::recording();
            layer.backward(&queries, keys, shape, &dy, &mut dqueries, &mut dkeys, optimizer);
            let mut gradients = vec![y, dqueries, dkeys];
            layer.parameters("", &mut |_, parameter| gradients.push(parameter.gradient().to_vec()));
            gradients
        };
        let (short, mut long) = (run(&keys, None), run(&padded, Some(&present)));
        assert_eq!(long[2].drain(8..16).collect::<Vec<_>>(), [0.0; 8]);
        for (short, long) in short.iter().zip(&long) {
            assert!(short.iter().zip(long).all(|(a, b)| (a - b).abs() < 1e-5), "{short:?} {long:?}");
        }
    }
}
