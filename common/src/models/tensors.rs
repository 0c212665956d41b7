//! Inputs and outputs of a model as stated in the registry. All of it is optional: it is read from
//! the file, and stated values are compared with the file.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A model's inputs or outputs: nothing, a table, or a list of tables.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tensors(pub Vec<TensorFacts>);

impl Serialize for Tensors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tensors, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Tensors;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table or a list of tables with name, shape, type")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Tensors, A::Error> {
                TensorFacts::deserialize(MapAccessDeserializer::new(map)).map(|one| Tensors(vec![one]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Tensors, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(Tensors)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

/// A tensor of a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorFacts {
    /// Its name in the graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its shape; -1 is a dimension that may have any length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Vec<i64>>,
    /// The type of its numbers.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<NumberKind>,
}

/// The type of a tensor's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberKind {
    /// IEEE single precision.
    Float32,
    /// IEEE half precision.
    Float16,
    /// 32-bit integers; outputs of detectors only.
    Int32,
    /// 64-bit integers; outputs of detectors only.
    Int64,
}

impl NumberKind {
    /// Returns the name used in the registry.
    pub fn name(self) -> &'static str {
        match self {
            NumberKind::Float32 => "float32",
            NumberKind::Float16 => "float16",
            NumberKind::Int32 => "int32",
            NumberKind::Int64 => "int64",
        }
    }
}
