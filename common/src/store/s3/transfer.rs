//! Large transfers: downloads that resume where they were cut, uploads in parts.

use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufWriter};

use super::attempts::Attempts;
use super::bucket::Bucket;
use super::errors::Fault;
use super::operation::Operation;
use crate::error::{Error, Result};
use crate::store::interface::{ObjectMeta, no_such_range};

/// Timeout for completing a multipart upload, which may take a server minutes.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(300);

/// Attempts of an upload that the server has lost.
const UPLOAD_ATTEMPTS: u32 = 3;

/// The destination of downloaded bytes.
#[async_trait]
pub(super) trait Sink: Send {
    async fn write(&mut self, chunk: &[u8]) -> Result<()>;
    /// Discards written bytes: the object was replaced, or the server does not resume.
    async fn restart(&mut self) -> Result<()>;
}

#[async_trait]
impl Sink for Vec<u8> {
    async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.extend_from_slice(chunk);
        Ok(())
    }

    async fn restart(&mut self) -> Result<()> {
        self.clear();
        Ok(())
    }
}

#[async_trait]
impl Sink for BufWriter<File> {
    async fn write(&mut self, chunk: &[u8]) -> Result<()> {
        Ok(self.write_all(chunk).await?)
    }

    async fn restart(&mut self) -> Result<()> {
        self.rewind().await?;
        Ok(self.get_mut().set_len(0).await?)
    }
}

/// The content that a download is pinned to.
struct Content {
    tag: String,
    size: u64,
}

impl Bucket {
    /// Writes an object into `sink`. A transfer that is cut or stalls is resumed at the byte that
    /// it had reached, as long as it makes progress.
    pub(super) async fn fetch(&self, key: &str, tag: Option<&str>, sink: &mut dyn Sink) -> Result<ObjectMeta> {
        let operation = Operation("read", key);
        let full = self.full_key(key)?;
        let mut attempts = Attempts::new(operation, self.attempts);
        let mut content: Option<Content> = None;
        let mut reached = 0;
        loop {
            let condition = content.as_ref().map(|content| content.tag.as_str()).filter(|tag| !tag.is_empty()).or(tag);
            let fault = match self.get_from(operation, &full, reached, condition).await {
                Ok(answer) => {
                    let start = first_byte(&answer);
                    if start != reached {
                        // The server ignored the range, or the object is another one.
                        sink.restart().await?;
                        reached = 0;
                    }
                    if start > reached {
                        return Err(Error::transient(format!(
                            "{operation}: {} answered with another range than requested",
                            self.server
                        )));
                    }
                    let found = describe(&answer, start)?;
                    if tag.is_some_and(|tag| tag != found.tag) {
                        return Err(replaced(operation));
                    }
                    let size = found.size;
                    content = Some(found);
                    let before = reached;
                    let outcome = self.copy_body(answer.body, sink, &mut reached).await?;
                    if reached > before {
                        attempts.progress();
                    }
                    match outcome {
                        _ if reached == size => break,
                        None => Fault::Transient(Error::transient(format!(
                            "{reached} of {size} bytes arrived from {}",
                            self.server
                        ))),
                        Some(fault) => fault,
                    }
                }
                Err(Fault::PreconditionFailed(_)) if tag.is_some() => return Err(replaced(operation)),
                Err(Fault::PreconditionFailed(_)) => {
                    sink.restart().await?;
                    (content, reached) = (None, 0);
                    Fault::Transient(Error::transient("the object was replaced while it was read"))
                }
                // `get_from` has used all attempts.
                Err(fault) => return Err(fault.into_error()),
            };
            attempts.failed(fault).await.map_err(|fault| fault.context(operation).into_error())?;
        }
        let Content { tag, size } = content.unwrap_or(Content { tag: String::new(), size: 0 });
        Ok(ObjectMeta { key: key.to_string(), size, tag })
    }

    /// Reads the bytes `range` of an object. A transfer that is cut or stalls begins again.
    pub(super) async fn fetch_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        let operation = Operation("read", key);
        let full = self.full_key(key)?;
        if range.is_empty() {
            return Err(no_such_range(key, &range));
        }
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let length = range.end - range.start;
        let mut attempts = Attempts::new(operation, self.attempts);
        loop {
            let request = |progress| {
                let get = self.client.get_object().bucket(&self.name).key(&full).range(&header);
                get.customize().interceptor(progress).send()
            };
            let answer = match self.attempt(operation, self.stall_timeout, request).await {
                Ok(answer) => answer,
                Err(Fault::Permanent(e)) if e.chain().contains("InvalidRange") => {
                    return Err(no_such_range(key, &range));
                }
                Err(fault) => return Err(fault.into_error()),
            };
            // A server may ignore the range, or shorten it at the end of the object.
            if answer.content_length().and_then(|n| u64::try_from(n).ok()) != Some(length) {
                return Err(no_such_range(key, &range));
            }
            let (mut bytes, mut reached) = (Vec::new(), 0);
            let fault = match self.copy_body(answer.body, &mut bytes, &mut reached).await? {
                None if reached == length => return Ok(bytes.into()),
                None => {
                    let cut = format!("{reached} of {length} bytes arrived from {}", self.server);
                    Fault::Transient(Error::transient(cut))
                }
                Some(fault) => fault,
            };
            attempts.failed(fault).await.map_err(|fault| fault.context(operation).into_error())?;
        }
    }

    async fn get_from(
        &self,
        operation: Operation<'_>,
        full: &str,
        start: u64,
        tag: Option<&str>,
    ) -> Result<GetObjectOutput, Fault> {
        let range = (start > 0).then(|| format!("bytes={start}-"));
        let request = |progress| {
            let get = self.client.get_object().bucket(&self.name).key(full).set_range(range.clone());
            get.set_if_match(tag.map(str::to_string)).customize().interceptor(progress).send()
        };
        self.attempt(operation, self.stall_timeout, request).await
    }

    /// Writes arriving bytes and advances `reached`. Returns the fault that ended the transfer
    /// early; an error is from the sink.
    async fn copy_body(&self, mut body: ByteStream, sink: &mut dyn Sink, reached: &mut u64) -> Result<Option<Fault>> {
        loop {
            match tokio::time::timeout(self.stall_timeout, body.next()).await {
                Err(_) => return Ok(Some(self.silent(self.stall_timeout))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => {
                    let cut = Error::transient(format!("the object store at {} cut the transfer", self.server));
                    return Ok(Some(Fault::Transient(cut.with_source(e))));
                }
                Ok(Some(Ok(chunk))) => {
                    sink.write(&chunk).await?;
                    *reached += chunk.len() as u64;
                }
            }
        }
    }

    pub(super) async fn download_file(&self, key: &str, to: &Path, tag: Option<&str>) -> Result<ObjectMeta> {
        let naming = |e: std::io::Error| Error::from(e).context(format_args!("cannot write {}", to.display()));
        let mut sink = BufWriter::with_capacity(1 << 20, File::create(to).await.map_err(naming)?);
        let fetched = match self.fetch(key, tag, &mut sink).await {
            Ok(meta) => sink.flush().await.map(|()| meta).map_err(naming),
            Err(e) => Err(e),
        };
        drop(sink);
        if fetched.is_err() {
            // An incomplete file is useless; an error of its removal adds nothing.
            let _ = tokio::fs::remove_file(to).await;
        }
        fetched
    }

    pub(super) async fn upload_file(&self, key: &str, from: &Path) -> Result<()> {
        let naming = |e: std::io::Error| Error::from(e).context(format_args!("cannot read {}", from.display()));
        let mut file = File::open(from).await.map_err(naming)?;
        let size = file.metadata().await.map_err(naming)?.len();
        if size <= self.part_size {
            let bytes = read_part(&mut file, size, from).await?;
            return self.put_bytes(key, bytes).await;
        }
        for _ in 1..UPLOAD_ATTEMPTS {
            match self.upload_parts(key, &mut file, size, from).await {
                Err(Fault::NoSuchUpload(error)) => {
                    // Completed by an attempt whose answer was lost, or aborted by the server.
                    // Writing the same bytes again is correct in both cases.
                    tracing::debug!(key, error = %error.chain(), "uploading again");
                    file.rewind().await.map_err(naming)?;
                }
                outcome => return outcome.map_err(Fault::into_error),
            }
        }
        self.upload_parts(key, &mut file, size, from).await.map_err(Fault::into_error)
    }

    async fn upload_parts(&self, key: &str, file: &mut File, size: u64, from: &Path) -> Result<(), Fault> {
        let operation = Operation("write", key);
        let full = self.full_key(key).map_err(Fault::Permanent)?;
        let begin = |progress| {
            self.client.create_multipart_upload().bucket(&self.name).key(&full).customize().interceptor(progress).send()
        };
        let begun = self.attempt(operation, self.stall_timeout, begin).await?;
        let id = begun
            .upload_id
            .ok_or_else(|| Fault::Permanent(Error::bug(format!("{} began an upload without an id", self.server))))?;
        let mut upload = Upload {
            client: self.client.clone(),
            bucket: self.name.clone(),
            full,
            id,
            timeout: self.stall_timeout,
            open: true,
        };

        let outcome = self.send_parts(operation, &upload, file, size, from).await;
        match &outcome {
            Ok(()) | Err(Fault::NoSuchUpload(_)) => upload.open = false,
            Err(_) => upload.abort().await,
        }
        outcome
    }

    async fn send_parts(
        &self,
        operation: Operation<'_>,
        upload: &Upload,
        file: &mut File,
        size: u64,
        from: &Path,
    ) -> Result<(), Fault> {
        let (bucket, full, id) = (&self.name, &upload.full, &upload.id);
        // A server takes at most 10,000 parts.
        let part_size = self.part_size.max(size.div_ceil(10_000));
        let mut parts = Vec::new();
        let mut sent = 0;
        while sent < size {
            let bytes = read_part(file, part_size.min(size - sent), from).await.map_err(Fault::Permanent)?;
            sent += bytes.len() as u64;
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let request = |progress| {
                let part = self.client.upload_part().bucket(bucket).key(full).upload_id(id).part_number(number);
                part.body(ByteStream::from(bytes.clone())).customize().interceptor(progress).send()
            };
            let answer = self.attempt(operation, self.stall_timeout, request).await?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build());
        }
        let list = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = |progress| {
            let join = self.client.complete_multipart_upload().bucket(bucket).key(full).upload_id(id);
            join.multipart_upload(list.clone()).customize().interceptor(progress).send()
        };
        self.attempt(operation, self.stall_timeout.max(COMPLETE_TIMEOUT), request).await?;
        Ok(())
    }
}

/// A multipart upload in progress. Its parts are invisible, but use space on the server until it is
/// completed or aborted.
struct Upload {
    client: Client,
    bucket: String,
    full: String,
    id: String,
    timeout: Duration,
    open: bool,
}

impl Upload {
    /// Aborts the upload. If that fails too, a life-cycle rule of the bucket must remove the parts.
    fn abort(&mut self) -> impl Future<Output = ()> + Send + 'static {
        self.open = false;
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(&self.full).upload_id(&self.id);
        let (timeout, key) = (self.timeout, self.full.clone());
        async move {
            let error = match tokio::time::timeout(timeout, request.send()).await {
                Ok(Ok(_)) => return,
                Ok(Err(e)) => DisplayErrorContext(e).to_string(),
                Err(_) => "no answer in time".to_string(),
            };
            tracing::warn!(
                key,
                error,
                "an unfinished upload cannot be aborted: its parts stay until a life-cycle rule of the bucket removes them"
            );
        }
    }
}

impl Drop for Upload {
    /// Aborts the upload in the background if the call was cancelled.
    fn drop(&mut self) {
        if self.open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.abort());
        }
    }
}

/// Reads exactly `length` bytes of the file.
async fn read_part(file: &mut File, length: u64, from: &Path) -> Result<Bytes> {
    let capacity =
        usize::try_from(length).map_err(|e| Error::invalid("the part is too large for this machine").with_source(e))?;
    let mut bytes = Vec::with_capacity(capacity);
    file.take(length)
        .read_to_end(&mut bytes)
        .await
        .map_err(|e| Error::from(e).context(format_args!("cannot read {}", from.display())))?;
    if bytes.len() as u64 == length {
        Ok(bytes.into())
    } else {
        Err(Error::invalid(format!("{} became shorter while it was uploaded: do not change it", from.display())))
    }
}

/// Returns the position of an answer's first byte in the object.
fn first_byte(answer: &GetObjectOutput) -> u64 {
    let range = answer.content_range().and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split_once('-')).and_then(|(start, _)| start.parse().ok()).unwrap_or(0)
}

/// Returns the tag and size of the whole object, from an answer that may hold only its end.
fn describe(answer: &GetObjectOutput, start: u64) -> Result<Content> {
    let rest = answer.content_length().and_then(|length| u64::try_from(length).ok());
    let Some(rest) = rest else {
        return Err(Error::invalid("the object store does not report the object's length"));
    };
    Ok(Content { tag: answer.e_tag().unwrap_or_default().to_string(), size: start + rest })
}

fn replaced(operation: Operation<'_>) -> Error {
    Error::invalid(format!("{operation}: its content was replaced since the run was planned; submit again"))
}
