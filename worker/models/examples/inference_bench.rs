//! The Jhalak side of `make bench-inference`: runs models as a worker does, through the thread and
//! channel of a session, and reports the CPU time.
//!
//! Reads one request per line, {"model": NAME, "shapes": [[...]], "runs": N}, and replies with one
//! line, {"cpu_s": ..., "wall_s": ..., "sum": ...}: the CPU seconds of all threads, the wall time,
//! and the sum of the first output, which the other side compares. The inputs follow a formula,
//! ((7919 i + number of the input) mod 1009) / 1009, less 0.5 for the first input and plus 0.1 for
//! a second.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use jhalak_common::models::Registry;
use jhalak_common::settings::Settings;
use jhalak_common::{Error, Result};
use jhalak_models::inference::{Models, Tensor};
use serde::Deserialize;

#[derive(Deserialize)]
struct Request {
    model: String,
    shapes: Vec<Vec<usize>>,
    runs: usize,
}

fn main() -> Result<()> {
    let settings = Settings::load(std::env::var_os("JHALAK_CONFIG").map(PathBuf::from).as_deref(), &[])?;
    let models = Models::open(&settings, Registry::load(settings.models.registry.as_deref())?)?;
    for line in std::io::stdin().lock().lines() {
        let request: Request =
            serde_json::from_str(&line?).map_err(|e| Error::invalid("a request is not valid JSON").with_source(e))?;
        let known = models.registry().models.iter().find(|m| m.name == request.model);
        let model = known.ok_or_else(|| Error::not_found(format!("there is no model {}", request.model)))?;
        let session = models.session(model)?;
        let inputs: Vec<Tensor> = request.shapes.into_iter().enumerate().map(|(n, shape)| example(n, shape)).collect();
        let (mut spent, mut wall, mut sum) = (0.0, 0.0, 0.0);
        for run in 0..request.runs {
            // Callers build inputs, which the session then owns: their cost is not part of the
            // measurement.
            let inputs = inputs.clone();
            let (before, began) = (cpu_s(), Instant::now());
            let output = session.run_all(inputs)?;
            spent += cpu_s() - before;
            wall += began.elapsed().as_secs_f64();
            if run + 1 == request.runs {
                sum = output[0].data.iter().map(|v| f64::from(*v)).sum();
            }
        }
        let answer = serde_json::json!({ "cpu_s": spent, "wall_s": wall, "sum": sum });
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush())?;
    }
    Ok(())
}

fn example(number: usize, shape: Vec<usize>) -> Tensor {
    let count: usize = shape.iter().product();
    // A second input holds moments, whose variances are above 0.
    let middle = if number == 0 { 0.5 } else { -0.1 };
    let data = (0..count).map(|i| (((i * 7_919 + number) % 1_009) as f64 / 1_009.0 - middle) as f32).collect();
    Tensor { shape, data }
}

/// Returns the CPU seconds of all threads, to the nanosecond.
fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
