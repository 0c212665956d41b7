//! Diagnostics: the version of ONNX Runtime, the provider of each node, the time of one inference.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use jhalak_common::models::{Layout, Model};
use jhalak_common::settings::InferenceSettings;
use jhalak_common::{Error, Result};
use ort::environment::Environment;
use ort::session::SessionInputValue;
use ort::value::TensorRef;
use serde::Serialize;
use serde_json::Value;

use super::build::build;
use super::contract::{Contract, Rows};
use super::float16;

/// Returns the version and build information of the ONNX Runtime library at `path`. Call it after
/// `Models::open`, which loads the library.
pub fn library_version(path: &Path) -> String {
    let info = ort::info().trim_start_matches("ORT Build Info: ");
    let built = info.split(", cmake").next().unwrap_or(info);
    // ort does not report the version; the symbols of the library contain it as VERS_x.y.z.
    match std::fs::read(path).ok().and_then(|bytes| symbol_version(&bytes)) {
        Some(version) => format!("version {version} ({built})"),
        None => built.to_string(),
    }
}

fn symbol_version(library: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"VERS_";
    let versions = library.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    versions
        .map(|(place, _)| {
            let rest = library[place + MARK.len()..].iter().take(20);
            rest.take_while(|b| b.is_ascii_digit() || **b == b'.').map(|b| char::from(*b)).collect::<String>()
        })
        .find(|version| version.split('.').count() == 3 && !version.ends_with('.'))
}

/// How one model runs on this machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelDiagnostics {
    /// Names of the inputs, and the shapes used.
    pub inputs: Vec<(String, Vec<usize>)>,
    /// Names and shapes of the outputs.
    pub outputs: Vec<(String, Vec<usize>)>,
    /// Number of nodes by provider.
    pub nodes: BTreeMap<String, usize>,
    /// Milliseconds of one inference: the fastest of three after a warm-up.
    pub ms: f64,
}

/// An ONNX file of one node, y = x + x on one element: enough to test whether a provider starts.
const ONE_NODE_MODEL: &[u8] = &[
    0x08, 0x08, 0x3a, 0x35, 0x0a, 0x0e, 0x0a, 0x01, 0x78, 0x0a, 0x01, 0x78, 0x12, 0x01, 0x79, 0x22, 0x03, 0x41, 0x64,
    0x64, 0x12, 0x01, 0x67, 0x5a, 0x0f, 0x0a, 0x01, 0x78, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02,
    0x08, 0x01, 0x62, 0x0f, 0x0a, 0x01, 0x79, 0x12, 0x0a, 0x0a, 0x08, 0x08, 0x01, 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01,
    0x42, 0x04, 0x0a, 0x00, 0x10, 0x11,
];

/// Starts the configured provider on a graph of one node.
///
/// # Errors
/// Unable if it does not start: a missing provider is never replaced by another.
pub(super) fn try_provider(environment: &Environment, inference: &InferenceSettings) -> Result<()> {
    if inference.provider.is_cpu() {
        return Ok(());
    }
    let unusable = |e: Error| {
        Error::unable(format!("inference.provider is {} and does not start", inference.provider.name())).with_source(e)
    };
    let mut session = build(environment, ONE_NODE_MODEL, inference, None).map_err(|e| match e.kind() {
        jhalak_common::ErrorKind::Unable => e,
        _ => unusable(e),
    })?;
    let failed = |e: ort::Error| unusable(Error::invalid(e.to_string()));
    let one = [1.0f32];
    let value = TensorRef::from_array_view(([1usize], &one[..])).map_err(failed)?;
    let outputs = session.run(ort::inputs!["x" => value]).map_err(failed)?;
    match outputs.get("y").and_then(|y| y.try_extract_tensor::<f32>().ok()).map(|(_, data)| data.to_vec()) {
        Some(two) if two == [2.0] => Ok(()),
        other => Err(unusable(Error::bug(format!("it returned {other:?} for 1 + 1")))),
    }
}

pub(super) fn diagnose(
    environment: &Environment,
    model: &Model,
    folder: &Path,
    inference: &InferenceSettings,
) -> Result<ModelDiagnostics> {
    let bytes = std::fs::read(folder.join(&model.file))?;
    let profile = tempfile::tempdir()?;
    let mut session = build(environment, &bytes, inference, Some(&profile.path().join("run")))?;
    let contract = Contract::of(model, session.inputs(), session.outputs())?;
    let shapes: Vec<Vec<usize>> =
        contract.inputs.iter().map(|input| example_shape(model, &input.shape, contract.rows)).collect();
    let zeros: Vec<Vec<f32>> = shapes.iter().map(|shape| vec![0.0; shape.iter().product()]).collect();
    let failed = |e: ort::Error| {
        Error::invalid(format!("the model {} fails on zeros of shape {shapes:?}", model.name))
            .with_source(e.to_string())
    };
    let (mut ms, mut given) = (f64::INFINITY, Vec::new());
    for round in 0..4 {
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::new();
        for ((input, shape), data) in contract.inputs.iter().zip(&shapes).zip(&zeros) {
            values.push((input.name.as_str(), float16::to_value(input, shape, data).map_err(failed)?));
        }
        let start = Instant::now();
        let outputs = session.run(values).map_err(failed)?;
        let took = start.elapsed().as_secs_f64() * 1e3;
        if round > 0 {
            ms = ms.min(took);
        }
        given = contract
            .outputs
            .iter()
            .filter_map(|o| Some((o.name.clone(), float16::from_value(outputs.get(&o.name)?).ok()?.0)))
            .collect();
    }
    let written = session.end_profiling().map_err(failed)?;
    Ok(ModelDiagnostics {
        inputs: contract.inputs.iter().map(|i| i.name.clone()).zip(shapes.clone()).collect(),
        outputs: given,
        nodes: providers(&std::fs::read(written)?),
        ms,
    })
}

/// Returns a shape that the model accepts: one row, and dynamic lengths as its entry states.
fn example_shape(model: &Model, shape: &[i64], rows: Rows) -> Vec<usize> {
    let picture = model.picture.as_ref();
    let sound = |frame: usize, hop: usize| frame + hop * 49;
    let free = match (&model.waveform, &model.sound, &model.windows) {
        (Some(w), _, _) => sound(w.frame_samples, w.hop_samples),
        (_, Some(s), _) => sound(s.frame_samples, s.hop_samples),
        (_, _, Some(w)) => w.window_frames,
        _ => picture.map(|p| p.width as usize).filter(|&width| width > 0).unwrap_or(640),
    };
    let first = |n: i64| match rows {
        Rows::Fixed(fixed) if shape.len() > 1 => fixed,
        _ => usize::try_from(n).unwrap_or(if shape.len() == 1 { free } else { 1 }),
    };
    let due = match (picture, &model.clip) {
        (Some(how), Some(clip)) => clip.clip_shape(how).to_vec(),
        (Some(how), None) => {
            let side = |n: u32| if n > 0 { n as usize } else { free };
            match how.layout {
                Layout::Nchw => vec![1, 3, side(how.height), side(how.width)],
                Layout::Nhwc => vec![1, side(how.height), side(how.width), 3],
            }
        }
        (None, _) => Vec::new(),
    };
    let stated = |place: usize| if due.len() == shape.len() { due[place] } else { free };
    shape
        .iter()
        .enumerate()
        .map(|(place, &n)| if place == 0 { first(n) } else { usize::try_from(n).unwrap_or_else(|_| stated(place)) })
        .collect()
}

/// Counts nodes by provider in ONNX Runtime's profile. The profile has one event per node and run,
/// so each name counts once.
fn providers(profile: &[u8]) -> BTreeMap<String, usize> {
    let events: Value = serde_json::from_slice(profile).unwrap_or_default();
    let mut nodes = BTreeMap::new();
    for event in events.as_array().into_iter().flatten() {
        if let (Some(name), Some(provider)) = (event["name"].as_str(), event["args"]["provider"].as_str())
            && name.ends_with("_kernel_time")
        {
            nodes.insert(name.to_string(), provider.to_string());
        }
    }
    nodes.into_values().fold(BTreeMap::new(), |mut counts, provider| {
        *counts.entry(provider).or_default() += 1;
        counts
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_version_is_read_from_its_symbols() {
        assert_eq!(symbol_version(b"..VERS_?\0VERS_1.31.1\0libstdc").as_deref(), Some("1.31.1"));
        assert_eq!(symbol_version(b"no library"), None);
    }

    #[test]
    fn nodes_are_counted_by_the_provider_that_ran_them() {
        let event = |name: &str, provider: &str| serde_json::json!({"name": name, "args": {"provider": provider}});
        let events = Value::from(vec![
            event("a_kernel_time", "CUDAExecutionProvider"),
            event("a_kernel_time", "CUDAExecutionProvider"),
            event("b_kernel_time", "CPUExecutionProvider"),
            serde_json::json!({"name": "model_run", "args": {}}),
        ]);
        let counted = providers(events.to_string().as_bytes());
        let expected = [("CPUExecutionProvider", 1), ("CUDAExecutionProvider", 1)];
        assert_eq!(counted, expected.map(|(name, n)| (name.to_string(), n)).into());
    }
}
