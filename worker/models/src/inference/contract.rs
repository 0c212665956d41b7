//! What a model's file takes and gives, compared with what the registry states: what is stated must hold, and what is not is read from the
//! file.

use jhalak_common::models::{Model, NumberKind, TensorFacts, Tensors};
use jhalak_common::{Error, Result};
use ort::value::{Outlet, TensorElementType, ValueType};

/// A model's tensors, in the order in which callers give and get them.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// What it takes.
    pub inputs: Vec<TensorShape>,
    /// What it gives.
    pub outputs: Vec<TensorShape>,
    /// How many rows (pictures, clips, windows) one inference takes.
    pub rows: Rows,
}

/// A tensor's name, shape and numbers; -1 is any length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorShape {
    /// Its name in the file.
    pub name: String,
    /// The length of each dimension.
    pub shape: Vec<i64>,
    /// The type of its numbers in the file; callers give and get f32.
    pub kind: NumberKind,
}

/// How many rows one inference takes: the first dimension of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Any number, and each row's answer is a row of the output.
    Free,
    /// Exactly so many.
    Fixed(usize),
}

impl Contract {
    /// Compares the file's tensors with the entry of `model`.
    ///
    /// # Errors
    /// InvalidInput that names the entry, the field and what the file has.
    pub(super) fn of(model: &Model, inputs: &[Outlet], outputs: &[Outlet]) -> Result<Contract> {
        let named = |e: Error| e.context(format!("the model {} ({})", model.name, model.file.display()));
        let inputs = resolve("input", &model.input, inputs).map_err(named)?;
        let outputs = resolve("output", &model.output, outputs).map_err(named)?;
        let wanted = if model.waveform.as_ref().is_some_and(|w| w.moments.is_some()) { 2 } else { 1 };
        if inputs.len() != wanted {
            return Err(named(Error::invalid(format!(
                "it takes {} inputs ({}), and a model that is fed as the entry says takes {wanted}",
                inputs.len(),
                list(&inputs)
            ))));
        }
        let rows = rows(&inputs, &outputs);
        Ok(Contract { inputs, outputs, rows })
    }

    /// Whether inputs of these shapes are taken.
    ///
    /// # Errors
    /// InvalidInput that names the model, the input and both shapes.
    pub(super) fn check(&self, model: &str, shapes: &[&[usize]]) -> Result<()> {
        if shapes.len() != self.inputs.len() {
            return Err(Error::bug(format!(
                "the model {model} takes {} inputs and was given {}",
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
                    "the model {model} takes `{}` of shape {:?}, and was given {shape:?}{}",
                    input.name,
                    input.shape,
                    if index == 0 { ": compare its sizes and layout in the registry" } else { "" }
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
            return Err(Error::invalid(format!("state which output is read as output.name: {}", has())));
        }
        return outlets.iter().map(|o| shape_of(field, &TensorFacts::default(), o)).collect();
    }
    if field == "input" && stated.0.len() < outlets.len() {
        return Err(Error::invalid(format!("the entry states {} of its inputs, and {}", stated.0.len(), has())));
    }
    let mut found = Vec::new();
    for (index, facts) in stated.0.iter().enumerate() {
        let outlet = match &facts.name {
            Some(name) => outlets
                .iter()
                .find(|o| o.name() == name)
                .ok_or_else(|| Error::invalid(format!("the file has no {field} `{name}`: {}", has())))?,
            None if stated.0.len() == outlets.len() => &outlets[index],
            None => return Err(Error::invalid(format!("state {field}.name: {}", has()))),
        };
        found.push(shape_of(field, facts, outlet)?);
    }
    Ok(found)
}

fn shape_of(field: &str, stated: &TensorFacts, outlet: &Outlet) -> Result<TensorShape> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(Error::invalid(format!("the {field} `{}` is no tensor but {}", outlet.name(), outlet.dtype())));
    };
    let Some(kind) = kind_of(*ty) else {
        return Err(Error::invalid(format!(
            "the {field} `{}` holds {ty}, and float32 and float16 are what can be used: export the model with such tensors at its edges",
            outlet.name()
        )));
    };
    if let Some(stated) = stated.kind.filter(|&stated| stated != kind) {
        return Err(Error::invalid(format!(
            "{field}.type is {} in the entry, and `{}` is {} in the file",
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
    // A file that says nothing at all of an output's shape leaves it to the entry.
    let unsaid = file.is_empty() && field == "output";
    if !unsaid && (file.len() != wanted.len() || !wanted.iter().zip(&file).all(agrees)) {
        return Err(Error::invalid(format!(
            "{field}.shape is {wanted:?} in the entry, and `{}` is {file:?} in the file",
            outlet.name()
        )));
    }
    let shape = if unsaid {
        wanted.clone()
    } else {
        wanted.iter().zip(&file).map(|(&want, &have)| if want < 0 { have } else { want }).collect()
    };
    Ok(TensorShape { name: outlet.name().into(), shape, kind })
}

/// How the kind of a tensor in a file is called here; none where its numbers cannot be used.
fn kind_of(element: TensorElementType) -> Option<NumberKind> {
    match element {
        TensorElementType::Float32 => Some(NumberKind::Float32),
        TensorElementType::Float16 => Some(NumberKind::Float16),
        _ => None,
    }
}

/// Rows are free only where every tensor says so: a file whose output has a fixed first dimension mixes its rows, or drops them.
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
