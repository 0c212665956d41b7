//! Gradient checks: the backward pass of each layer against finite differences of its forward pass.

use super::*;

/// Weights of the checked loss: a fixed random weighting of the outputs of a layer.
fn weights(len: usize) -> Vec<f32> {
    let mut random = seeded(99, 0);
    (0..len).map(|_| random.uniform(-1.0, 1.0)).collect()
}

fn rows(rows: usize, features: usize, stream: u64) -> Vec<f32> {
    let mut random = seeded(7, stream);
    (0..rows * features).map(|_| random.uniform(-1.5, 1.5)).collect()
}

fn weighted(y: &[f32], weights: &[f32]) -> f64 {
    y.iter().zip(weights).map(|(y, w)| f64::from(*y) * f64::from(*w)).sum()
}

/// Compares `gradient` with central differences of `loss(i, by)`, the loss with element i shifted
/// by `by`.
fn compare(name: &str, gradient: &[f32], mut loss: impl FnMut(usize, f32) -> f64) {
    assert!(!gradient.is_empty(), "{name}: no gradient was recorded");
    assert!(gradient.iter().any(|g| g.abs() > 1e-3), "{name}: a zero gradient proves nothing");
    let step = 2e-3_f32; // small: a step across a kink of ReLU would not be a slope
    for (i, &got) in gradient.iter().enumerate() {
        let (one, two) = (loss(i, step) - loss(i, -step), loss(i, 2.0 * step) - loss(i, -2.0 * step));
        let want = (8.0 * one - two) / (12.0 * f64::from(step)); // fourth order
        assert!((f64::from(got) - want).abs() < 2e-3 * want.abs().max(1.0), "{name}[{i}]: {got} for {want}");
    }
}

/// Checks each parameter of a layer: `parameters` visits them, `forward` returns the loss. The
/// gradients must be recorded already.
fn compare_parameters<L>(
    layer: &mut L,
    parameters: impl Fn(&mut L, &mut dyn FnMut(&str, &mut Parameter)),
    forward: impl Fn(&mut L) -> f64,
) {
    let mut recorded = Vec::new();
    parameters(layer, &mut |name, p| recorded.push((name.to_owned(), p.gradient().to_vec())));
    for (name, gradient) in recorded {
        compare(&name, &gradient, |i, by| {
            let shift = |layer: &mut L, by: f32| {
                parameters(layer, &mut |n, p| {
                    if n == name {
                        p.value[i] += by;
                    }
                });
            };
            shift(layer, by);
            let loss = forward(layer);
            shift(layer, -by);
            loss
        });
    }
}

fn moved(x: &[f32], i: usize, by: f32) -> Vec<f32> {
    let mut x = x.to_vec();
    x[i] += by;
    x
}

#[test]
fn linear_gradients_match_in_every_tile() {
    let mut layer = Linear::new(5, 7, &mut seeded(1, 0));
    let (x, w) = (rows(3, 5, 1), weights(21));
    let forward = |layer: &mut Linear, x: &[f32]| {
        let mut y = vec![0.0; 21];
        layer.forward(x, 3, &mut y);
        weighted(&y, &w)
    };
    let mut dx = vec![0.0; 15];
    layer.backward(&x, &w, 3, Some((&mut dx, false)), &mut OptimizerState::recording());
    compare_parameters(&mut layer, |l, visit| l.parameters("linear", visit), |l| forward(l, &x));
    compare("x", &dx, |i, by| forward(&mut layer, &moved(&x, i, by)));

    // A layer of several tiles: 4 x 40,000 weights, checked against the plain definition.
    let mut wide = Linear::new(40_000, 4, &mut seeded(2, 0));
    let (x, dy) = (rows(2, 40_000, 3), [1.0, 2.0, 3.0, 4.0, 0.5, 0.25, -1.0, 2.0]);
    let mut dx = vec![1.0; 80_000];
    wide.backward(&x, &dy, 2, Some((&mut dx, true)), &mut OptimizerState::recording());
    for i in [0, 39_999, 40_000, 79_999] {
        let want =
            1.0 + (0..4).map(|o| dy[i / 40_000 * 4 + o] * wide.weight.value[o * 40_000 + i % 40_000]).sum::<f32>();
        assert!((dx[i] - want).abs() < 1e-5, "dx[{i}]: {} for {want}", dx[i]);
    }
    for i in [0, 40_001, 159_999] {
        let (o, c) = (i / 40_000, i % 40_000);
        let want = dy[o] * x[c] + dy[4 + o] * x[40_000 + c];
        assert!((wide.weight.gradient()[i] - want).abs() < 1e-5, "dW[{i}]");
    }
}

#[test]
fn layer_norm_gradients_match() {
    let mut layer = LayerNorm::new(11);
    layer.weight.value = rows(1, 11, 4);
    layer.bias.value = rows(1, 11, 5);
    let (x, w) = (rows(3, 11, 6), weights(3 * 13));
    let forward = |layer: &mut LayerNorm, x: &[f32]| {
        let mut y = vec![0.0; 39]; // rows 13 apart
        layer.forward(x, 3, &mut y, 13);
        weighted(&y, &w)
    };
    forward(&mut layer, &x);
    let mut dx = vec![0.0; 33];
    layer.backward(&w, 13, 3, &mut dx, &mut OptimizerState::recording());
    compare_parameters(&mut layer, |l, visit| l.parameters("norm", visit), |l| forward(l, &x));
    compare("x", &dx, |i, by| forward(&mut layer, &moved(&x, i, by)));
}

#[test]
fn one_key_attention_gradients_match() {
    let mut layer = CrossBlock::new(6, &mut seeded(3, 0));
    let (q, kv, w) = (rows(4, 6, 7), rows(4, 6, 8), weights(24));
    let forward = |layer: &mut CrossBlock, q: &[f32], kv: &[f32]| {
        let mut y = vec![0.0; 24];
        layer.forward(q, kv, 4, &mut y, 6);
        weighted(&y, &w)
    };
    forward(&mut layer, &q, &kv);
    layer.backward(&kv, &w, 6, 4, &mut OptimizerState::recording());
    compare_parameters(&mut layer, |l, visit| l.parameters("block", visit), |l| forward(l, &q, &kv));

    forward(&mut layer, &q, &q);
    let mut dx = vec![0.0; 24];
    layer.backward_self(&q, &w, 6, 4, &mut dx, &mut OptimizerState::recording());
    compare("x", &dx, |i, by| {
        let q = moved(&q, i, by);
        forward(&mut layer, &q, &q)
    });
}

#[test]
fn mlp_gradients_match_for_every_activation() {
    // With this seed for ReLU, no value is so near 0 that a finite difference crosses the kink.
    for (activation, last_active, seed) in
        [(Activation::Tanh, true, 11), (Activation::Sigmoid, false, 11), (Activation::Relu, true, 12)]
    {
        let mut layer = Mlp::new(&[5, 8, 6, 4], activation, last_active, &mut seeded(seed, 0));
        let (x, w) = (rows(3, 5, 9), weights(12));
        let forward = |layer: &mut Mlp, x: &[f32]| weighted(layer.forward(x, 3), &w);
        forward(&mut layer, &x);
        let mut dx = vec![0.0; 15];
        layer.backward(&x, &w, 3, Some((&mut dx, false)), &mut OptimizerState::recording());
        compare("x", &dx, |i, by| forward(&mut layer, &moved(&x, i, by)));
        compare_parameters(&mut layer, |l, visit| l.parameters("layer", visit), |l| forward(l, &x));
    }
}

#[test]
fn loss_gradients_match_and_stay_finite() {
    let logits = rows(4, 3, 10);
    let labels = [0, 2, 1, 2];
    for weights in [vec![], vec![2.0, 0.5, 1.0]] {
        let mean = |logits: &[f32]| {
            let (sum, weight) = cross_entropy(&mut logits.to_vec(), 3, &labels, &weights);
            sum / weight
        };
        let mut gradient = logits.clone();
        cross_entropy(&mut gradient, 3, &labels, &weights);
        compare("cross entropy", &gradient, |i, by| mean(&moved(&logits, i, by)));
    }
    let targets = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0];
    let mut gradient = logits.clone();
    binary_cross_entropy(&mut gradient, &targets);
    compare("binary cross entropy", &gradient, |i, by| {
        let (sum, count) = binary_cross_entropy(&mut moved(&logits, i, by), &targets);
        sum / count
    });
    let mut certain = [1000.0, -1000.0, 0.0];
    let (sum, _) = cross_entropy(&mut certain, 3, &[1], &[]);
    assert!((sum - 2000.0).abs() < 1e-6 && certain.iter().all(|g| g.is_finite()), "extreme logits stay finite: {sum}");
}

#[test]
fn softmax_and_sigmoid_give_probabilities() {
    let mut logits = [1.0, 2.0, 3.0, 500.0, -500.0, 0.0];
    softmax_rows(&mut logits, 3);
    assert!(
        (logits[..3].iter().sum::<f32>() - 1.0).abs() < 1e-6 && (logits[2] - 0.665_240_96).abs() < 1e-6,
        "{logits:?}"
    );
    assert_eq!(logits[3..], [1.0, 0.0, 0.0]);
    let mut logits = [0.0, 200.0, -200.0];
    sigmoid_rows(&mut logits);
    assert_eq!(logits, [0.5, 1.0, 0.0]);
}

#[test]
fn dropout_keeps_the_mean_and_its_gradient_uses_the_same_mask() {
    let mut layer = Dropout::new(0.25);
    let mut x = vec![1.0; 10_000];
    layer.forward(&mut x, &mut seeded(4, 0));
    let mean = x.iter().sum::<f32>() / 10_000.0;
    assert!((mean - 1.0).abs() < 0.03, "{mean}");
    let mut dy = vec![1.0; 10_000];
    layer.backward(&mut dy);
    assert_eq!(x, dy);
}

#[test]
fn multi_head_attention_gradients_match_with_and_without_dropout() {
    let shape = Shape { batch: 2, queries: 2, keys: 5 };
    for (share, stream) in [(0.0, None), (0.4, Some(9))] {
        let mut layer = MultiHeadAttention::new(6, 2, share, &mut seeded(3, 0));
        let (queries, keys, w) = (rows(4, 6, 20), rows(10, 6, 21), weights(24));
        // The same random numbers drop the same elements each time.
        let forward = |layer: &mut MultiHeadAttention, queries: &[f32], keys: &[f32]| {
            let mut y = vec![0.0; 24];
            layer.forward(queries, keys, None, shape, &mut y, stream.map(|s| seeded(4, s)).as_mut());
            weighted(&y, &w)
        };
        forward(&mut layer, &queries, &keys);
        let (mut dqueries, mut dkeys) = (vec![0.0; 24], vec![0.0; 60]);
        layer.backward(&queries, &keys, shape, &w, &mut dqueries, &mut dkeys, &mut OptimizerState::recording());
        compare("queries", &dqueries, |i, by| forward(&mut layer, &moved(&queries, i, by), &keys));
        compare("keys", &dkeys, |i, by| forward(&mut layer, &queries, &moved(&keys, i, by)));
        let parameters = |l: &mut MultiHeadAttention, visit: &mut dyn FnMut(&str, &mut Parameter)| {
            l.parameters("attention", &mut |name, p| {
                // The softmax ignores a shift common to all keys: the gradient of the key bias is
                // 0.
                if name != "attention.key.bias" {
                    visit(name, p);
                }
            });
        };
        compare_parameters(&mut layer, parameters, |l| forward(l, &queries, &keys));
    }
}
