//! The Arrow schema of a Parquet file, as pyarrow and polars read it from the key `ARROW:schema`:
//! Parquet has no lists of a fixed length, Arrow has.
//!
//! The value is base64 of an encapsulated message of the Arrow IPC format, a flatbuffer. Slots and
//! numbers of types are those of Arrow's `Schema.fbs` and `Message.fbs`.

use base64::Engine;
use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, UnionWIPOffset, WIPOffset};

use super::column::{Column, Kind};

/// The key of the schema in the metadata of a Parquet file.
pub(super) const KEY: &str = "ARROW:schema";

/// `MetadataVersion.V5`.
const VERSION: i16 = 4;
/// `MessageHeader.Schema`.
const HEADER_SCHEMA: u8 = 1;
const TYPE_INT: u8 = 2;
const TYPE_FLOAT: u8 = 3;
const TYPE_UTF8: u8 = 5;
const TYPE_BOOL: u8 = 6;
const TYPE_LIST: u8 = 12;
const TYPE_FIXED_SIZE_LIST: u8 = 16;
/// `Precision.SINGLE` and `Precision.DOUBLE`.
const SINGLE: i16 = 1;
const DOUBLE: i16 = 2;

type Table = WIPOffset<TableFinishedWIPOffset>;

/// The offset of a field in a table's vtable.
const fn slot(number: u16) -> u16 {
    4 + 2 * number
}

/// Encodes the schema of `columns` with the key-value pairs of the file: readers that use this
/// schema take them from it.
pub(super) fn encode(columns: &[Column], metadata: &[(String, String)]) -> String {
    let mut builder = FlatBufferBuilder::new();
    let fields: Vec<Table> = columns.iter().map(|column| field(&mut builder, column)).collect();
    let fields = builder.create_vector(&fields);
    let pairs: Vec<Table> = metadata.iter().map(|(key, value)| key_value(&mut builder, key, value)).collect();
    let pairs = builder.create_vector(&pairs);
    let schema = builder.start_table();
    builder.push_slot_always(slot(0), 0_i16);
    builder.push_slot_always(slot(1), fields);
    builder.push_slot_always(slot(2), pairs);
    let schema = builder.end_table(schema);
    let message = builder.start_table();
    builder.push_slot_always(slot(3), 0_i64);
    builder.push_slot_always(slot(2), schema);
    builder.push_slot_always(slot(0), VERSION);
    builder.push_slot_always(slot(1), HEADER_SCHEMA);
    let message = builder.end_table(message);
    builder.finish_minimal(message);
    let bytes = builder.finished_data();
    let padded = bytes.len().next_multiple_of(8);
    let mut out = Vec::with_capacity(padded + 8);
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    out.extend_from_slice(&u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
    out.resize(padded + 8, 0);
    base64::engine::general_purpose::STANDARD.encode(out)
}

fn field(builder: &mut FlatBufferBuilder<'_>, column: &Column) -> Table {
    let children = match column.kind {
        Kind::Vector(_) => Some(element(builder, Kind::Float)),
        Kind::Texts => Some(element(builder, Kind::Text)),
        _ => None,
    };
    let metadata: Vec<Table> =
        column.metadata.iter().map(|(key, value)| key_value(builder, key, value)).collect::<Vec<_>>();
    let metadata = (!metadata.is_empty()).then(|| builder.create_vector(&metadata));
    let name = builder.create_string(&column.name);
    let (number, kind) = kind_of(builder, column.kind);
    let table = builder.start_table();
    builder.push_slot_always(slot(0), name);
    builder.push_slot_always(slot(3), kind);
    if let Some(children) = children {
        builder.push_slot_always(slot(5), children);
    }
    if let Some(metadata) = metadata {
        builder.push_slot_always(slot(6), metadata);
    }
    builder.push_slot_always(slot(1), column.nullable);
    builder.push_slot_always(slot(2), number);
    builder.end_table(table)
}

/// The one child of a list.
fn element<'b>(
    builder: &mut FlatBufferBuilder<'b>,
    kind: Kind,
) -> WIPOffset<flatbuffers::Vector<'b, flatbuffers::ForwardsUOffset<TableFinishedWIPOffset>>> {
    let child = field(builder, &Column::new("element", kind, ""));
    builder.create_vector(&[child])
}

fn key_value(builder: &mut FlatBufferBuilder<'_>, key: &str, value: &str) -> Table {
    let (key, value) = (builder.create_string(key), builder.create_string(value));
    let table = builder.start_table();
    builder.push_slot_always(slot(0), key);
    builder.push_slot_always(slot(1), value);
    builder.end_table(table)
}

/// Returns the number of a type in the union `Type`, and its table.
fn kind_of(builder: &mut FlatBufferBuilder<'_>, kind: Kind) -> (u8, WIPOffset<UnionWIPOffset>) {
    let table = builder.start_table();
    let number = match kind {
        Kind::Text => TYPE_UTF8,
        Kind::Texts => TYPE_LIST,
        Kind::Flag => TYPE_BOOL,
        Kind::Int => {
            builder.push_slot_always(slot(0), 64_i32);
            builder.push_slot_always(slot(1), true);
            TYPE_INT
        }
        Kind::Float => {
            builder.push_slot_always(slot(0), SINGLE);
            TYPE_FLOAT
        }
        Kind::Double => {
            builder.push_slot_always(slot(0), DOUBLE);
            TYPE_FLOAT
        }
        Kind::Vector(length) => {
            builder.push_slot_always(slot(0), i32::try_from(length).unwrap_or(i32::MAX));
            TYPE_FIXED_SIZE_LIST
        }
    };
    (number, builder.end_table(table).as_union_value())
}
