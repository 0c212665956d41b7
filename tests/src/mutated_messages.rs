//! Messages as an attacker or a broken program would publish them: jobs of every kind in which some
//! values are replaced, removed or cut off, drawn from a seed.

use std::path::Path;

use bytes::Bytes;
use jhalak_common::artifact::ArtifactKind;
use jhalak_common::random::SplitMix;
use serde_json::{Value, json};

const GOLDEN: [&str; 4] = [
    include_str!("../../common/src/run/golden/job-extract-v1.json"),
    include_str!("../../common/src/run/golden/job-cell-v1.json"),
    include_str!("../../common/src/run/golden/job-fit-v1.json"),
    include_str!("../../common/src/run/golden/job-probe-v1.json"),
];

/// Draws mutated messages.
pub struct Mutator {
    random: SplitMix,
    jobs: Vec<Value>,
    hostile: Vec<Value>,
}

impl Mutator {
    /// Draws from the golden jobs, made jobs of `run` in `store`, and from the real `jobs` of that
    /// run. `victim` is a folder that no message may open.
    pub fn new(seed: u64, run: &str, store: &str, jobs: Vec<Value>, victim: &Path) -> Mutator {
        let golden = GOLDEN.iter().map(|job| golden(job, run, store));
        let hostile = vec![
            json!(null),
            json!(-1),
            json!(u64::MAX),
            json!(1e300),
            json!(""),
            json!("../../etc/passwd"),
            json!("/etc/passwd"),
            json!(format!("file://{}", victim.display())),
            json!("s3://other-tenant/secret"),
            json!("\u{202e}\u{0}\n"),
            json!("x".repeat(10_000)),
            json!([]),
            json!({}),
            json!([[[[[[1]]]]]]),
            json!(true),
        ];
        Mutator { random: SplitMix::new(seed), jobs: golden.chain(jobs).collect(), hostile }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.draw() % end.max(1) as u64).unwrap_or(0)
    }

    /// Draws the next message.
    pub fn draw(&mut self) -> Bytes {
        let nth = self.below(self.jobs.len());
        let mut message = self.jobs[nth].clone();
        let store = message["store"].clone();
        for _ in 0..1 + self.below(3) {
            self.mutate(&mut message);
        }
        // A job of another store waits for other workers, and another test covers it.
        if message.is_object() {
            message["store"] = store;
        }
        let mut bytes = message.to_string().into_bytes();
        // Some are not JSON any more.
        match self.below(8) {
            0 => bytes.truncate(self.below(bytes.len())),
            1 => {
                let index = self.below(bytes.len());
                bytes[index] ^= 1 << self.below(8);
            }
            _ => {}
        }
        bytes.into()
    }

    /// Changes one value of the message. Contracts stay: a job of another contract waits for other
    /// workers as well.
    fn mutate(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() && self.below(10) > 0 => {
                let names: Vec<String> = fields.keys().filter(|name| *name != "contract").cloned().collect();
                let Some(name) = names.get(self.below(names.len())) else { return };
                match self.below(12) {
                    0 => drop(fields.remove(name)),
                    _ => fields.get_mut(name).into_iter().for_each(|field| self.mutate(field)),
                }
            }
            Value::Array(items) if !items.is_empty() && self.below(4) > 0 => {
                let index = self.below(items.len());
                self.mutate(&mut items[index]);
            }
            other => {
                let nth = self.below(self.hostile.len());
                *other = self.hostile[nth].clone();
            }
        }
    }
}

/// A golden job as one of this run, with the contracts of this program.
fn golden(job: &str, run: &str, store: &str) -> Value {
    let mut job: Value = serde_json::from_str(job).expect("a golden file is JSON");
    let task = &mut job["task"];
    let mut recipes: Vec<&mut Value> = Vec::new();
    if let Some(fields) = task.as_object_mut() {
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("wanted", Value::Array(wanted)) => recipes.extend(wanted),
                ("recipe", recipe) => recipes.push(recipe),
                _ => {}
            }
        }
    }
    for recipe in recipes {
        let kind = recipe["kind"].as_str().and_then(|kind| ArtifactKind::parse(kind).ok());
        recipe["contract"] = kind.map(ArtifactKind::contract).into();
    }
    if task["trailer"].is_object() {
        task["trailer"]["store"] = store.into();
    }
    job["run"] = run.into();
    job["store"] = store.into();
    job
}
