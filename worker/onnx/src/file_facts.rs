//! The facts that an ONNX file states about itself: versions, metadata, inputs and outputs.

use std::collections::BTreeMap;

use prost::Message;

use crate::message::{OperatorSet, Property, Value};

/// ModelProto, reduced to the fields that are read; all others are skipped without a copy.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    metadata_props: Vec<Property>,
}

/// GraphProto.
#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Named>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<Value>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<Value>,
}

/// TensorProto, reduced to its name.
#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "8")]
    name: String,
}

/// The metadata of a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileFacts {
    /// Version of the file format.
    pub ir_version: i64,
    /// Version of the standard operators; 0 if the file states none.
    pub opset: i64,
    /// The exporter's metadata, by name.
    pub metadata: BTreeMap<String, String>,
    /// Inputs, without those that are weights.
    pub inputs: Vec<Edge>,
    /// Outputs.
    pub outputs: Vec<Edge>,
}

/// An input or output of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Its name.
    pub name: String,
    /// Its lengths, -1 where any length is allowed; empty if the file states no shape.
    pub shape: Vec<i64>,
}

/// Returns the facts of the model in `file`; None if it is not an ONNX file.
pub fn of(file: &[u8]) -> Option<FileFacts> {
    let model = Model::decode(file).ok()?;
    let graph = model.graph?;
    let is_weight = |name: &str| graph.initializer.iter().any(|weight| weight.name == name);
    let standard = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    Some(FileFacts {
        ir_version: model.ir_version,
        opset: standard.map_or(0, |set| set.version),
        metadata: model.metadata_props.into_iter().map(|property| (property.key, property.value)).collect(),
        inputs: graph.input.iter().filter(|value| !is_weight(&value.name)).map(edge).collect(),
        outputs: graph.output.iter().map(edge).collect(),
    })
}

fn edge(value: &Value) -> Edge {
    let shape = value.kind.as_ref().and_then(|kind| kind.tensor.as_ref()).and_then(|tensor| tensor.shape.as_ref());
    let length = |dimension: &crate::message::Dimension| dimension.value.filter(|&n| n >= 0).unwrap_or(-1);
    Edge { name: value.name.clone(), shape: shape.map(|s| s.dim.iter().map(length).collect()).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Dimension, Shape, TensorType, Type};

    fn value(name: &str, lengths: &[Option<i64>]) -> Value {
        let dim = lengths.iter().map(|&value| Dimension { value, parameter: None }).collect();
        let tensor = TensorType { element: 1, shape: Some(Shape { dim }) };
        Value { name: name.into(), kind: Some(Type { tensor: Some(tensor) }) }
    }

    #[test]
    fn versions_metadata_and_edges_are_read() {
        let graph = Graph {
            initializer: vec![Named { name: "weights".into() }],
            input: vec![value("images", &[None, Some(3)]), value("weights", &[Some(2)])],
            output: vec![value("output0", &[Some(1), Some(84)])],
        };
        let file = Model {
            ir_version: 9,
            graph: Some(graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: 19 }],
            metadata_props: vec![Property { key: "task".into(), value: "pose".into() }],
        };
        let facts = of(&file.encode_to_vec()).expect("an ONNX file");
        assert_eq!((facts.ir_version, facts.opset, facts.metadata["task"].as_str()), (9, 19, "pose"));
        assert_eq!(facts.inputs, [Edge { name: "images".into(), shape: vec![-1, 3] }]);
        assert_eq!(facts.outputs, [Edge { name: "output0".into(), shape: vec![1, 84] }]);
        assert_eq!(of(b"<html>"), None);
    }
}
