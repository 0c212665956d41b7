//! Conversion between f32, which callers use, and the numbers of files: float16 inputs and outputs,
//! as in many exports of YOLO, and outputs that are integers.

use half::f16;
use half::slice::HalfFloatSliceExt;
use jhalak_common::models::NumberKind;
use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorElementType, TensorRef};

use super::contract::TensorShape;

/// Converts `data`, of shape `shape`, to the element type of `input`. float16 rounds to the nearest
/// value; above 65,504 it is infinite.
pub(super) fn to_value<'v>(
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
        // Contracts have no such inputs.
        NumberKind::Int32 | NumberKind::Int64 => Err(ort::Error::new("an input of integers")),
    }
}

/// Returns width and height of each picture in an input of this shape, as the element type of
/// `input`.
pub(super) fn sizes_value(input: &TensorShape, shape: &[usize]) -> Result<SessionInputValue<'static>, ort::Error> {
    let (height, width) = match *shape {
        [_, 3, height, width] | [_, height, width, _] => (height, width),
        _ => return Err(ort::Error::new("an input that is not of pictures")),
    };
    let rows = shape[0];
    let all = || (0..rows).flat_map(|_| [width, height]);
    let shape = vec![rows, 2];
    Ok(match input.kind {
        NumberKind::Int64 => {
            ort::value::Tensor::from_array((shape, all().map(|n| n as i64).collect::<Vec<_>>()))?.into()
        }
        NumberKind::Int32 => {
            ort::value::Tensor::from_array((shape, all().map(|n| n as i32).collect::<Vec<_>>()))?.into()
        }
        NumberKind::Float32 => {
            ort::value::Tensor::from_array((shape, all().map(|n| n as f32).collect::<Vec<_>>()))?.into()
        }
        NumberKind::Float16 => {
            let halves: Vec<f16> = all().map(|n| f16::from_f32(n as f32)).collect();
            ort::value::Tensor::from_array((shape, halves))?.into()
        }
    })
}

/// Returns the shape and the values of an output.
///
/// # Errors
/// The output is not a tensor of float32, float16, int32 or int64.
pub(super) fn from_value(value: &DynValue) -> Result<(Vec<usize>, Vec<f32>), ort::Error> {
    let lengths = |shape: &[i64]| shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    match value.dtype().tensor_type() {
        Some(TensorElementType::Float16) => {
            let (shape, halves) = value.try_extract_tensor::<f16>()?;
            Ok((lengths(shape), halves.to_f32_vec()))
        }
        Some(TensorElementType::Int32) => {
            let (shape, data) = value.try_extract_tensor::<i32>()?;
            Ok((lengths(shape), data.iter().map(|&n| n as f32).collect()))
        }
        Some(TensorElementType::Int64) => {
            let (shape, data) = value.try_extract_tensor::<i64>()?;
            Ok((lengths(shape), data.iter().map(|&n| n as f32).collect()))
        }
        _ => {
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            Ok((lengths(shape), data.to_vec()))
        }
    }
}
