//! One model: a thread that owns the ONNX Runtime session, collects requests of the jobs in flight
//! into batches and replies to them.
//!
//! Requests arrive through a bounded channel: a caller waits while it is full, so that memory is
//! bounded by the number of jobs and not by their rate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use jhalak_common::hash;
use jhalak_common::models::Model;
use jhalak_common::settings::InferenceSettings;
use jhalak_common::telemetry::list::{INFERENCE_BATCH, INFERENCE_DURATION, INFERENCE_QUEUE, INFERENCE_ROWS};
use jhalak_common::{Error, Result};
use jhalak_onnx::file_facts::{self, FileFacts};
use ort::environment::Environment;
use ort::session::SessionInputValue;
use tokio::sync::oneshot;

use super::batch::{self, Tensor};
use super::build::build;
use super::contract::{Contract, Rows};
use super::{float16, nan_trace};

/// Capacity of the channel; further callers block.
const MAX_QUEUED: usize = 4;

struct Request {
    inputs: Vec<Tensor>,
    sent: Instant,
    answer: oneshot::Sender<Result<Vec<Tensor>>>,
}

impl Request {
    fn rows(&self) -> usize {
        self.inputs.first().map_or(1, Tensor::rows)
    }

    fn answer(self, answer: Result<Vec<Tensor>>) {
        // The caller may be gone.
        let _ = self.answer.send(answer);
    }
}

/// A loaded model.
pub struct Session {
    name: String,
    contract: Contract,
    facts: FileFacts,
    requests: SyncSender<Request>,
    inferences: Arc<AtomicU64>,
}

impl Session {
    /// Loads `model` from `folder` and starts its thread.
    ///
    /// # Errors
    /// InvalidInput if the file is missing, has another checksum, is not ONNX or has other tensors
    /// than its registry entry; Transient if the configured provider is not usable.
    pub(super) fn load(
        environment: &Environment,
        model: &Model,
        folder: &Path,
        inference: &InferenceSettings,
    ) -> Result<Session> {
        let path = folder.join(&model.file);
        let bytes = std::fs::read(&path).map_err(|e| {
            Error::invalid(format!(
                "the model {} is not at {}: {}, or set models.folder",
                model.name,
                path.display(),
                model.advice_if_missing()
            ))
            .with_source(e)
        })?;
        let found = hash::of_bytes(&bytes);
        if found != model.sha256 {
            return Err(Error::invalid(format!(
                "{} is not the model {} of the registry: its SHA-256 is {found}, expected {}; {}",
                path.display(),
                model.name,
                model.sha256,
                model.advice_if_missing()
            )));
        }
        model.check_length(bytes.len() as u64)?;
        let session = build(environment, &bytes, inference, None)
            .map_err(|e| e.context(format!("the model {} ({}) cannot be loaded", model.name, path.display())))?;
        let facts = file_facts::of(&bytes).unwrap_or_default();
        let contract = Contract::of(model, session.inputs(), session.outputs())?;
        let (requests, inbox) = sync_channel(MAX_QUEUED);
        let inferences = Arc::new(AtomicU64::new(0));
        let session_thread = SessionThread {
            inferences: inferences.clone(),
            session,
            model: model.name.clone(),
            environment: environment.clone(),
            inference: inference.clone(),
            path,
            rows: contract.rows,
            contract: contract.clone(),
            limit: inference.gathered_rows(),
            wait: Duration::from_millis(inference.wait_ms),
            // New shapes are slow on a GPU: pad batches to a power of two there.
            pad: !inference.provider.is_cpu(),
        };
        thread::Builder::new()
            .name(format!("model {}", model.name))
            .spawn(move || session_thread.serve(&inbox))
            .map_err(|e| Error::from(e).context("cannot start the thread of a model"))?;
        Ok(Session { name: model.name.clone(), contract, facts, requests, inferences })
    }

    /// Returns the inputs and outputs of the model.
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// Returns what the file states about itself.
    pub fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// Returns the number of inferences: fewer than requests if some were batched.
    pub fn inferences(&self) -> u64 {
        self.inferences.load(Ordering::Relaxed)
    }

    /// Runs a model of one input and returns its first output. See [`Session::run_all`].
    pub fn run(&self, input: Tensor) -> Result<Tensor> {
        let first = self.run_all(vec![input])?.into_iter().next();
        first.ok_or_else(|| Error::invalid(format!("the model {} has no output", self.name)))
    }

    /// Runs the model. The first dimension of inputs and outputs is rows; a file for a fixed number
    /// of rows is run as often as necessary. This blocks: do not call it from async code.
    ///
    /// # Errors
    /// InvalidInput if the model does not accept the shape, or if an output is not finite.
    pub fn run_all(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape.as_slice()).collect();
        self.contract.check(&self.name, &shapes)?;
        let gone = || Error::bug(format!("the thread of the model {} ended", self.name));
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { inputs, sent: Instant::now(), answer }).map_err(|_| gone())?;
        answered.blocking_recv().map_err(|_| gone())?
    }
}

/// The thread of a model.
struct SessionThread {
    inferences: Arc<AtomicU64>,
    session: ort::session::Session,
    model: String,
    /// Input of the session, needed to trace outputs that are not finite.
    environment: Environment,
    inference: InferenceSettings,
    path: PathBuf,
    contract: Contract,
    rows: Rows,
    limit: usize,
    wait: Duration,
    pad: bool,
}

impl SessionThread {
    fn serve(mut self, inbox: &Receiver<Request>) {
        let mut left_over = None;
        loop {
            let Some(first) = left_over.take().or_else(|| inbox.recv().ok()) else { return };
            let mut batch = vec![first];
            if self.rows == Rows::Free {
                left_over = self.collect_batch(&mut batch, inbox);
            }
            self.answer(batch);
        }
    }

    /// Adds requests that fit until the batch is full or the time is over. Returns a received
    /// request that did not fit.
    fn collect_batch(&self, batch: &mut Vec<Request>, inbox: &Receiver<Request>) -> Option<Request> {
        let mut rows: usize = batch.iter().map(Request::rows).sum();
        let until = Instant::now() + self.wait;
        while rows < self.limit {
            let next = match inbox.try_recv() {
                Ok(next) => next,
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(next) => next,
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
                },
            };
            if rows + next.rows() > self.limit || !batch::fit_together(&batch[0].inputs, &next.inputs) {
                return Some(next);
            }
            rows += next.rows();
            batch.push(next);
        }
        None
    }

    fn answer(&mut self, mut batch: Vec<Request>) {
        for request in &batch {
            INFERENCE_QUEUE.observe(&[&self.model], request.sent.elapsed().as_secs_f64());
        }
        if batch.len() > 1 {
            match self.run_together(&batch) {
                Ok(answers) => {
                    for (request, answer) in batch.into_iter().zip(answers) {
                        self.note_rows(request.rows());
                        let checked = self.finite(&request.inputs, answer);
                        request.answer(checked);
                    }
                    return;
                }
                // Running each request alone shows which one fails.
                Err(error) => {
                    tracing::warn!(model = %self.model, requests = batch.len(), error = %error.chain(), "a batch failed: running its requests one by one")
                }
            }
        }
        for request in batch.drain(..) {
            let answer = self.run_alone(&request.inputs).and_then(|outputs| {
                self.note_rows(request.rows());
                self.finite(&request.inputs, outputs)
            });
            request.answer(answer);
        }
    }

    fn run_together(&mut self, batch: &[Request]) -> Result<Vec<Vec<Tensor>>> {
        let rows: Vec<usize> = batch.iter().map(Request::rows).collect();
        let total: usize = rows.iter().sum();
        let padded = self.padded(total);
        let requests: Vec<&[Tensor]> = batch.iter().map(|r| r.inputs.as_slice()).collect();
        let outputs = self.infer(&batch::join(&requests, padded - total))?;
        batch::split(&outputs, &rows, padded)
    }

    fn run_alone(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let rows = inputs.first().map_or(1, Tensor::rows);
        match self.rows {
            Rows::Free if self.padded(rows) == rows => self.infer(inputs),
            Rows::Free => {
                let padded = self.padded(rows);
                let outputs = self.infer(&batch::join(&[inputs], padded - rows))?;
                let mut groups = batch::split(&outputs, &[rows], padded)?;
                groups.pop().ok_or_else(|| Error::bug("a split batch has no groups"))
            }
            // No rows, or exactly as many as the file takes: run as is.
            Rows::Fixed(fixed) if rows == fixed || inputs.iter().any(|t| t.shape.len() < 2) => self.infer(inputs),
            Rows::Fixed(fixed) => {
                let mut all = Vec::new();
                for start in (0..rows).step_by(fixed) {
                    let part: Vec<Tensor> = inputs.iter().map(|t| t.slice(start..start + fixed, fixed)).collect();
                    let outputs = self.infer(&part)?;
                    let kept = fixed.min(rows - start);
                    let mut groups = batch::split(&outputs, &[kept], fixed)
                        .map_err(|e| e.context(format!("the model {}", self.model)))?;
                    batch::append(&mut all, groups.pop().unwrap_or_default());
                }
                Ok(all)
            }
        }
    }

    fn note_rows(&self, rows: usize) {
        INFERENCE_ROWS.add(&[&self.model, self.inference.provider.name()], rows as f64);
    }

    fn padded(&self, rows: usize) -> usize {
        if self.pad { rows.next_power_of_two() } else { rows }
    }

    fn infer(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let model = self.model.as_str();
        let failed = |e: ort::Error| {
            let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape.as_slice()).collect();
            Error::invalid(format!("the model {model} failed on an input of shape {shapes:?}"))
                .with_source(e.to_string())
        };
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for (facts, tensor) in self.contract.inputs.iter().zip(inputs) {
            values.push((facts.name.as_str(), float16::to_value(facts, &tensor.shape, &tensor.data).map_err(failed)?));
        }
        if let (Some(facts), Some(first)) = (&self.contract.sizes, inputs.first()) {
            let value = float16::sizes_value(facts, &first.shape).map_err(failed)?;
            values.push((facts.name.as_str(), value));
        }
        self.inferences.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let outputs = self.session.run(values).map_err(failed)?;
        let provider = self.inference.provider.name();
        INFERENCE_DURATION.observe(&[model, provider], began.elapsed().as_secs_f64());
        INFERENCE_BATCH.observe(&[model], inputs.first().map_or(1, Tensor::rows) as f64);
        let mut found = Vec::with_capacity(self.contract.outputs.len());
        for facts in &self.contract.outputs {
            let value = outputs
                .get(&facts.name)
                .ok_or_else(|| Error::invalid(format!("the model {model} returned no output `{}`", facts.name)))?;
            let (shape, data) = float16::from_value(value).map_err(|e| {
                Error::invalid(format!("the output `{}` of the model {model} is not a tensor of floats", facts.name))
                    .with_source(e.to_string())
            })?;
            found.push(Tensor { shape, data });
        }
        Ok(found)
    }

    /// Refuses outputs that are not finite: no later step could use them.
    fn finite(&self, inputs: &[Tensor], outputs: Vec<Tensor>) -> Result<Vec<Tensor>> {
        for (facts, output) in self.contract.outputs.iter().zip(&outputs) {
            if let Some(index) = first_not_finite(&output.data) {
                return Err(Error::invalid(format!(
                    "the model {} returned {} at index {index} of its output `{}` {:?}; {}",
                    self.model,
                    output.data[index],
                    facts.name,
                    output.shape,
                    self.cause(inputs)
                )));
            }
        }
        Ok(outputs)
    }

    /// Describes the cause of an output that is not finite.
    fn cause(&self, inputs: &[Tensor]) -> String {
        let named = self.contract.inputs.iter().zip(inputs);
        if let Some((facts, _)) = named.clone().find(|(_, input)| input.data.iter().any(|v| !v.is_finite())) {
            return format!("its input `{}` is not finite already", facts.name);
        }
        let trace = || {
            let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
            for (facts, tensor) in named {
                let value = float16::to_value(facts, &tensor.shape, &tensor.data);
                values.push((facts.name.as_str(), value.map_err(|e| Error::invalid(e.to_string()))?));
            }
            let file = std::fs::read(&self.path)?;
            nan_trace::first_bad_node(&self.environment, file, &self.inference, values)
        };
        match trace() {
            Ok(Some(node)) => {
                format!("the first such node is {node}: its weights are damaged, or its input is out of range")
            }
            Ok(None) => "no single node causes it: its weights or its input are damaged".to_owned(),
            Err(error) => format!("its weights or its input are damaged ({})", error.chain()),
        }
    }
}

/// Returns the index of the first value that is not finite. Checks whole blocks at once, which the
/// compiler vectorizes.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    const BLOCK: usize = 1_024;
    let block = values.chunks(BLOCK).position(|block| !block.iter().fold(true, |all, v| all & v.is_finite()))?;
    let start = block * BLOCK;
    values[start..].iter().position(|v| !v.is_finite()).map(|index| start + index)
}

#[cfg(test)]
mod tests {
    use super::first_not_finite;

    #[test]
    fn the_first_value_that_is_not_finite_is_found_at_any_index() {
        for length in [0, 1, 1_023, 1_024, 1_025, 5_000] {
            let mut values = vec![f32::MAX; length];
            assert_eq!(first_not_finite(&values), None);
            for bad in (0..length).rev().step_by(511) {
                values[bad] = if bad % 2 == 0 { f32::NAN } else { f32::NEG_INFINITY };
                assert_eq!(first_not_finite(&values), Some(bad));
            }
        }
    }
}
