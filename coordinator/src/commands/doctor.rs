//! `jhalak doctor`: whether everything that a run needs is there.

use clap::Args;
use jhalak_common::models::Registry;
use jhalak_common::settings::{Settings, redact_url};
use jhalak_common::{Error, Result, exit, hash, queue, store};
use serde_json::json;

use super::Output;

/// Says whether everything that a run needs is there: store, queue, ONNX Runtime, models. Exit code 5 where something is not.
#[derive(Args)]
pub struct Doctor {}

impl Doctor {
    pub(super) async fn execute(self, settings: Settings, output: Output) -> Result<u8> {
        let mut checks = vec![
            ("store", settings.store.clone(), check_store(&settings).await),
            ("queue", redact_url(&settings.queue), check_queue(&settings).await),
        ];
        #[cfg(feature = "local")]
        checks.push(("onnxruntime", settings.models.onnxruntime.display().to_string(), check_models(&settings).await));
        let well = checks.iter().all(|(_, _, found)| found.is_ok());
        let words = |found: &Result<String>| match found {
            Ok(words) => words.clone(),
            Err(error) => error.chain(),
        };
        let line = |(name, place, found): &(&str, String, Result<String>)| {
            format!("{} {name:12} {place}: {}\n", if found.is_ok() { "ok  " } else { "FAIL" }, words(found))
        };
        let text: String = checks.iter().map(line).collect();
        let answer: Vec<_> = checks.iter().map(|(name, place, found)| json!({ "check": name, "place": place, "ok": found.is_ok(), "words": words(found) })).collect();
        output.print(&answer, &text)?;
        Ok(if well { exit::DONE } else { exit::UNREACHABLE })
    }
}

async fn check_store(settings: &Settings) -> Result<String> {
    let store = store::open(&settings.store, &settings.s3).await?;
    let key = format!("doctor/{}.txt", std::process::id());
    let words = bytes::Bytes::from_static(b"written by jhalak doctor");
    store.put(&key, words.clone()).await?;
    let read = store.get(&key).await?;
    store.delete(&key).await?;
    if read == words {
        Ok("writes, reads and deletes".into())
    } else {
        Err(Error::transient("read other bytes than were written"))
    }
}

async fn check_queue(settings: &Settings) -> Result<String> {
    let queue = queue::open(&settings.queue, &settings.rabbitmq).await?;
    let mut waiting = Vec::new();
    for kind in queue::WorkKind::ALL {
        waiting.push(format!("{} {}", queue.depth(&queue::Channel::Work(kind)).await?, kind.name()));
    }
    queue.close().await;
    Ok(format!("reached; waiting jobs: {}", waiting.join(", ")))
}

#[cfg(feature = "local")]
async fn check_models(settings: &Settings) -> Result<String> {
    let registry = Registry::load(settings.models.registry.as_deref())?;
    for model in &registry.models {
        let path = settings.models.folder.join(&model.file);
        let (found, _) = hash::of_file(path.clone()).await.map_err(|_| {
            Error::invalid(format!("the model {} is not at {}: run `make setup`", model.name, path.display()))
        })?;
        if found != model.sha256 {
            return Err(Error::invalid(format!(
                "{} is not what the registry says: delete it and run `make setup`",
                path.display()
            )));
        }
    }
    let models = jhalak_worker::inference::Models::open(&settings.models, registry)?;
    let chosen = settings.models.clone();
    tokio::task::spawn_blocking(move || models.load_chosen(&chosen))
        .await
        .map_err(|e| Error::bug("loading the models panicked").with_source(e))??;
    Ok("the library and every chosen model load, all checksums are right".into())
}
