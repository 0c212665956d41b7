//! Numbers on their way into a graph and out of it. Here they are f32; a file with half precision at its edges, as YOLOs are often exported, is
//! given and gives halves.

use half::f16;
use half::slice::HalfFloatSliceExt;
use jhalak_common::models::NumberKind;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef};

use super::contract::TensorShape;

/// What a session takes: `data`, of shape `shape`, as the numbers of `input`. Halves round to the nearest; beyond 65,504 they are infinite.
pub(super) fn given<'v>(
    input: &TensorShape,
    shape: &[usize],
    data: &'v [f32],
) -> Result<SessionInputValue<'v>, ort::Error> {
    match input.kind {
        NumberKind::Float32 => Ok(TensorRef::from_array_view((shape.to_vec(), data))?.into()),
        NumberKind::Float16 => {
            let mut halves = vec![f16::ZERO; data.len()];
            halves.convert_from_f32_slice(data);
            Ok(ort::value::Tensor::from_array((shape.to_vec(), halves))?.into())
        }
    }
}

/// The shape and the numbers of what a session gave.
///
/// # Errors
/// It is no tensor of f32 or of halves.
pub(super) fn taken(value: &DynValue) -> Result<(Vec<usize>, Vec<f32>), ort::Error> {
    let lengths = |shape: &[i64]| shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    if value.dtype().tensor_type() == Some(TensorElementType::Float16) {
        let (shape, halves) = value.try_extract_tensor::<f16>()?;
        return Ok((lengths(shape), halves.to_f32_vec()));
    }
    let (shape, data) = value.try_extract_tensor::<f32>()?;
    Ok((lengths(shape), data.to_vec()))
}
