//! The inputs and outputs of a model file, compared with its registry entry: what the entry states
//! must hold, and the rest is read from the file.

use jhalak_common::models::{Decode, Model, NumberKind, Role, TensorFacts, Tensors};
use jhalak_common::{Error, Result};
use ort::value::{Outlet, TensorElementType, ValueType};

use super::detector_outputs;

/// The inputs and outputs of a model, in the order in which callers pass and receive them.
#[derive(Debug, Clone, PartialEq)]
pub struct Contract {
    /// Inputs.
    pub inputs: Vec<TensorShape>,
    /// Outputs.
    pub outputs: Vec<TensorShape>,
    /// Number of rows (pictures, clips, windows) of one inference.
    pub rows: Rows,
    /// A further input that gets width and height of each row of the first.
    pub sizes: Option<TensorShape>,
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
    /// Compares the tensors of the file with the entry of `model`. Of several outputs, a detector
    /// reads those of its layout.
    ///
    /// # Errors
    /// InvalidInput; the message names the entry, the field and the tensors of the file.
    pub(super) fn of(model: &Model, inputs: &[Outlet], outputs: &[Outlet]) -> Result<Contract> {
        let named = |e: Error| e.context(format!("the model {} ({})", model.name, model.file.display()));
        let kinds = if model.role == Role::Detector { &ANY_NUMBER[..] } else { &FLOATS[..] };
        let decode = model.detector.as_ref().map(|how| how.decode);
        refuse_other_inputs(model, inputs).map_err(named)?;
        let (sized, inputs): (Vec<&Outlet>, Vec<&Outlet>) =
            inputs.iter().partition(|input| decode == Some(Decode::DFine) && takes_sizes(input));
        let sizes = sized.first().map(|input| shape_of("input", &TensorFacts::default(), input, &ANY_NUMBER));
        let sizes = sizes.transpose().map_err(named)?;
        let inputs = resolve("input", &model.input, &inputs, &FLOATS).map_err(named)?;
        let outputs: Vec<&Outlet> = outputs.iter().collect();
        let chosen = match &model.detector {
            Some(how) if model.output.0.is_empty() => outputs_of_detector(how.decode, &outputs).map_err(named)?,
            _ => model.output.clone(),
        };
        let outputs = resolve("output", &chosen, &outputs, kinds).map_err(named)?;
        let wanted = if model.waveform.as_ref().is_some_and(|w| w.moments.is_some()) { 2 } else { 1 };
        if inputs.len() != wanted {
            return Err(named(Error::invalid(format!(
                "it has {} inputs ({}), but a model of this entry must have {wanted}",
                inputs.len(),
                list(&inputs)
            ))));
        }
        let rows = rows(&inputs, &outputs);
        Ok(Contract { inputs, outputs, rows, sizes })
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

/// Types of numbers that callers pass and receive.
const FLOATS: [NumberKind; 2] = [NumberKind::Float32, NumberKind::Float16];
/// Types of the outputs of detectors: numbers of boxes and classes may be integers.
const ANY_NUMBER: [NumberKind; 4] = [NumberKind::Float32, NumberKind::Float16, NumberKind::Int32, NumberKind::Int64];

/// Returns the outputs that a detector with this layout reads.
fn outputs_of_detector(decode: Decode, outlets: &[&Outlet]) -> Result<Tensors> {
    let shape = |outlet: &&Outlet| match outlet.dtype() {
        ValueType::Tensor { shape, .. } => shape.iter().copied().collect(),
        _ => Vec::new(),
    };
    let all: Vec<_> = outlets.iter().map(|o| (o.name().to_owned(), shape(o))).collect();
    detector_outputs::choose(decode, &all)
}

/// Refuses inputs that nothing here can fill, with the way to export the model without them.
fn refuse_other_inputs(model: &Model, inputs: &[Outlet]) -> Result<()> {
    let has = |word: &str| inputs.iter().map(Outlet::name).find(|name| name.contains(word));
    let is_several = inputs.len() > 1;
    if let Some(name) = has("mask").filter(|_| is_several) {
        return Err(Error::invalid(format!(
            "it has a second input, `{name}`, which marks padding; nothing here is padded: export the model with its first input alone (in PyTorch: torch.onnx.export(model, (values,), ..., input_names=[\"{}\"]))",
            inputs[0].name()
        )));
    }
    if let Some(name) = has("input_ids") {
        return Err(Error::invalid(format!(
            "it takes text (`{name}`), but only pictures and sound are embedded: export its picture or sound part alone"
        )));
    }
    let is_d_fine = model.detector.as_ref().is_some_and(|how| how.decode == Decode::DFine);
    if let Some(input) = inputs.iter().find(|input| takes_sizes(input) && model.role == Role::Detector && !is_d_fine) {
        return Err(Error::invalid(format!(
            "its input `{}` takes the size of the picture, as in exports of D-FINE, DEIM and RT-DETR: set detector.decode = \"d-fine\"",
            input.name()
        )));
    }
    if let Some(name) = has("im_shape").or(has("scale_factor")).filter(|_| model.role == Role::Detector) {
        return Err(Error::invalid(format!(
            "its input `{name}` takes the size of the picture, as in exports of PaddleDetection, which are not read: export it through Ultralytics (1 x 300 x 84), or without postprocessing"
        )));
    }
    Ok(())
}

/// Whether an input takes the size of the picture, which detectors with postprocessing inside scale
/// their boxes to.
fn takes_sizes(input: &Outlet) -> bool {
    ["orig_target_sizes", "target_sizes", "orig_size", "orig_im_size"].contains(&input.name())
}

fn resolve(field: &str, stated: &Tensors, outlets: &[&Outlet], kinds: &[NumberKind]) -> Result<Vec<TensorShape>> {
    let has = || {
        let all: Vec<String> = outlets.iter().map(|o| format!("`{}` {}", o.name(), o.dtype())).collect();
        format!("the file has {}", if all.is_empty() { "none".into() } else { all.join(", ") })
    };
    if stated.0.is_empty() {
        if field == "output" && outlets.len() > 1 {
            return Err(Error::invalid(format!("set output.name to the output to read: {}", has())));
        }
        return outlets.iter().map(|o| shape_of(field, &TensorFacts::default(), o, kinds)).collect();
    }
    if field == "input" && stated.0.len() < outlets.len() {
        return Err(Error::invalid(format!("the entry lists {} inputs, but {}", stated.0.len(), has())));
    }
    let mut found = Vec::new();
    for (index, facts) in stated.0.iter().enumerate() {
        let outlet = match &facts.name {
            Some(name) => outlets
                .iter()
                .copied()
                .find(|o| o.name() == name)
                .ok_or_else(|| Error::invalid(format!("the file has no {field} `{name}`: {}", has())))?,
            None if stated.0.len() == outlets.len() => outlets[index],
            None => return Err(Error::invalid(format!("set {field}.name: {}", has()))),
        };
        found.push(shape_of(field, facts, outlet, kinds)?);
    }
    Ok(found)
}

fn shape_of(field: &str, stated: &TensorFacts, outlet: &Outlet, kinds: &[NumberKind]) -> Result<TensorShape> {
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(Error::invalid(format!("the {field} `{}` is not a tensor but {}", outlet.name(), outlet.dtype())));
    };
    let Some(kind) = kind_of(*ty).filter(|kind| kinds.contains(kind)) else {
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
        TensorElementType::Int32 => Some(NumberKind::Int32),
        TensorElementType::Int64 => Some(NumberKind::Int64),
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
