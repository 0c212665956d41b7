//! Builds ONNX Runtime sessions from the bytes of a model file.

use std::path::Path;

use jhalak_common::settings::InferenceSettings;
use jhalak_common::{Error, Result};
use jhalak_onnx::external_weights::weights_outside;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;

use super::provider;

/// Builds a session; with `profile`, one that writes what each node cost and where it ran to a file of that beginning.
pub(super) fn build(
    environment: &Environment,
    bytes: &[u8],
    inference: &InferenceSettings,
    profile: Option<&Path>,
) -> Result<ort::session::Session> {
    fn refused<T>(result: Result<T, impl std::fmt::Display>) -> Result<T> {
        result.map_err(|e| Error::invalid(e.to_string()))
    }
    // ONNX Runtime would look for it in the current folder, and no checksum speaks of it.
    if let Some(other) = weights_outside(bytes) {
        return Err(Error::invalid(format!(
            "its weights lie in another file, {other}, and a model is one file here, known by its checksum; to put them inside: \
             python3 -c 'import onnx; onnx.save(onnx.load(\"OLD.onnx\"), \"NEW.onnx\")'"
        )));
    }
    let builder = refused(ort::session::Session::builder(environment))?;
    let builder = refused(builder.with_optimization_level(GraphOptimizationLevel::All))?;
    let builder = refused(builder.with_intra_threads(inference.threads))?;
    let builder = refused(builder.with_inter_threads(1))?;
    let builder = refused(builder.with_memory_pattern(inference.arena))?;
    // Threads that spin while they wait would take the cores of the jobs beside them.
    let builder = refused(builder.with_intra_op_spinning(false))?;
    let builder = match profile {
        Some(path) => refused(builder.with_profiling(path))?,
        None => builder,
    };
    let mut builder = provider::apply(builder, inference)?;
    refused(builder.commit_from_memory(bytes))
}
