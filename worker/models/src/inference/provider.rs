//! Execution providers: the CPU, or a GPU with the feature `cuda`. A configured provider that is
//! missing is an error; there is no silent fallback to the CPU.

use jhalak_common::settings::{InferenceSettings, Provider};
use jhalak_common::{Error, Result};
use ort::ep;
use ort::session::builder::SessionBuilder;

/// Adds the configured provider to a session builder.
///
/// # Errors
/// Unable (this machine cannot do it) if this program or the library lacks the provider, or it
/// does not start.
pub(super) fn apply(builder: SessionBuilder, inference: &InferenceSettings) -> Result<SessionBuilder> {
    match inference.provider {
        Provider::Cpu if inference.arena => Ok(builder),
        Provider::Cpu => builder
            .with_execution_providers([ep::CPU::default().with_arena_allocator(false).build()])
            .map_err(|e| Error::bug("the CPU provider refused its settings").with_source(e.to_string())),
        #[cfg(feature = "cuda")]
        provider => gpu::apply(builder, provider, inference),
        #[cfg(not(feature = "cuda"))]
        provider => Err(Error::unable(format!(
            "inference.provider is {}, but this program was built without it: build with `--features cuda`, or set cpu",
            provider.name()
        ))),
    }
}

#[cfg(feature = "cuda")]
mod gpu {
    use ort::ep::ExecutionProvider;

    use super::*;

    pub(super) fn apply(
        builder: SessionBuilder,
        provider: Provider,
        inference: &InferenceSettings,
    ) -> Result<SessionBuilder> {
        let (available, name) = match provider {
            Provider::Tensorrt => (ep::TensorRT::is_available(), ep::TensorRT::NAME),
            _ => (ep::CUDA::is_available(), ep::CUDA::NAME),
        };
        let unusable = |why: String| {
            Error::unable(format!(
                "inference.provider is {}, but it is not usable: {why}; use the library of the package onnxruntime-gpu (models.onnxruntime) on a machine with an NVIDIA GPU, or set cpu",
                provider.name()
            ))
        };
        if !available.map_err(|e| unusable(e.to_string()))? {
            return Err(unusable(format!("the ONNX Runtime library has no {name}")));
        }
        let device =
            i32::try_from(inference.device).map_err(|_| unusable(format!("no device {}", inference.device)))?;
        let cuda = || ep::CUDA::default().with_device_id(device).build().error_on_failure();
        let providers = match provider {
            Provider::Tensorrt => {
                vec![ep::TensorRT::default().with_device_id(device).build().error_on_failure(), cuda()]
            }
            _ => vec![cuda()],
        };
        builder.with_execution_providers(providers).map_err(|e| unusable(e.to_string()))
    }
}
