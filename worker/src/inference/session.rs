//! One model: a thread that owns the ONNX Runtime session and answers requests in turn.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use jhalak_common::hash;
use jhalak_common::models::Model;
use jhalak_common::{Error, Result};
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use tokio::sync::oneshot;

/// Requests that may wait for the session; a caller beyond that waits.
const WAITING: usize = 4;

/// A tensor of f32, its last dimension contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The values; as many as the product of the shape.
    pub data: Vec<f32>,
}

struct Request {
    input: Tensor,
    answer: oneshot::Sender<Result<Tensor>>,
}

/// A loaded model.
pub struct Session {
    name: String,
    requests: SyncSender<Request>,
}

impl Session {
    /// Loads `model` from `folder` and starts its thread.
    ///
    /// # Errors
    /// InvalidInput where the file is missing, has another checksum, is no ONNX or has other tensors than the registry says.
    pub(super) fn load(environment: &Environment, model: &Model, folder: &Path, threads: usize) -> Result<Session> {
        let path = folder.join(&model.file);
        let bytes = std::fs::read(&path).map_err(|e| {
            Error::invalid(format!(
                "the model {} is not at {}: run `make setup`, or set models.folder",
                model.name,
                path.display()
            ))
            .with_source(e)
        })?;
        let found = hash::of_bytes(&bytes);
        if found != model.sha256 {
            return Err(Error::invalid(format!(
                "{} is not the model {} of the registry: its SHA-256 is {found} and not {}; delete it and run `make setup`",
                path.display(),
                model.name,
                model.sha256
            )));
        }
        let session = build(environment, &bytes, threads)
            .map_err(|e| Error::invalid(format!("{} cannot be loaded: {e}", path.display())))?;
        let has = |outlets: &[ort::value::Outlet], name: &str| outlets.iter().any(|o| o.name() == name);
        if !has(session.inputs(), &model.input.name) || !has(session.outputs(), &model.output.name) {
            return Err(Error::invalid(format!(
                "{} has no input `{}` or no output `{}` as the registry says",
                path.display(),
                model.input.name,
                model.output.name
            )));
        }
        let (requests, inbox) = sync_channel(WAITING);
        let facts = model.clone();
        thread::Builder::new()
            .name(format!("model {}", model.name))
            .spawn(move || serve(session, &facts, &inbox))
            .map_err(|e| Error::from(e).context("the thread of a model"))?;
        Ok(Session { name: model.name.clone(), requests })
    }

    /// Runs the model on one input. Callers wait their turn; a full inbox blocks, so call this off the async threads.
    ///
    /// # Errors
    /// InvalidInput for a shape that the model does not take, Bug for values that are not finite numbers.
    pub fn run(&self, input: Tensor) -> Result<Tensor> {
        let gone = || Error::bug(format!("the thread of the model {} ended", self.name));
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { input, answer }).map_err(|_| gone())?;
        answered.blocking_recv().map_err(|_| gone())?
    }
}

fn build(environment: &Environment, bytes: &[u8], threads: usize) -> Result<ort::session::Session, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    ort::session::Session::builder(environment)
        .map_err(|e| text(&e))?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|e| text(&e))?
        .with_intra_threads(threads)
        .map_err(|e| text(&e))?
        .with_inter_threads(1)
        .map_err(|e| text(&e))?
        .commit_from_memory(bytes)
        .map_err(|e| text(&e))
}

fn serve(mut session: ort::session::Session, model: &Model, inbox: &Receiver<Request>) {
    while let Ok(request) = inbox.recv() {
        // A caller that has gone away needs no answer.
        let _ = request.answer.send(infer(&mut session, model, &request.input));
    }
}

fn infer(session: &mut ort::session::Session, model: &Model, input: &Tensor) -> Result<Tensor> {
    let refused = |e: ort::Error| {
        Error::invalid(format!("the model {} does not take an input of shape {:?}", model.name, input.shape))
            .with_source(e.to_string())
    };
    check_shape(&input.shape, &model.input.shape).map_err(|()| {
        Error::invalid(format!(
            "the model {} takes `{}` of shape {:?}, not {:?}",
            model.name, model.input.name, model.input.shape, input.shape
        ))
    })?;
    let value = TensorRef::from_array_view((input.shape.clone(), input.data.as_slice())).map_err(refused)?;
    let outputs = session.run(ort::inputs![model.input.name.as_str() => value]).map_err(refused)?;
    let (shape, data) = outputs[model.output.name.as_str()].try_extract_tensor::<f32>().map_err(|e| {
        Error::invalid(format!("the output `{}` of the model {} is no f32 tensor", model.output.name, model.name))
            .with_source(e.to_string())
    })?;
    if let Some(place) = data.iter().position(|v| !v.is_finite()) {
        return Err(Error::bug(format!(
            "the model {} gave {} at place {place} of `{}`",
            model.name, data[place], model.output.name
        )));
    }
    let shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    Ok(Tensor { shape, data: data.to_vec() })
}

fn check_shape(shape: &[usize], wanted: &[i64]) -> Result<(), ()> {
    let fits = |&(have, want): &(&usize, &i64)| *want < 0 || i64::try_from(*have) == Ok(*want);
    if shape.len() == wanted.len() && shape.iter().zip(wanted).all(|pair| fits(&pair)) { Ok(()) } else { Err(()) }
}
