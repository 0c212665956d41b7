//! Counts the requests to a store and the bytes that they move, and shows them in traces.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;

use super::interface::{ObjectMeta, ObjectStore, PutOutcome};
use crate::error::{Error, ErrorKind, Result};
use crate::telemetry::list::{STORE_BYTES, STORE_DURATION, STORE_REQUESTS};
use crate::telemetry::metric::OTHER;
use crate::telemetry::trace;

/// A store whose requests are counted.
#[derive(Debug)]
pub(super) struct MeteredStore(pub(super) Arc<dyn ObjectStore>);

/// Returns the part of the store that a key lies in.
fn area(key: &str) -> &'static str {
    match key.split_once('/').map(|(first, _)| first) {
        Some("artifacts") => "artifacts",
        Some("runs") => "runs",
        Some("checkpoints") => "checkpoints",
        _ => OTHER,
    }
}

fn status(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "not_found",
        ErrorKind::Throttled => "throttled",
        ErrorKind::Transient => "transient",
        ErrorKind::Permission => "permission",
        ErrorKind::StorageFull => "storage_full",
        ErrorKind::InvalidInput | ErrorKind::Usage => "invalid",
        ErrorKind::Unable | ErrorKind::Cancelled | ErrorKind::Bug => "failed",
    }
}

/// Counts one request, and shows it in the trace of the job that sends it.
async fn count<T>(operation: &'static str, request: impl Future<Output = Result<T>>) -> Result<T> {
    count_as(operation, |_| "ok", request).await
}

async fn count_as<T>(
    operation: &'static str,
    succeeded: impl FnOnce(&T) -> &'static str,
    request: impl Future<Output = Result<T>>,
) -> Result<T> {
    let began = Instant::now();
    let is_write = matches!(operation, "put" | "create" | "upload");
    let mut span = trace::current().child(if is_write { "put" } else { operation });
    span.set("jhalak.operation", operation);
    let answer = request.await;
    let status = answer.as_ref().map_or_else(status, succeeded);
    if let Err(error) = &answer
        && error.kind() != ErrorKind::NotFound
    {
        span.fail(error.kind());
    }
    STORE_DURATION.observe(&[operation], began.elapsed().as_secs_f64());
    STORE_REQUESTS.increment(&[operation, status]);
    answer
}

fn moved(direction: &str, key: &str, bytes: u64) {
    STORE_BYTES.add(&[direction, area(key)], bytes as f64);
}

#[async_trait]
impl ObjectStore for MeteredStore {
    fn url(&self) -> String {
        self.0.url()
    }

    async fn get(&self, key: &str) -> Result<Bytes> {
        let bytes = count("get", self.0.get(key)).await?;
        moved("read", key, bytes.len() as u64);
        Ok(bytes)
    }

    async fn download(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let meta = count("download", self.0.download(key, to, tag)).await?;
        moved("read", key, meta.size);
        Ok(meta)
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta> {
        count("head", self.0.head(key)).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let size = bytes.len() as u64;
        count("put", self.0.put(key, bytes)).await?;
        moved("written", key, size);
        Ok(())
    }

    async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<PutOutcome> {
        let size = bytes.len() as u64;
        let status = |outcome: &PutOutcome| match outcome {
            PutOutcome::Created => "ok",
            PutOutcome::AlreadyExists => "exists",
        };
        let outcome = count_as("create", status, self.0.put_if_absent(key, bytes)).await?;
        if outcome == PutOutcome::Created {
            moved("written", key, size);
        }
        Ok(outcome)
    }

    async fn upload(&self, key: &str, from: &Path) -> Result<()> {
        count("upload", self.0.upload(key, from)).await?;
        // The store has read the file: its size is that of the object.
        let size = tokio::fs::metadata(from).await.map_or(0, |file| file.len());
        moved("written", key, size);
        Ok(())
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectMeta>> {
        let mut failed = false;
        let began = Instant::now();
        let listed = self.0.list(prefix).inspect(move |object| {
            if let Err(error) = object
                && !std::mem::replace(&mut failed, true)
            {
                STORE_REQUESTS.increment(&["list", status(error)]);
                STORE_DURATION.observe(&["list"], began.elapsed().as_secs_f64());
            }
        });
        // Counted once it is read to its end: a caller may stop early.
        let end = futures::stream::once(async move {
            STORE_REQUESTS.increment(&["list", "ok"]);
            STORE_DURATION.observe(&["list"], began.elapsed().as_secs_f64());
        });
        listed.map(Some).chain(end.map(|()| None)).filter_map(|object| async { object }).boxed()
    }

    async fn delete(&self, key: &str) -> Result<()> {
        count("delete", self.0.delete(key)).await
    }

    async fn time(&self) -> Result<Option<jiff::Timestamp>> {
        self.0.time().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::LocalStore;
    use crate::telemetry::metric::{Program, text};

    fn value(line: &str) -> f64 {
        let text = text(&[&STORE_BYTES.0, &STORE_REQUESTS.0], Program::Both);
        text.lines().find_map(|l| l.strip_prefix(&format!("{line} "))).map_or(0.0, |v| v.parse().expect("a number"))
    }

    #[tokio::test]
    async fn bytes_are_counted_once_by_the_part_of_the_store() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = MeteredStore(Arc::new(LocalStore::open(folder.path()).expect("a folder")));
        let (written, read) = (
            r#"jhalak_store_bytes_total{direction="written",area="checkpoints"}"#,
            r#"jhalak_store_bytes_total{direction="read",area="checkpoints"}"#,
        );
        let exists = r#"jhalak_store_requests_total{operation="create",status="exists"}"#;
        let before = (value(written), value(read), value(exists));
        let bytes = Bytes::from_static(b"12345");
        store.put_if_absent("checkpoints/a", bytes.clone()).await.expect("room on disk");
        store.put_if_absent("checkpoints/a", bytes.clone()).await.expect("room on disk");
        store.put("checkpoints/b", bytes.clone()).await.expect("room on disk");
        let file = folder.path().join("file");
        std::fs::write(&file, b"123").expect("room on disk");
        store.upload("checkpoints/c", &file).await.expect("room on disk");
        assert_eq!(store.get("checkpoints/a").await.expect("written"), bytes);
        let after = (value(written), value(read), value(exists));
        assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), (13.0, 5.0, 1.0));
    }
}
