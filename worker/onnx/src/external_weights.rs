//! Detects weights stored outside an ONNX file, as PyTorch's newer exporter writes them.

use prost::Message;

use crate::message::Property;

/// ModelProto, reduced to the fields that can hold external weights; all others are skipped without
/// a copy.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

/// GraphProto.
#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
}

/// NodeProto.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

/// AttributeProto: constants, and the subgraphs of branches and loops.
#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    g: Option<Graph>,
    #[prost(message, repeated, tag = "10")]
    tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    graphs: Vec<Graph>,
}

/// TensorProto.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Property>,
    /// TensorProto.DataLocation: `external_data` is valid only for [`EXTERNAL`].
    #[prost(int32, tag = "14")]
    data_location: i32,
}

const EXTERNAL: i32 = 1;

/// Returns the name of the first external file with weights of the model in `file`. Returns None
/// where all weights are inside, and where `file` is not an ONNX file.
pub fn weights_outside(file: &[u8]) -> Option<String> {
    Model::decode(file).ok()?.graph?.outside()
}

impl Graph {
    fn outside(&self) -> Option<String> {
        let attributes = || self.node.iter().flat_map(|node| &node.attribute);
        let constants = attributes().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        let mut graphs = attributes().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        self.initializer.iter().chain(constants).find_map(Tensor::outside).or_else(|| graphs.find_map(Graph::outside))
    }
}

impl Tensor {
    fn outside(&self) -> Option<String> {
        let location = self.external_data.iter().find(|property| property.key == "location")?;
        (self.data_location == EXTERNAL).then(|| location.value.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_with_external_weights_is_found() {
        let property = |key: &str, value: &str| Property { key: key.into(), value: value.into() };
        let external_data = vec![property("offset", "0"), property("location", "net.onnx.data")];
        let outside = Tensor { external_data, data_location: EXTERNAL };
        // A stale entry: the weights are inside again.
        let inside = Tensor { data_location: 0, ..outside.clone() };
        let with = |initializer| Graph { initializer, ..Graph::default() };
        let branch = |g| Graph {
            node: vec![Node { attribute: vec![Attribute { g: Some(g), ..Attribute::default() }] }],
            ..with(vec![inside.clone()])
        };
        let file = |graph| Model { graph: Some(graph) }.encode_to_vec();
        for graph in [with(vec![inside.clone(), outside.clone()]), branch(with(vec![outside]))] {
            assert_eq!(weights_outside(&file(graph)).as_deref(), Some("net.onnx.data"));
        }
        assert_eq!(weights_outside(&file(branch(with(vec![inside.clone()])))), None);
        assert_eq!(weights_outside(b"<html>"), None);
    }
}
