//! Compares the classifier's training with PyTorch's `nn.MultiheadAttention`, through fixtures that
//! tools/classifier_fixture.py writes.

use super::Network;
use super::classifier::Classifier;
use crate::features::inputs::Batch;
use jhalak_nn::{Optimiser, OptimizerState, StepRate, cross_entropy, seeded};
use safetensors::SafeTensors;
use std::collections::BTreeMap;

struct Fixture(BTreeMap<String, Vec<f32>>, Vec<u8>);

impl Fixture {
    fn read(name: &str) -> Self {
        let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let tensors = SafeTensors::deserialize(&bytes).expect("the fixture is a safetensors file");
        let floats = |data: &[u8]| data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let all =
            tensors.iter().filter(|(name, _)| *name != "label").map(|(name, t)| (name.to_owned(), floats(t.data())));
        let labels = tensors.tensor("label").expect("the fixture has labels").data().to_vec();
        Self(all.collect(), labels)
    }

    fn tensor(&self, name: &str) -> &[f32] {
        self.0.get(name).unwrap_or_else(|| panic!("the fixture has no {name}"))
    }

    fn batch(&self, step: usize) -> (Vec<Batch>, &[u8]) {
        let part =
            |name: &str| self.tensor(name).chunks_exact(32 * 32).nth(step).expect("one batch for each step").to_vec();
        (vec![Batch { movie: part("movie"), user: part("user") }], &self.1[step * 32..(step + 1) * 32])
    }
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn loaded(fixture: &Fixture) -> Classifier {
    let mut network = Classifier::new(&[32], &mut seeded(0, 0));
    network.parameters(&mut |name, p| {
        let before = fixture.tensor(&format!("before.{name}"));
        assert_eq!(p.value.len(), before.len(), "{name}");
        p.value.copy_from_slice(before);
    });
    network
}

/// One step; returns the mean loss.
fn step(network: &mut Classifier, fixture: &Fixture, number: usize, optimizer: &mut OptimizerState) -> f64 {
    let (batches, labels) = fixture.batch(number);
    let mut logits = network.forward(&batches, 32).to_vec();
    if number == 0 {
        let off = farthest(&logits, fixture.tensor("logits"));
        assert!(off < 2e-6, "logits are {off} off");
    }
    let (sum, weight) = cross_entropy(&mut logits, 3, labels, &[]);
    optimizer.begin_step(StepRate { rate: 1e-3, beta1: None });
    network.backward(&batches, &logits, 32, optimizer);
    sum / weight
}

fn agrees(name: &str, optimiser: Optimiser) {
    let fixture = Fixture::read(name);
    let mut network = loaded(&fixture);
    step(&mut network, &fixture, 0, &mut OptimizerState::recording());
    let mut seen = 0;
    let mut worst = 0.0_f32;
    network.parameters(&mut |name, p| {
        let off = farthest(p.gradient(), fixture.tensor(&format!("grad.{name}")));
        assert!(off < 1e-6, "the gradient of {name} is {off} off");
        (seen, worst) = (seen + 1, worst.max(off));
    });
    assert_eq!(seen, fixture.0.keys().filter(|k| k.starts_with("grad.")).count(), "every tensor is compared");

    let mut network = loaded(&fixture);
    let mut optimizer = OptimizerState::new(optimiser);
    for (number, want) in fixture.tensor("loss").iter().enumerate() {
        let loss = step(&mut network, &fixture, number, &mut optimizer);
        let allowed = if number == 0 { 1e-6 } else { 1e-5 };
        assert!((loss - f64::from(*want)).abs() < allowed, "step {number}: loss {loss} for {want}");
    }
    let mut farthest_weight = 0.0_f32;
    network.parameters(&mut |name, p| {
        let off = farthest(&p.value, fixture.tensor(&format!("after.{name}")));
        assert!(off < 2e-5, "{name} is {off} off after 8 steps");
        farthest_weight = farthest_weight.max(off);
    });
    println!("{name}: gradients within {worst:e}, weights after 8 steps within {farthest_weight:e}");
}

#[test]
fn rmsprop_trains_as_pytorch_does() {
    agrees("classifier_rmsprop.safetensors", Optimiser::rmsprop());
}

#[test]
fn adam_trains_as_pytorch_does() {
    agrees("classifier_adam.safetensors", Optimiser::adam());
}
