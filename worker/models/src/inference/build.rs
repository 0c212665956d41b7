//! Builds ONNX Runtime sessions from the bytes of a model file.

use std::path::Path;

use jhalak_common::settings::InferenceSettings;
use jhalak_common::{Error, Result};
use jhalak_onnx::external_weights::weights_outside;
use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;

use super::provider;

/// Builds a session. With `profile`, the session writes the time and provider of each node to a
/// file with this prefix.
pub(super) fn build(
    environment: &Environment,
    bytes: &[u8],
    inference: &InferenceSettings,
    profile: Option<&Path>,
) -> Result<ort::session::Session> {
    fn refused<T>(result: Result<T, impl std::fmt::Display>) -> Result<T> {
        result.map_err(|e| Error::invalid(e.to_string()))
    }
    // ONNX Runtime would look for the file in the current folder, and no checksum covers it.
    if let Some(other) = weights_outside(bytes) {
        return Err(Error::invalid(format!(
            "its weights are in another file, {other}, but a model must be one file, identified by its checksum; to embed them: \
             python3 -c 'import onnx; onnx.save(onnx.load(\"OLD.onnx\"), \"NEW.onnx\")'"
        )));
    }
    let builder = refused(ort::session::Session::builder(environment))?;
    let builder = refused(builder.with_optimization_level(GraphOptimizationLevel::All))?;
    let builder = refused(builder.with_intra_threads(inference.threads))?;
    let builder = refused(builder.with_inter_threads(1))?;
    let builder = refused(builder.with_memory_pattern(inference.arena))?;
    // Threads that spin while they wait would take cores from other jobs.
    let builder = refused(builder.with_intra_op_spinning(false))?;
    let builder = match profile {
        Some(path) => refused(builder.with_profiling(path))?,
        None => builder,
    };
    let mut builder = provider::apply(builder, inference)?;
    refused(builder.commit_from_memory(bytes))
}
