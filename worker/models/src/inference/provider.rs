//! What computes: the processor, or with the feature `cuda` a GPU. What is asked for and is not there is an error, never the processor in
//! silence.

use jhalak_common::settings::{InferenceSettings, Provider};
use jhalak_common::{Error, Result};
use ort::ep;
use ort::session::builder::SessionBuilder;

/// Adds the provider that is asked for to a session that is being built.
///
/// # Errors
/// Transient (a service unreachable) where the provider is not in this program, not in the library, or does not start.
pub(super) fn apply(builder: SessionBuilder, inference: &InferenceSettings) -> Result<SessionBuilder> {
    match inference.provider {
        Provider::Cpu if inference.arena => Ok(builder),
        Provider::Cpu => builder
            .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])
            .map_err(|e| Error::bug("the processor's provider refuses its settings").with_source(e.to_string())),
        #[cfg(feature = "cuda")]
        asked => gpu::apply(builder, asked, inference),
        #[cfg(not(feature = "cuda"))]
        asked => Err(Error::transient(format!(
            "inference.provider is {}, and this program was built without it: build with `--features cuda`, or set cpu",
            asked.name()
        ))),
    }
}

#[cfg(feature = "cuda")]
mod gpu {
    use ort::ep::ExecutionProvider;

    use super::*;

    pub(super) fn apply(
        builder: SessionBuilder,
        asked: Provider,
        inference: &InferenceSettings,
    ) -> Result<SessionBuilder> {
        let (available, name) = match asked {
            Provider::Tensorrt => (ep::TensorRT::is_available(), ep::TensorRT::NAME),
            _ => (ep::CUDA::is_available(), ep::CUDA::NAME),
        };
        let words = |why: String| {
            Error::transient(format!(
                "inference.provider is {}, and it cannot be used: {why}; use the library of the package onnxruntime-gpu (models.onnxruntime) on a machine with an NVIDIA GPU, or set cpu",
                asked.name()
            ))
        };
        if !available.map_err(|e| words(e.to_string()))? {
            return Err(words(format!("the ONNX Runtime library has no {name}")));
        }
        let device = i32::try_from(inference.device).map_err(|_| words(format!("no device {}", inference.device)))?;
        let cuda = || ep::CUDA::default().with_device_id(device).build().error_on_failure();
        let providers = match asked {
            Provider::Tensorrt => {
                vec![ep::TensorRT::default().with_device_id(device).build().error_on_failure(), cuda()]
            }
            _ => vec![cuda()],
        };
        builder.with_execution_providers(providers).map_err(|e| words(e.to_string()))
    }
}
