//! The columns of a table: their types and their meaning.

use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// A list of texts.
    Texts,
    /// True or false.
    Flag,
    /// 64-bit integer.
    Int,
    /// 32-bit floating point.
    Float,
    /// 64-bit floating point.
    Double,
    /// A list of this many 32-bit floats, a fixed-size list for Arrow's readers.
    Vector(usize),
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether cells may be empty.
    pub nullable: bool,
    /// Its meaning and unit, for the manifest.
    pub about: String,
    /// Facts about it, as metadata of the Arrow field.
    pub metadata: Vec<(String, String)>,
}

impl Column {
    /// A column without empty cells.
    pub fn new(name: &str, kind: Kind, about: &str) -> Column {
        Column { name: name.to_owned(), kind, nullable: false, about: about.to_owned(), metadata: Vec::new() }
    }

    /// The same column, with cells that may be empty.
    pub fn nullable(self) -> Column {
        Column { nullable: true, ..self }
    }

    /// The type's name in the manifest.
    pub fn kind_name(&self) -> String {
        match self.kind {
            Kind::Text => "string".into(),
            Kind::Texts => "list<string>".into(),
            Kind::Flag => "bool".into(),
            Kind::Int => "int64".into(),
            Kind::Float => "float32".into(),
            Kind::Double => "float64".into(),
            Kind::Vector(length) => format!("fixed_size_list<float32>[{length}]"),
        }
    }

    /// Returns the type of the column in the schema of a Parquet file.
    pub(super) fn parquet(&self) -> Result<TypePtr, ParquetError> {
        let repetition = if self.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
        let leaf = |name: &str, kind: Kind, repetition| {
            let (physical, logical) = match kind {
                Kind::Text | Kind::Texts => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Kind::Flag => (Physical::BOOLEAN, None),
                Kind::Int => (Physical::INT64, None),
                Kind::Float | Kind::Vector(_) => (Physical::FLOAT, None),
                Kind::Double => (Physical::DOUBLE, None),
            };
            let leaf = Type::primitive_type_builder(name, physical).with_repetition(repetition);
            leaf.with_logical_type(logical).build().map(Arc::new)
        };
        match self.kind {
            Kind::Texts | Kind::Vector(_) => {
                let element = leaf("element", self.kind, Repetition::REQUIRED)?;
                let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
                let list = Arc::new(list.with_fields(vec![element]).build()?);
                let outer = Type::group_type_builder(&self.name).with_repetition(repetition);
                outer.with_logical_type(Some(LogicalType::List)).with_fields(vec![list]).build().map(Arc::new)
            }
            kind => leaf(&self.name, kind, repetition),
        }
    }
}
