//! Finds the node of a graph that first produced NaN or infinity.

use jhalak_common::settings::InferenceSettings;
use jhalak_common::{Error, Result};
use ort::environment::Environment;
use ort::session::SessionInputValue;
use prost::Message;
use std::collections::BTreeSet;

use super::build::build;
use super::float16;
use jhalak_onnx::message::{Graph, Model, Node, Value};

/// Runs a model again with the output of each node exposed. Returns the first node, in the order of
/// the file, with an output that is not finite; none if all are finite.
///
/// # Errors
/// InvalidInput if the file cannot be read or run that way.
pub(super) fn first_bad_node(
    environment: &Environment,
    mut file: Vec<u8>,
    inference: &InferenceSettings,
    inputs: Vec<(&str, SessionInputValue<'_>)>,
) -> Result<Option<String>> {
    let unreadable = |e: &dyn std::fmt::Display| Error::invalid(format!("cannot inspect the nodes of the model: {e}"));
    let graph = Model::decode(file.as_slice()).map_err(|e| unreadable(&e))?.graph.unwrap_or_default();
    let shown: BTreeSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let made = |node: &Node| node.output.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>();
    let hidden = graph.node.iter().flat_map(made).filter(|name| !shown.contains(name.as_str()));
    let more = Graph { output: hidden.map(|name| Value { name, kind: None }).collect(), ..Graph::default() };
    // Appending a protocol buffer message merges it into the first, and concatenates lists.
    file.extend(Model { graph: Some(more), ..Model::default() }.encode_to_vec());
    let mut session = build(environment, &file, inference, None)?;
    let outputs = session.run(inputs).map_err(|e| unreadable(&e))?;
    let is_bad = |name: &String| {
        let given = outputs.get(name).and_then(|value| float16::from_value(value).ok());
        given.is_some_and(|(_, data)| data.iter().any(|v| !v.is_finite()))
    };
    let bad = graph.node.iter().find(|node| node.output.iter().any(is_bad));
    Ok(bad.map(|node| {
        let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
        format!("`{}` ({})", name.map_or("", String::as_str), node.op_type)
    }))
}
