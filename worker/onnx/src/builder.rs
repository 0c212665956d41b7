//! Builds a graph layer by layer and encodes it as an ONNX file.

use crate::message::{
    self, Attribute, Dimension, FLOAT, Graph, Node, OperatorSet, Property, Shape, Tensor, TensorType, Type, Value,
};
use prost::Message;

/// Name of the dynamic dimension: the number of rows in one inference.
const ROWS: &str = "rows";

/// A graph under construction. Each value is a matrix of f32 with any number of rows and a name.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
}

/// The name of a value in a graph.
pub type Name = String;

impl Builder {
    /// Creates an empty graph.
    #[must_use]
    pub fn new(name: &str, doc: &str) -> Self {
        Self { graph: Graph { name: name.to_owned(), doc_string: doc.to_owned(), ..Graph::default() } }
    }

    /// Adds an input of `rows x width`.
    pub fn input(&mut self, name: &str, width: usize) -> Name {
        self.graph.input.push(value(name, width));
        name.to_owned()
    }

    /// Makes `from` an output named `name`, of `rows x width`.
    pub fn output(&mut self, from: &Name, name: &str, width: usize) {
        self.graph.node.push(node("Identity", &[from], name));
        self.graph.output.push(value(name, width));
    }

    /// Adds a constant of this shape.
    pub fn constant(&mut self, name: &str, shape: &[usize], numbers: &[f32]) -> Name {
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&n| length(n)).collect(),
            data_type: FLOAT,
            name: name.to_owned(),
            raw_data: numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        });
        name.to_owned()
    }

    /// Adds `x W^T + b` with W of `outputs x inputs`.
    pub fn linear(&mut self, x: &Name, name: &str, weight: &[f32], bias: &[f32]) -> Name {
        let (outputs, inputs) = (bias.len(), weight.len() / bias.len().max(1));
        let weight = self.constant(&format!("{name}.weight"), &[outputs, inputs], weight);
        let bias = self.constant(&format!("{name}.bias"), &[outputs], bias);
        let mut layer = node("Gemm", &[x, &weight, &bias], name);
        layer.attribute.push(Attribute { name: "transB".to_owned(), i: Some(1), f: None, kind: 2 });
        self.push(layer)
    }

    /// Adds layer normalization over the last dimension.
    pub fn layer_norm(&mut self, x: &Name, name: &str, weight: &[f32], bias: &[f32], eps: f32) -> Name {
        let weight = self.constant(&format!("{name}.weight"), &[weight.len()], weight);
        let bias = self.constant(&format!("{name}.bias"), &[bias.len()], bias);
        let mut layer = node("LayerNormalization", &[x, &weight, &bias], name);
        layer.attribute.push(Attribute { name: "axis".to_owned(), i: Some(-1), f: None, kind: 2 });
        layer.attribute.push(Attribute { name: "epsilon".to_owned(), i: None, f: Some(eps), kind: 1 });
        self.push(layer)
    }

    /// Adds an operator with one or two inputs and no attribute: Add, Sub, Mul, Relu, Tanh...
    pub fn apply(&mut self, operator: &str, inputs: &[&Name], name: &str) -> Name {
        self.push(node(operator, inputs, name))
    }

    /// Adds an operator with the attribute `axis` = -1: Concat, Softmax.
    pub fn along_last(&mut self, operator: &str, inputs: &[&Name], name: &str) -> Name {
        let mut layer = node(operator, inputs, name);
        layer.attribute.push(Attribute { name: "axis".to_owned(), i: Some(-1), f: None, kind: 2 });
        self.push(layer)
    }

    /// Encodes the graph as an ONNX file. `facts` become its metadata.
    #[must_use]
    pub fn encode(self, facts: &[(&str, String)]) -> Vec<u8> {
        let property = |(key, value): &(&str, String)| Property { key: (*key).to_owned(), value: value.clone() };
        let model = message::Model {
            ir_version: message::IR_VERSION,
            producer_name: "jhalak".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: String::new(), version: message::OPERATOR_SET }],
            metadata_props: facts.iter().map(property).collect(),
        };
        model.encode_to_vec()
    }

    fn push(&mut self, node: Node) -> Name {
        let name = node.output.first().cloned().unwrap_or_default();
        self.graph.node.push(node);
        name
    }
}

fn node(operator: &str, inputs: &[&Name], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|&name| name.clone()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: operator.to_owned(),
        attribute: Vec::new(),
    }
}

fn value(name: &str, width: usize) -> Value {
    let rows = Dimension { value: None, parameter: Some(ROWS.to_owned()) };
    let columns = Dimension { value: Some(length(width)), parameter: None };
    let shape = Some(Shape { dim: vec![rows, columns] });
    Value { name: name.to_owned(), kind: Some(Type { tensor: Some(TensorType { element: FLOAT, shape }) }) }
}

fn length(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
