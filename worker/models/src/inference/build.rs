//! Builds ONNX Runtime sessions from the bytes of a model file.

use std::path::Path;

use jhalak_common::settings::InferenceSettings;
use jhalak_common::{Error, Result};
use jhalak_onnx::external_weights::weights_outside;
use jhalak_onnx::file_facts;
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
    builder.commit_from_memory(bytes).map_err(|e| refusal(&e.to_string(), bytes))
}

/// Returns the error of ONNX Runtime about a file. About a version that it does not know, adds the
/// file's versions and the way to lower them.
fn refusal(message: &str, bytes: &[u8]) -> Error {
    let message = message.trim();
    if let Some(operator) = unknown_operator(message) {
        let way = match operator.contains("NMS") {
            true => {
                "export the model without it: with NMS off, or with the NMS for ONNX Runtime (YOLOv6: --end2end --ort, YOLOv7: --end2end --max-wh 640)"
            }
            false => "export the model with the operators of ONNX alone",
        };
        let text = format!("it uses the operator `{operator}`, which ONNX Runtime does not have: {way}");
        return Error::invalid(text).with_source(message.to_owned());
    }
    let lower = message.to_ascii_lowercase();
    let is_format = lower.contains("ir version") || lower.contains("ir_version");
    let is_opset = lower.contains("opset");
    let Some(facts) = file_facts::of(bytes).filter(|_| is_format || is_opset) else {
        return Error::invalid(message);
    };
    // "... Unsupported model IR version: 14, max supported IR version: 13"
    let taken = lower.rsplit_once("max supported").and_then(|(_, rest)| {
        rest.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty()).map(str::to_owned)
    });
    let up_to = taken.as_ref().map(|n| format!(", and this ONNX Runtime takes up to {n}")).unwrap_or_default();
    let newer = "or set models.onnxruntime to a newer ONNX Runtime";
    let way = match taken.filter(|_| is_format) {
        Some(n) => format!(
            "the file has IR version {}{up_to}: export it with a lower opset, or state the older version (the graph stays the same): \
             python3 -c 'import onnx; m = onnx.load(\"OLD.onnx\"); m.ir_version = {n}; onnx.save(m, \"NEW.onnx\")', {newer}",
            facts.ir_version
        ),
        None => format!(
            "the file has opset {} and IR version {}{up_to}: export it with a lower opset (opset_version=17), {newer}",
            facts.opset, facts.ir_version
        ),
    };
    Error::invalid(way).with_source(message.to_owned())
}

/// Returns the operator, with its domain, that ONNX Runtime does not have: "Fatal error:
/// TRT:EfficientNMS_TRT(-1) is not a registered function/op", "Could not find an implementation for
/// EfficientNMS_TRT(1) node".
fn unknown_operator(message: &str) -> Option<&str> {
    let known = message.split_once(" is not a registered function/op");
    let without = message.split_once("Could not find an implementation for ");
    let name = match (known, without) {
        (Some((before, _)), _) => before.split_whitespace().next_back()?,
        (None, Some((_, after))) => after.split_whitespace().next()?,
        (None, None) => return None,
    };
    Some(name.split('(').next().unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jhalak_onnx::message::{Graph, Model, OperatorSet};
    use prost::Message;

    #[test]
    fn a_newer_version_is_refused_with_both_versions_and_the_way_out() {
        let file = Model {
            ir_version: 14,
            graph: Some(Graph::default()),
            opset_import: vec![OperatorSet { domain: String::new(), version: 27 }],
            ..Model::default()
        };
        let bytes = file.encode_to_vec();
        let error = refusal("Unsupported model IR version: 14, max supported IR version: 13", &bytes).chain();
        for word in ["IR version 14", "up to 13", "m.ir_version = 13", "models.onnxruntime"] {
            assert!(error.contains(word), "{error}");
        }
        let error = refusal("Opset 27 is under development ... max supported opset is 26", &bytes).chain();
        assert!(error.contains("opset 27") && error.contains("opset_version=17"), "{error}");
        assert_eq!(refusal("broken", &bytes).chain(), "broken");
    }

    #[test]
    fn an_operator_of_tensorrt_is_refused_with_the_way_out() {
        let message = "This is an invalid model. In Node, (\"nms\", EfficientNMS_TRT, \"TRT\", 1) : ..., Error Fatal error: \
                       TRT:EfficientNMS_TRT(-1) is not a registered function/op";
        let error = refusal(message, &[]).chain();
        for word in ["`TRT:EfficientNMS_TRT`", "NMS off", "--end2end --ort"] {
            assert!(error.contains(word), "{error}");
        }
        let other = "Could not find an implementation for EfficientNMS_TRT(1) node with name 'nms'";
        assert!(refusal(other, &[]).chain().contains("`EfficientNMS_TRT`"));
        let error = refusal("Fatal error: com.acme:Fancy(-1) is not a registered function/op", &[]).chain();
        assert!(error.contains("`com.acme:Fancy`") && error.contains("operators of ONNX"), "{error}");
    }
}
