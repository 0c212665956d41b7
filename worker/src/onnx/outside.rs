//! Weights that lie outside an ONNX file, in one beside it: as PyTorch's newer exporter writes them.

use prost::Message;

use super::message::Property;

/// ModelProto, as far as weights outside show; everything else is passed over without being copied.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

/// GraphProto.
#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
}

/// TensorProto.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(message, repeated, tag = "13")]
    external_data: Vec<Property>,
}

/// The name of the first file that holds weights of the model in `file`; None where all are inside, and for what is no ONNX file.
pub(crate) fn weights_outside(file: &[u8]) -> Option<String> {
    let graph = Model::decode(file).ok()?.graph?;
    let mut places = graph.initializer.into_iter().flat_map(|tensor| tensor.external_data);
    places.find(|property| property.key == "location").map(|property| property.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_is_named() {
        let property = |key: &str, value: &str| Property { key: key.into(), value: value.into() };
        let inside = Tensor::default();
        let outside = Tensor { external_data: vec![property("offset", "0"), property("location", "net.onnx.data")] };
        let file = |initializer| Model { graph: Some(Graph { initializer }) }.encode_to_vec();
        assert_eq!(weights_outside(&file(vec![inside.clone(), outside])).as_deref(), Some("net.onnx.data"));
        assert_eq!(weights_outside(&file(vec![inside])), None);
        assert_eq!(weights_outside(b"<html>"), None);
    }
}
