//! A fitted network as ONNX: from embeddings and GL-score to probabilities, standardisation inside.

use super::network::{FittedNetwork, Side};
use crate::CLASSES;
use crate::networks::genre_head::HeadKind;
use jhalak_common::evaluation::Model;
use jhalak_onnx::{Builder, Name};
use std::collections::BTreeMap;

/// What PyTorch and [`jhalak_nn::LayerNorm`] add to the variance.
const EPS: f32 = 1e-5;

/// Weights by name.
type Weights = BTreeMap<String, Vec<f32>>;

/// The network. Inputs, all of f32 and with as many rows as are asked about: for each modality NAME `NAME_movie` (the movie's embedding) and
/// `NAME_user` (the user's), and `gl` (rows x 1: GL-score times its scale; 1 for a network without it). Output `probabilities`, rows x 3:
/// dislike, neutral, like.
pub fn network(fitted: &mut FittedNetwork) -> Vec<u8> {
    let weights = fitted.weights();
    let what = fitted.spec.name();
    let mut graph = Builder::new("jhalak", &format!("{what}. Probabilities of dislike, neutral, like."));
    let gl = graph.input("gl", 1);
    let mut inputs = Vec::new();
    for side in &fitted.sides {
        let movie = graph.input(&format!("{}_movie", side.name), side.table.dim);
        let user = graph.input(&format!("{}_user", side.name), side.table.dim);
        let movie = graph.apply("Mul", &[&movie, &gl], &format!("{}_movie_gl", side.name));
        inputs.push((scaled(&mut graph, &movie, side, 0), scaled(&mut graph, &user, side, 1)));
    }
    let logits = match fitted.spec.model {
        Model::Ann => ann(&mut graph, &weights, &inputs),
        _ => classifier(&mut graph, &weights, &inputs),
    };
    let probabilities = graph.along_last("Softmax", &[&logits], "softmax");
    graph.output(&probabilities, "probabilities", CLASSES);
    graph.encode(&[
        ("classes", "dislike,neutral,like".to_owned()),
        ("cell", serde_json::to_string(&fitted.spec).unwrap_or_default()),
    ])
}

/// The genre head of a modality, if it has one: input `raw` (the embedding model's vector), output `embedding` (what the network reads).
pub fn head(fitted: &mut FittedNetwork, side: usize) -> Option<Vec<u8>> {
    let weights = fitted.weights();
    let Side { name, head, table, .. } = fitted.sides.get(side)?;
    let head = head.as_ref()?;
    let mut graph = Builder::new("jhalak-head", &format!("Genre head of the modality {name}, up to the embedding."));
    let raw = graph.input("raw", head.inputs);
    let layer = |own: &str| format!("head.{name}.{own}");
    let embedding = match head.kind {
        HeadKind::Video => linear(&mut graph, &weights, &raw, &layer("first")),
        HeadKind::Audio => (1..=3).fold(raw, |x, i| {
            let y = linear(&mut graph, &weights, &x, &layer(&format!("dense{i}")));
            graph.apply("Tanh", &[&y], &layer(&format!("tanh{i}")))
        }),
    };
    graph.output(&embedding, "embedding", table.dim);
    Some(graph.encode(&[("modality", (*name).to_owned())]))
}

/// `(x - mean) / deviation`, as the inputs were standardised in training.
fn scaled(graph: &mut Builder, x: &Name, side: &Side, which: usize) -> Name {
    let scaling = &side.scaling[which];
    if scaling.is_empty() {
        return x.clone();
    }
    let what = format!("{}_{}", side.name, ["movie", "user"][which]);
    let (mean, scale): (Vec<f32>, Vec<f32>) = scaling.iter().copied().unzip();
    let mean = graph.constant(&format!("{what}_mean"), &[mean.len()], &mean);
    let scale = graph.constant(&format!("{what}_scale"), &[scale.len()], &scale);
    let centred = graph.apply("Sub", &[x, &mean], &format!("{what}_centred"));
    graph.apply("Mul", &[&centred, &scale], &format!("{what}_scaled"))
}

fn linear(graph: &mut Builder, weights: &Weights, x: &Name, name: &str) -> Name {
    let of = |part: &str| weights.get(&format!("{name}.{part}")).map_or(&[][..], Vec::as_slice);
    graph.linear(x, name, of("weight"), of("bias"))
}

fn layer_norm(graph: &mut Builder, weights: &Weights, x: &Name, name: &str) -> Name {
    let of = |part: &str| weights.get(&format!("{name}.{part}")).map_or(&[][..], Vec::as_slice);
    graph.layer_norm(x, name, of("weight"), of("bias"), EPS)
}

/// Layers `prefix1`, `prefix2`... as far as there are weights, with the activation between them and, if `last`, after the last.
fn dense(graph: &mut Builder, weights: &Weights, x: &Name, prefix: &str, activation: &str, last: bool) -> Name {
    let count = (1..).take_while(|i| weights.contains_key(&format!("{prefix}{i}.weight"))).count();
    let mut x = x.clone();
    for i in 1..=count {
        x = linear(graph, weights, &x, &format!("{prefix}{i}"));
        if i < count || last {
            x = graph.apply(activation, &[&x], &format!("{prefix}{i}_{activation}"));
        }
    }
    x
}

/// `LayerNorm(query + attention over the one key)`; see [`jhalak_nn::OneKeyAttention`].
fn cross(graph: &mut Builder, weights: &Weights, query: &Name, key: &Name, prefix: &str) -> Name {
    let value = linear(graph, weights, key, &format!("{prefix}.value"));
    let attention = linear(graph, weights, &value, &format!("{prefix}.out"));
    let sum = graph.apply("Add", &[query, &attention], &format!("{prefix}.sum"));
    layer_norm(graph, weights, &sum, &format!("{prefix}.norm"))
}

fn classifier(graph: &mut Builder, weights: &Weights, inputs: &[(Name, Name)]) -> Name {
    let mut parts = Vec::new();
    for (i, (movie, user)) in inputs.iter().enumerate() {
        let prefix = if inputs.len() > 1 { format!("modality{i}.") } else { String::new() };
        parts.push(cross(graph, weights, movie, user, &format!("{prefix}movie_user")));
        parts.push(cross(graph, weights, user, movie, &format!("{prefix}user_movie")));
    }
    let concat = graph.along_last("Concat", &parts.iter().collect::<Vec<_>>(), "concat");
    let fused = cross(graph, weights, &concat, &concat, "fusion");
    let inner = dense(graph, weights, &fused, "ff", "Relu", false);
    let sum = graph.apply("Add", &[&fused, &inner], "ff_sum");
    let hidden = layer_norm(graph, weights, &sum, "norm");
    dense(graph, weights, &hidden, "dense", "Relu", false)
}

fn ann(graph: &mut Builder, weights: &Weights, inputs: &[(Name, Name)]) -> Name {
    let mut parts = Vec::new();
    for (i, (movie, user)) in inputs.iter().enumerate() {
        for (tower, input) in [("movie", movie), ("user", user)] {
            // The towers are shared by the modalities: each use is a copy of the layers under another name.
            parts.push(tower_of(graph, weights, input, tower, i));
        }
    }
    let concat = graph.along_last("Concat", &parts.iter().collect::<Vec<_>>(), "concat");
    dense(graph, weights, &concat, "dense", "Tanh", false)
}

fn tower_of(graph: &mut Builder, weights: &Weights, input: &Name, tower: &str, modality: usize) -> Name {
    let count = (1..).take_while(|i| weights.contains_key(&format!("{tower}{i}.weight"))).count();
    let mut x = input.clone();
    for i in 1..=count {
        let of = |part: &str| weights.get(&format!("{tower}{i}.{part}")).map_or(&[][..], Vec::as_slice);
        x = graph.linear(&x, &format!("{tower}{i}_{modality}"), of("weight"), of("bias"));
        x = graph.apply("Tanh", &[&x], &format!("{tower}{i}_{modality}_tanh"));
    }
    x
}
