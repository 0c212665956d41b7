//! The inputs and outputs of a model file, compared with its registry entry: what the entry states
//! must hold, and the rest is read from the file.

use jhalak_common::models::{Model, NumberKind, TensorFacts, Tensors};
use jhalak_common::{Error, Result};
use ort::value::{Outlet, TensorElementType, ValueType};

/// The inputs and outputs of a model, in the order in which callers pass and receive them.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Inputs.
    pub inputs: Vec<TensorShape>,
    /// Outputs.
    pub outputs: Vec<TensorShape>,
    /// Number of rows (pictures, clips, windows) of one inference.
    pub rows: Rows,
}

/// Name, shape and element type of a tensor; a length of -1 is dynamic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorShape {
    /// Name in the file.
    pub name: String,
    /// The length of each dimension.
    pub shape: Vec<i64>,
    /// Element type in the file; callers always pass and receive f32.
    pub kind: NumberKind,
}

/// Number of rows of one inference: the first dimension of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Any number; each row of the output belongs to one row of the input.
    Free,
    /// Exactly this many.
    Fixed(usize),
}

impl Contract {
    /// Compares the tensors of the file with the entry of `model`.
    ///
    /// # Errors
    /// InvalidInput; the message names the entry, the field and the tensors of the file.
    pub(super) fn of(model: &Model, inputs: &[Outlet], outputs: &[Outlet]) -> Result<Contract> {
        let named = |e: Error| e.context(format!("the model {} ({})", model.name, model.file.display()));
        let inputs = resolve("input", &model.input, inputs).map_err(named)?;
        let outputs = resolve("output", &model.output, outputs).map_err(named)?;
        let wanted = if model.waveform.as_ref().is_some_and(|w| w.moments.is_some()) { 2 } else { 1 };
        if inputs.len() != wanted {
            return Err(named(Error::invalid(format!(
                "it has {} inputs ({}), but a model of this entry must have {wanted}",
                inputs.len(),
                list(&inputs)
            ))));
        }
        let rows = rows(&inputs, &outputs);
        Ok(Contract { inputs, outputs, rows })
    }

    /// Checks that the model accepts inputs of these shapes.
    ///
    /// # Errors
    /// InvalidInput; the message names the model, the input and both shapes.
    pub(super) fn check(&self, model: &str, shapes: &[&[usize]]) -> Result<()> {
        if shapes.len() != self.inputs.len() {
            return Err(Error::bug(format!(
                "the model {model} has {} inputs, got {}",
                self.inputs.len(),
                shapes.len()
            )));
        }
        for (index, (input, &shape)) in self.inputs.iter().zip(shapes).enumerate() {
            let any_rows = |place: usize| place == 0 && matches!(self.rows, Rows::Fixed(_)) && input.shape.len() > 1;
            let fits = |(place, (&have, &want)): (usize, (&usize, &i64))| {
                want < 0 || any_rows(place) || i64::try_from(have) == Ok(want)
            };
            let same_rank = shape.len() == input.shape.len();
            if !same_rank || !shape.iter().zip(&input.shape).enumerate().all(fits) {
                return Err(Error::invalid(format!(
                    "the model {model} expects `{}` of shape {:?}, got {shape:?}{}",
                    input.name,
                    input.shape,
                    if index == 0 { ": check its sizes and layout in the registry" } else { "" }
                )));
            }
        }
        Ok(())
    }
}

fn list(tensors: &[TensorShape]) -> String {
    tensors.iter().map(|t| format!("`{}` {:?}", t.name, t.shape)).collect::<Vec<_>>().join(", ")
}

fn resolve(field: &str, stated: &Tensors, outlets: &[Outlet]) -> Result<Vec<TensorShape>> {
    let has = || {
        let all: Vec<String> = outlets.iter().map(|o| format!("`{}` {}", o.name(), o.dtype())).collect();
        format!("the file has {}", if all.is_empty() { "none".into() } else { all.join(", ") })
    };
    if stated.0.is_empty() {
        if field == "output" && outlets.len() > 1 {
            return Err(Error::invalid(format!("set output.name to the output to read: {}", has())));
        }
        return outlets.iter().map(|o| shape_of(field, &TensorFacts::default(), o)).collect();
    }
    if field == "input" && stated.0.len() < outlets.len() {
        return Err(Error::invalid(format!("the entry lists {} inputs, but {}", stated.0.len(), has())));
    }
    let mut found = Vec::new();
    for (index, facts) in stated.0.iter().enumerate() {
        let outlet = match &facts.name {
            Some(name) => outlets
                .iter()
                .find(|o| o.name() == name)
                .ok_or_else(|| Error::invalid(format!("the file has no {field} `{name}`: {}", has())))?,
            None if stated.0.len() == outlets.len() => &outlets[index],
            None => return Err(Error::invalid(format!("set {field}.name: {}", has()))),
        };
        found.push(shape_of(field, facts, outlet)?);
    }
    Ok(found)
}

fn shape_of(field: &str, stated: &TensorFacts, outlet: &Outlet) -> Result<TensorShape> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(Error::invalid(format!("the {field} `{}` is not a tensor but {}", outlet.name(), outlet.dtype())));
    };
    let Some(kind) = kind_of(*ty) else {
        return Err(Error::invalid(format!(
            "the {field} `{}` has the type {ty}, but only float32 and float16 are supported: export the model with inputs and outputs of these types",
            outlet.name()
        )));
    };
    if let Some(stated) = stated.kind.filter(|&stated| stated != kind) {
        return Err(Error::invalid(format!(
            "{field}.type is {} in the entry, but `{}` is {} in the file",
            stated.name(),
            outlet.name(),
            kind.name()
        )));
    }
    let file: Vec<i64> = shape.iter().copied().collect();
    let Some(wanted) = &stated.shape else {
        return Ok(TensorShape { name: outlet.name().into(), shape: file, kind });
    };
    let agrees = |(&want, &have): (&i64, &i64)| want < 0 || have < 0 || want == have;
    // If the file states no shape for an output, the entry decides.
    let unstated = file.is_empty() && field == "output";
    if !unstated && (file.len() != wanted.len() || !wanted.iter().zip(&file).all(agrees)) {
        return Err(Error::invalid(format!(
            "{field}.shape is {wanted:?} in the entry, but `{}` is {file:?} in the file",
            outlet.name()
        )));
    }
    let shape = if unstated {
        wanted.clone()
    } else {
        wanted.iter().zip(&file).map(|(&want, &have)| if want < 0 { have } else { want }).collect()
    };
    Ok(TensorShape { name: outlet.name().into(), shape, kind })
}

/// Returns the element type of a tensor; none if it is not supported.
fn kind_of(element: TensorElementType) -> Option<NumberKind> {
    match element {
        TensorElementType::Float32 => Some(NumberKind::Float32),
        TensorElementType::Float16 => Some(NumberKind::Float16),
        _ => None,
    }
}

/// Rows are free only if the first dimension of every tensor is dynamic: a file whose output has a
/// fixed first dimension mixes rows or drops them.
fn rows(inputs: &[TensorShape], outputs: &[TensorShape]) -> Rows {
    let first = |t: &TensorShape| if t.shape.len() > 1 { t.shape.first().copied() } else { None };
    match inputs.iter().map(first).collect::<Option<Vec<i64>>>() {
        Some(firsts) if firsts.iter().all(|&n| n < 0) => {
            if outputs.iter().all(|o| first(o).is_some_and(|n| n < 0)) {
                Rows::Free
            } else {
                Rows::Fixed(1)
            }
        }
        Some(firsts) => Rows::Fixed(firsts.into_iter().find_map(|n| usize::try_from(n).ok()).unwrap_or(1).max(1)),
        None => Rows::Fixed(1),
    }
}
